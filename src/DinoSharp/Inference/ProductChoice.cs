using System.Diagnostics;
using System.Globalization;
using DinoSharp.Layers;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>What multiplies when networks are trained in float32: our own tile, or libtorch, which leaves half of the processor unused on some machines and nothing on others.</summary>
internal static class ProductChoice
{
    // Timings differ by as much from one run to the next.
    private const double LeastGain = 1.1;

    private static readonly Lazy<bool> Tiles = new(() => Choose(RouteMemory.OfUser()));

    /// <summary>Whether tiles are the faster on this processor: measured once for a machine and kept, so that a run that is taken up again adds in the same order.</summary>
    public static bool OnTiles => Tiles.Value;

    /// <summary>The choice as it is kept, or a new one.</summary>
    public static bool Choose(RouteMemory? memory)
    {
        if (!Kernels.Has(ComputeType.Float32, out string words)) return false;
        string key = $"{RouteMemory.Machine()}, linear layers in training";
        if (memory?.Find(key) is { } known) return known.Products == Products.Own;
        double gain = Gain();
        bool tiles = gain >= LeastGain;
        string speed = gain.ToString("F1", CultureInfo.InvariantCulture);
        memory?.Keep(new Choice(key, "linear layers in training", ComputeType.Float32, tiles ? Products.Own : Products.Libtorch, tiles ? $"{words}, {speed} times as fast as libtorch" : $"libtorch in float32; {words} would be {speed} times as fast"));
        return tiles;
    }

    // A layer of a ViT-S there and back, in turn; the fastest of each counts. Smaller ones would tell the cost of a call instead of the product's, larger ones do not fit between the interruptions of a busy machine.
    private static double Gain()
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(1);
        Tensor x = randn([256, 384], generator: random).requires_grad_(true), weight = (randn([1536, 384], generator: random) * Num(0.05)).requires_grad_(true);
        double libtorch = double.MaxValue, tiles = double.MaxValue;
        using var loud = enable_grad();
        for (int round = 0; round < 40; round++)
        {
            (double first, double second) = (Seconds(onTiles: false), Seconds(onTiles: true));
            if (round > 3) (libtorch, tiles) = (Math.Min(libtorch, first), Math.Min(tiles, second)); // the first runs meet cold code
        }

        return libtorch / tiles;

        double Seconds(bool onTiles)
        {
            using var inner = NewDisposeScope();
            long start = Stopwatch.GetTimestamp();
            TileLinear.Run(x, weight, null, onTiles).sum().backward();
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
    }
}
