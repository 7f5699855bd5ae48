using System.Diagnostics;
using System.Globalization;
using DinoSharp.Diagnostics;
using DinoSharp.Layers;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>What multiplies when networks are trained: libtorch, which leaves half of the processor unused on some machines and nothing on others; in float32 our own tile,
/// in bfloat16 MKL, which uses AMX also where libtorch's layers do not see it.</summary>
internal static class ProductChoice
{
    // Timings differ by as much from one run to the next.
    private const double LeastGain = 1.1;

    private static readonly Lazy<Products> InFloat32 = new(() => Choose(ComputeType.Float32, RouteMemory.OfUser())), InBFloat16 = new(() => Choose(ComputeType.BFloat16, RouteMemory.OfUser()));

    /// <summary>What is fastest on this processor: measured once for a machine and kept.</summary>
    /// <param name="type">Float32 or BFloat16.</param>
    public static Products Of(ComputeType type) => type == ComputeType.Float32 ? InFloat32.Value : InBFloat16.Value;

    /// <summary>The choice as it is kept, or a new one.</summary>
    public static Products Choose(ComputeType type, RouteMemory? memory)
    {
        Products other = type == ComputeType.Float32 ? Products.Own : Products.Mkl;
        if (!Has(type, other, out string words)) return Products.Libtorch;
        if (memory?.Find(KeyOf(type)) is { } known && Has(type, known.Products, out _)) return known.Products;
        double gain = Gain(other);
        bool faster = gain >= LeastGain;
        string speed = gain.ToString("F1", CultureInfo.InvariantCulture);
        memory?.Keep(new Choice(KeyOf(type), Subject(type), type, faster ? other : Products.Libtorch, faster ? $"{words}, {speed} times as fast as libtorch" : $"libtorch; {words} would be {speed} times as fast"));
        return faster ? other : Products.Libtorch;
    }

    /// <summary>Under which the choice is kept.</summary>
    public static string KeyOf(ComputeType type) => $"{RouteMemory.Machine()}, {Subject(type)}";

    /// <summary>Whether this machine can multiply so, at its full speed.</summary>
    /// <param name="type">Float32 or BFloat16.</param>
    /// <param name="products">Who multiplies.</param>
    /// <param name="words">What does, or what is missing.</param>
    public static bool Has(ComputeType type, Products products, out string words)
    {
        words = "libtorch";
        if (products == Products.Libtorch) return true;
        if (type == ComputeType.Float32 && products == Products.Own) return Kernels.Has(type, out words);
        words = "a product of another number type";
        if (type != ComputeType.BFloat16 || products != Products.Mkl) return false;
        if (!Kernels.Has(type, library: true, out words)) return false;
        // MKL computes the same numbers elsewhere, several times slower than libtorch.
        if (Processor.Inspect().InstructionSets.Contains("amx_bf16")) return true;
        words = "this processor has no AMX";
        return false;
    }

    private static string Subject(ComputeType type) => type == ComputeType.Float32 ? "linear layers in training" : "linear layers in training in bfloat16";

    // A layer of a ViT-S there and back, in turn; the fastest of each counts. Smaller ones would tell the cost of a call instead of the product's, larger ones do not fit between the interruptions of a busy machine.
    private static double Gain(Products other)
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(1);
        ScalarType scalar = TrainedLinear.TypeOf(other)!.Value;
        Tensor x = randn([256, 384], generator: random).to(scalar).requires_grad_(true), weight = (randn([1536, 384], generator: random) * Num(0.05)).to(scalar).requires_grad_(true);
        double libtorch = double.MaxValue, best = double.MaxValue;
        using var loud = enable_grad();
        for (int round = 0; round < 40; round++)
        {
            (double first, double second) = (Seconds(Products.Libtorch), Seconds(other));
            if (round > 3) (libtorch, best) = (Math.Min(libtorch, first), Math.Min(best, second)); // the first runs meet cold code
        }

        return libtorch / best;

        double Seconds(Products products)
        {
            using var inner = NewDisposeScope();
            long start = Stopwatch.GetTimestamp();
            TrainedLinear.Run(x, weight, null, products).sum().backward();
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
    }
}
