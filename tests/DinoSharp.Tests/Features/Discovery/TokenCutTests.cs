using DinoSharp.Features;
using DinoSharp.Features.Discovery;
using DinoSharp.Images;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Features.Discovery;

public sealed class TokenCutTests
{
    // A rectangle of one texture before a ground of another, both with noise. The ground is larger.
    private static PatchMap World(int side, Box thing, double noise = 0.3)
    {
        const int dim = 32;
        var random = new Random(1);
        float[] values = new float[side * side * dim];
        for (int i = 0; i < side * side; i++)
        {
            int x = i % side, y = i / side;
            bool inside = x >= thing.X && x < thing.X + thing.Width && y >= thing.Y && y < thing.Y + thing.Height;
            for (int d = 0; d < dim; d++) values[(i * dim) + d] = (float)(((d < dim / 2) == inside ? 1 : 0) + (noise * (random.NextDouble() - 0.5)));
        }

        return new PatchMap(side, side, dim, values, PatchGeometry.Whole(side * 16, side * 16));
    }

    [Fact]
    public void TheObjectAndItsBoxAreFound()
    {
        DiscoveredObject found = TokenCut.Find(World(24, new Box(5, 8, 6, 4)))!;
        Assert.Equal(new Box(80, 128, 96, 64), found.Box);
        Assert.Equal(24, found.Mask.Count);
        Assert.True(found.Saliency[9, 6] > found.Saliency[0, 0]);
    }

    [Fact]
    public void OnlyThePartAroundTheMostSalientPatchCounts()
    {
        PatchMap two = World(24, new Box(2, 2, 5, 5));
        float[] values = two.Values.ToArray();
        two[3, 3].CopyTo(values.AsSpan(((20 * 24) + 20) * two.Dim)); // a lone patch of the same kind elsewhere
        DiscoveredObject found = TokenCut.Find(new PatchMap(24, 24, two.Dim, values, two.Geometry))!;
        Assert.Equal(new Box(32, 32, 80, 80), found.Box);
    }

    [Fact]
    public void ABlankPictureHasNoObject()
    {
        Assert.Null(TokenCut.Find(World(12, new Box(0, 0, 0, 0)))); // all alike
        Assert.Null(TokenCut.Find(new PatchMap(2, 2, 4, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], PatchGeometry.Whole(32, 32)))); // no two alike
        Assert.Null(TokenCut.Find(new PatchMap(2, 2, 1, new float[4], PatchGeometry.Whole(32, 32))));
    }

    [Fact]
    public void LargeMapsAreAveragedFirst()
    {
        DiscoveredObject found = TokenCut.Find(World(24, new Box(4, 8, 6, 4)), new() { MaxPatches = 144 })!;
        Assert.Equal((12, 12), (found.Mask.Height, found.Mask.Width));
        Assert.Equal(new Box(64, 128, 96, 64), found.Box);
    }

    [Fact]
    public void TheEigenvectorIsTheOneOfTheFullDecomposition()
    {
        using var scope = NewDisposeScope();
        manual_seed(5);
        Tensor half = rand(80, 80), weights = (half + half.t()).pow(6) + 1e-3;
        Tensor vector = SecondEigenvector.Find(weights).to(ScalarType.Float64);
        Tensor scale = weights.to(ScalarType.Float64).sum([1]).rsqrt(), normal = diag(scale).matmul(weights.to(ScalarType.Float64)).matmul(diag(scale));
        (_, Tensor all) = linalg.eigh(normal);
        Tensor expected = nn.functional.normalize(all.select(1, 78) * scale, dim: 0);
        Assert.Equal(1, Math.Abs(nn.functional.normalize(vector, dim: 0).dot(expected).item<double>()), 5);
    }

    [Fact]
    public void NothingLeaksAndOnePatchIsNotEnough()
    {
        PatchMap map = World(10, new Box(2, 2, 3, 3));
        LiveTensors.AssertUnchangedBy(() => TokenCut.Find(map));
        Assert.Contains("larger size", Assert.Throws<DinoSharpException>(() => TokenCut.Find(new PatchMap(1, 1, 2, [1, 2], PatchGeometry.Whole(16, 16)))).Message);
    }
}
