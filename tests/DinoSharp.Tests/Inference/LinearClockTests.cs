using System.Runtime.Intrinsics;
using DinoSharp.Inference;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Inference;

/// <summary>The clock of the linear layers: what it counts, and that asking it changes no number.</summary>
public sealed unsafe class LinearClockTests
{
    private const int Inputs = 384, Outputs = 257, Vectors = 7, Threads = 2;

    [Theory]
    [InlineData(ComputeType.Float32)]
    [InlineData(ComputeType.Int8)]
    public void TimesProductsOnlyWhenAsked(ComputeType type)
    {
        Assert.SkipUnless(Lanes256.IsSupported, "this processor has no AVX2");
        var workers = new Workers(() => Threads);
        float[] quiet = Compute(workers, type);
        (double seconds, double productSeconds, double[] operations) = workers.Linear.Take();
        Assert.True(seconds > 0);
        Assert.Equal(0, productSeconds);
        Assert.Equal(2.0 * Vectors * Lanes256.Count * Inputs * Outputs, operations[(int)type]);
        Assert.Equal(operations[(int)type], operations.Sum());

        workers.Linear.TimesProducts = true;
        Assert.Equal(quiet, Compute(workers, type));
        (seconds, productSeconds, operations) = workers.Linear.Take();
        Assert.InRange(productSeconds, double.Epsilon, Threads * seconds);
        Assert.Equal(2.0 * Vectors * Lanes256.Count * Inputs * Outputs, operations.Sum());
        Assert.Equal(0, workers.Linear.Take().ProductSeconds);
    }

    private static float[] Compute(Workers workers, ComputeType type)
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(3);
        using var memory = new WeightMemory();
        var w = new PackedLinear(memory, new(randn(Outputs, Inputs, generator: random)), zeros(Outputs), null, Lanes256.Rows, type);
        using NativeBuffer xMemory = new(), yMemory = new(), room = new();
        int floats = (int)Panels.FloatsFor(Inputs, Vectors, Lanes256.Count);
        float[] values = randn(floats, generator: random).data<float>().ToArray();
        float* at = xMemory.Get(floats);
        for (int i = 0; i < floats; i++) at[i] = values[i];
        var x = new Panels(at, Inputs, Vectors, Lanes256.Count);
        var y = new Panels(yMemory.Get(Panels.FloatsFor(Outputs, Vectors, Lanes256.Count)), Outputs, Vectors, Lanes256.Count);
        PanelOperations<Lanes256, Vector256<float>>.Linear(workers, w, x, room.Get(Operand<Lanes256, Vector256<float>>.FloatsFor(Inputs, Vectors, type) + 1), y, Epilogue.Store);
        return [.. Enumerable.Range(0, Vectors).SelectMany(v => Enumerable.Range(0, Outputs * Lanes256.Count).Select(i => y.Vector(v, i / Lanes256.Count)[i % Lanes256.Count]))];
    }
}
