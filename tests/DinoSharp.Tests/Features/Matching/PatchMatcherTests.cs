using CsCheck;
using DinoSharp.Features;
using DinoSharp.Features.Matching;
using Xunit;

namespace DinoSharp.Tests.Features.Matching;

public sealed class PatchMatcherTests
{
    // Every patch has a direction of its own, so the right answer is known.
    private static PatchMap World(int height, int width, Func<int, int, int> identity, int seed = 0)
    {
        const int dim = 24;
        float[] values = new float[height * width * dim];
        for (int i = 0; i < height * width; i++)
        {
            var random = new Random((identity(i / width, i % width) * 7919) + seed);
            for (int d = 0; d < dim; d++) values[(i * dim) + d] = (float)((random.NextDouble() * 2) - 1);
        }

        return new PatchMap(height, width, dim, values, PatchGeometry.Whole(width * 10, height * 20));
    }

    [Fact]
    public void AShiftedPictureIsMatchedExactly()
    {
        PatchMap a = World(8, 12, (y, x) => (y * 100) + x), b = World(8, 12, (y, x) => ((y + 2) * 100) + x + 3);
        IReadOnlyList<PatchMatch> matches = PatchMatcher.Match(a, b, new() { Mutual = true, MinSimilarity = 0.99f });
        Assert.Equal(6 * 9, matches.Count);
        Assert.All(matches, m => Assert.Equal((m.A.X - 30, m.A.Y - 40), (m.B.X, m.B.Y)));
        Assert.All(matches, m => Assert.Equal(1, m.Similarity, 5));
        Assert.Equal(new ImagePoint(35, 50), matches[0].A); // patch row 2, column 3: middle at 3.5·10, 2.5·20
    }

    [Fact]
    public void WithoutConditionsEveryPatchOfAHasOneMatch()
    {
        PatchMap a = World(3, 4, (y, x) => y + x), b = World(5, 6, (y, x) => y * x, seed: 9);
        IReadOnlyList<PatchMatch> matches = PatchMatcher.Match(a, b);
        Assert.Equal(Enumerable.Range(0, 12), matches.Select(m => m.PatchA));
    }

    [Fact]
    public void MutualMatchesAreTheSameInBothDirections()
    {
        PatchMap a = World(6, 7, (y, x) => (y * 7) + x), b = World(7, 6, (y, x) => (y * 6) + x + 5, seed: 1);
        var forth = PatchMatcher.Match(a, b, new() { Mutual = true }).Select(m => (m.PatchA, m.PatchB));
        var back = PatchMatcher.Match(b, a, new() { Mutual = true }).Select(m => (m.PatchB, m.PatchA));
        Assert.Equal(forth.Order(), back.Order());
    }

    [Fact]
    public void RefinementMovesTowardsTheTruePlace()
    {
        // Vectors turn smoothly along x, so the similarity is a bump around the true place, here 0.3 patches to the right of a centre.
        static PatchMap Ramp(double shift) => new(1, 9, 2, [.. Enumerable.Range(0, 9).SelectMany(x => new[] { (float)Math.Cos((x + shift) / 5), (float)Math.Sin((x + shift) / 5) })], PatchGeometry.Whole(90, 10));
        PatchMatch match = PatchMatcher.Match(Ramp(0.3), Ramp(0), new() { Refine = true })[4];
        Assert.Equal(4, match.PatchB);
        Assert.Equal(48, match.B.X, 1); // column 4.3 → (4.3 + 0.5)·10
        Assert.Equal(5, match.B.Y, 6);
    }

    [Fact]
    public void ForegroundIsCheckedOnBothSides()
    {
        PatchMap a = World(2, 2, (y, x) => (y * 2) + x);
        IReadOnlyList<PatchMatch> matches = PatchMatcher.Match(a, a, new() { ForegroundA = new(2, 2, [true, true, false, true]), ForegroundB = new(2, 2, [false, true, true, true]) });
        Assert.Equal([1, 3], matches.Select(m => m.PatchA));
        Assert.Contains("1x2", Assert.Throws<DinoSharpException>(() => PatchMatcher.Match(a, a, new() { ForegroundA = new(1, 2, [true, true]) })).Message);
    }

    [Fact]
    public void DifferentModelsAreRefused()
    {
        var other = new PatchMap(1, 1, 3, [1, 2, 3], PatchGeometry.Whole(1, 1));
        Assert.Contains("same model", Assert.Throws<DinoSharpException>(() => PatchMatcher.Match(World(1, 1, (_, _) => 0), other)).Message);
    }

    [Fact]
    public void SpacedPointsAreFarApartAndNoneIsDroppedNeedlessly() =>
        Gen.Select(Gen.Select(Gen.Double[0, 100], Gen.Double[0, 100]).Array[0, 60], Gen.Double[1, 60]).Sample((places, distance) =>
        {
            ImagePoint[] points = [.. places.Select(p => new ImagePoint(p.Item1, p.Item2))];
            int[] kept = PointSpacing.Select(points, distance);
            Assert.True(kept.Length > 0 || points.Length == 0);
            foreach (int i in kept) Assert.All(kept.Where(j => j != i), j => Assert.True(points[i].DistanceTo(points[j]) > distance));
            Assert.Equal(ByTheBook(points, distance), kept);
        }, iter: 200);

    // The published procedure, word for word.
    private static int[] ByTheBook(ImagePoint[] points, double distance)
    {
        List<int> left = [.. Enumerable.Range(0, points.Length)];
        while (true)
        {
            int[] counts = [.. left.Select(i => left.Count(j => j != i && points[i].DistanceTo(points[j]) <= distance))];
            if (counts.Length == 0 || counts.Max() == 0) return [.. left];
            left.RemoveAt(Array.IndexOf(counts, counts.Max()));
        }
    }

    [Fact]
    public void NothingLeaks()
    {
        PatchMap a = World(4, 4, (y, x) => (y * 4) + x);
        LiveTensors.AssertUnchangedBy(() => PatchMatcher.Match(a, a, new() { Mutual = true, Refine = true, MinSpacing = 15 }));
    }
}
