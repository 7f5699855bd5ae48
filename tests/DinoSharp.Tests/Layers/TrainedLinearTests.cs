using DinoSharp.Inference;
using DinoSharp.Layers;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Layers;

/// <summary>The linear layer on our own tile and by MKL against libtorch's: results and all gradients.</summary>
public sealed class TrainedLinearTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public TrainedLinearTests() => Assert.SkipUnless(Kernels.Has(ComputeType.Float32, out string reason), reason);

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData(new long[] { 1, 1 }, 1, true)]
    [InlineData(new long[] { 3, 5, 7 }, 11, true)]
    [InlineData(new long[] { 2, 41, 48 }, 144, false)]
    [InlineData(new long[] { 201, 100 }, 33, true)]
    public void EqualsLibtorch(long[] shape, int outputs, bool bias)
    {
        using var random = new Generator(3);
        Tensor x = randn(shape, generator: random), weight = randn([outputs, shape[^1]], generator: random), gradient = randn([.. shape[..^1], outputs], generator: random);
        Tensor? b = bias ? randn([outputs], generator: random) : null;
        Assert.All(Results(x, weight, b, gradient, Products.Libtorch).Zip(Results(x, weight, b, gradient, Products.Own)), pair => AssertNear(pair.First, pair.Second));
    }

    [Fact]
    public void TakesViewsAndExpandedGradients()
    {
        using var random = new Generator(4);
        Tensor x = randn([6, 5, 10], generator: random).transpose(0, 1), weight = randn([8, 10], generator: random).t().contiguous().t(); // [5, 6, 10], [8, 10]
        // The gradient of a sum is one number seen everywhere.
        Assert.All(Results(x, weight, null, null, Products.Libtorch).Zip(Results(x, weight, null, null, Products.Own)), pair => AssertNear(pair.First, pair.Second));
    }

    [Fact]
    public void GivesGradientsOnlyWhereTheyAreNeeded()
    {
        using var random = new Generator(5);
        Tensor x = randn([4, 6], generator: random), weight = randn([3, 6], generator: random), bias = randn([3], generator: random).requires_grad_(true);
        TrainedLinear.Run(x, weight, bias, Products.Own).sum().backward();
        Assert.Equal([4f, 4, 4], bias.grad!.data<float>().ToArray());
        Assert.Null(x.grad);
        Assert.Null(weight.grad);
        using var quiet = no_grad();
        Assert.False(TrainedLinear.Run(x, weight, bias, Products.Own).requires_grad);
    }

    [Fact]
    public void LeavesNothingBehind()
    {
        using Tensor x = randn(9, 20).requires_grad_(true), weight = randn(12, 20).requires_grad_(true);
        LiveTensors.AssertUnchangedBy(() =>
        {
            using var scope = NewDisposeScope();
            TrainedLinear.Run(TrainedLinear.Run(x, weight, null, Products.Own), randn(5, 12), null, Products.Own).sum().backward();
        });
    }

    [Fact]
    public void TheChoiceIsKept()
    {
        using var folder = new TemporaryFolder();
        var memory = new RouteMemory(Path.Combine(folder.Path, "routes.json"));
        Products chosen = ProductChoice.Choose(ComputeType.Float32, memory), other = chosen == Products.Own ? Products.Libtorch : Products.Own;
        Choice kept = Assert.Single(memory.OfThisMachine());
        Assert.Equal(chosen, kept.Products);
        memory.Keep(kept with { Products = other });
        Assert.Equal(other, ProductChoice.Choose(ComputeType.Float32, memory));
    }

    // Against sums of the same rounded numbers in float64: a bfloat16 has eight bits.
    [Theory]
    [InlineData(new long[] { 1, 1 }, 1, true)]
    [InlineData(new long[] { 3, 5, 7 }, 11, true)]
    [InlineData(new long[] { 2, 41, 48 }, 144, false)]
    [InlineData(new long[] { 201, 100 }, 33, true)]
    [InlineData(new long[] { 5, 1030 }, 3, false)]
    public void BFloat16ByMklIsRoundedOnce(long[] shape, int outputs, bool bias)
    {
        Assert.SkipUnless(MatrixLibrary.IsThere, "this libtorch has no bfloat16 product of MKL");
        using var random = new Generator(6);
        Tensor Draw(params long[] size) => randn(size, generator: random).to(ScalarType.BFloat16);
        Tensor x = Draw(shape), weight = Draw(outputs, shape[^1]), gradient = Draw([.. shape[..^1], outputs]);
        Tensor? b = bias ? Draw(outputs) : null;
        Tensor[] exact = Results(x.to(ScalarType.Float64), weight.to(ScalarType.Float64), b?.to(ScalarType.Float64), gradient.to(ScalarType.Float64), Products.Libtorch);
        Tensor[] found = Results(x, weight, b, gradient, Products.Mkl);
        foreach ((Tensor expected, Tensor actual) in exact.Zip(found))
        {
            Assert.Equal(ScalarType.BFloat16, actual.dtype);
            Assert.Equal(expected.shape, actual.shape);
            Tensor limit = expected.abs() / 256 + 1e-5 * expected.abs().max().clamp(min: 1);
            Assert.True(((actual.to(ScalarType.Float64) - expected).abs() <= limit).all().item<bool>());
        }
    }

    [Fact]
    public void BFloat16ByMklLeavesNothingBehind()
    {
        Assert.SkipUnless(MatrixLibrary.IsThere, "this libtorch has no bfloat16 product of MKL");
        using Tensor x = randn(9, 20).to(ScalarType.BFloat16).requires_grad_(true), weight = randn(12, 20).to(ScalarType.BFloat16).requires_grad_(true);
        LiveTensors.AssertUnchangedBy(() =>
        {
            using var scope = NewDisposeScope();
            TrainedLinear.Run(TrainedLinear.Run(x, weight, null, Products.Mkl), randn(5, 12).to(ScalarType.BFloat16), null, Products.Mkl).sum().backward();
        });
    }

    [Fact]
    public void WithoutAmxBFloat16IsLeftToLibtorch()
    {
        Assert.SkipWhen(DinoSharp.Diagnostics.Processor.Inspect().InstructionSets.Contains("amx_bf16"), "this processor has AMX");
        using var folder = new TemporaryFolder();
        var memory = new RouteMemory(Path.Combine(folder.Path, "routes.json"));
        Assert.Equal(Products.Libtorch, ProductChoice.Choose(ComputeType.BFloat16, memory));
        Assert.Empty(memory.OfThisMachine()); // nothing was measured
    }

    // The result and the gradients of input, weight and bias.
    private static Tensor[] Results(Tensor x, Tensor weight, Tensor? bias, Tensor? gradient, Products products)
    {
        Tensor[] leaves = [.. new[] { x, weight, bias }.OfType<Tensor>().Select(t => t.detach().requires_grad_(true))];
        Tensor y = TrainedLinear.Run(leaves[0], leaves[1], leaves.ElementAtOrDefault(2), products);
        (gradient is null ? y.sum() : (y * gradient).sum()).backward();
        return [y, .. leaves.Select(leaf => leaf.grad!)];
    }

    private static void AssertNear(Tensor expected, Tensor actual)
    {
        Assert.Equal(expected.shape, actual.shape);
        double limit = 1e-5 * Math.Max(1, expected.abs().max().item<float>());
        Assert.True((expected - actual).abs().max().item<float>() <= limit, $"{(expected - actual).abs().max().item<float>()} over {limit}");
    }
}
