using DinoSharp.Inference;
using DinoSharp.Layers;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Layers;

/// <summary>The linear layer on our own tile against libtorch's: results and all gradients.</summary>
public sealed class TileLinearTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public TileLinearTests() => Assert.SkipUnless(Kernels.Has(ComputeType.Float32, out string reason), reason);

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
        Assert.All(Results(x, weight, b, gradient, onTiles: false).Zip(Results(x, weight, b, gradient, onTiles: true)), pair => AssertNear(pair.First, pair.Second));
    }

    [Fact]
    public void TakesViewsAndExpandedGradients()
    {
        using var random = new Generator(4);
        Tensor x = randn([6, 5, 10], generator: random).transpose(0, 1), weight = randn([8, 10], generator: random).t().contiguous().t(); // [5, 6, 10], [8, 10]
        // The gradient of a sum is one number seen everywhere.
        Assert.All(Results(x, weight, null, null, onTiles: false).Zip(Results(x, weight, null, null, onTiles: true)), pair => AssertNear(pair.First, pair.Second));
    }

    [Fact]
    public void GivesGradientsOnlyWhereTheyAreNeeded()
    {
        using var random = new Generator(5);
        Tensor x = randn([4, 6], generator: random), weight = randn([3, 6], generator: random), bias = randn([3], generator: random).requires_grad_(true);
        TileLinear.Run(x, weight, bias, onTiles: true).sum().backward();
        Assert.Equal([4f, 4, 4], bias.grad!.data<float>().ToArray());
        Assert.Null(x.grad);
        Assert.Null(weight.grad);
        using var quiet = no_grad();
        Assert.False(TileLinear.Run(x, weight, bias, onTiles: true).requires_grad);
    }

    [Fact]
    public void LeavesNothingBehind()
    {
        using Tensor x = randn(9, 20).requires_grad_(true), weight = randn(12, 20).requires_grad_(true);
        LiveTensors.AssertUnchangedBy(() =>
        {
            using var scope = NewDisposeScope();
            TileLinear.Run(TileLinear.Run(x, weight, null, onTiles: true), randn(5, 12), null, onTiles: true).sum().backward();
        });
    }

    [Fact]
    public void TheChoiceIsKept()
    {
        using var folder = new TemporaryFolder();
        var memory = new RouteMemory(Path.Combine(folder.Path, "routes.json"));
        bool chosen = ProductChoice.Choose(memory);
        Choice kept = Assert.Single(memory.OfThisMachine());
        Assert.Equal(chosen, kept.Products == Products.Own);
        memory.Keep(kept with { Products = chosen ? Products.Libtorch : Products.Own });
        Assert.Equal(!chosen, ProductChoice.Choose(memory));
    }

    // The result and the gradients of input, weight and bias.
    private static Tensor[] Results(Tensor x, Tensor weight, Tensor? bias, Tensor? gradient, bool onTiles)
    {
        Tensor[] leaves = [.. new[] { x, weight, bias }.OfType<Tensor>().Select(t => t.detach().requires_grad_(true))];
        Tensor y = TileLinear.Run(leaves[0], leaves[1], leaves.ElementAtOrDefault(2), onTiles);
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
