using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Probes;
using Xunit;

namespace DinoSharp.Tests.Probes;

public sealed class PatchClassifierTests
{
    private const int Side = 14, Dim = 12, Pixels = 4;

    // Three textures: ground 0, an upright bar 5, a level bar 9; `shift` moves the bars.
    private static int Texture(int y, int x, int shift) => x >= 3 + shift && x < 6 + shift ? 5 : y >= 8 + shift && y < 11 + shift ? 9 : 0;

    private static PatchMap Map(int shift)
    {
        float[] values = new float[Side * Side * Dim];
        var noise = new Random(shift);
        for (int i = 0; i < Side * Side; i++)
        {
            var random = new Random(Texture(i / Side, i % Side, shift) * 17);
            for (int d = 0; d < Dim; d++) values[(i * Dim) + d] = (float)(random.NextDouble() - 0.5 + (0.1 * (noise.NextDouble() - 0.5)));
        }

        return new PatchMap(Side, Side, Dim, values, PatchGeometry.Whole(Side * Pixels, Side * Pixels));
    }

    private static LabelMap Mask(int shift, Func<int, int, bool>? painted = null) => new(Side * Pixels, Side * Pixels,
        [.. Enumerable.Range(0, Side * Pixels * Side * Pixels).Select(i => (X: i % (Side * Pixels), Y: i / (Side * Pixels)))
            .Select(p => painted?.Invoke(p.X, p.Y) == false ? (byte)255 : (byte)Texture(p.Y / Pixels, p.X / Pixels, shift))]);

    private static double Agreement(LabelMap a, LabelMap b) => a.Values.ToArray().Zip(b.Values.ToArray()).Average(p => p.First == p.Second ? 1.0 : 0.0);

    [Fact]
    public void TwoMasksTeachAllClasses()
    {
        using PatchClassifier classifier = PatchClassifier.Fit([new(Map(0), Mask(0)), new(Map(1), Mask(1))]);
        Assert.Equal([0, 5, 9], classifier.Ids);
        Assert.Equal(1, classifier.HeldOutIou!.Value, 3);
        Assert.InRange(Agreement(classifier.Segment(Map(3)), Mask(3)), 0.95, 1); // corners are rounded by the median
    }

    [Fact]
    public void ScribblesAreEnough()
    {
        // Only one row and one column of pixels are painted.
        using PatchClassifier classifier = PatchClassifier.Fit([new(Map(0), Mask(0, (x, y) => y == 5 || x == 50))]);
        Assert.Equal([0, 5, 9], classifier.Ids);
        Assert.InRange(Agreement(classifier.Segment(Map(2)), Mask(2)), 0.95, 1);
    }

    [Fact]
    public void TheSizeOfTheMaskDoesNotMatter()
    {
        using PatchClassifier small = PatchClassifier.Fit([new(Map(0), Mask(0).ResizeNearestExact(Side, Side))]), large = PatchClassifier.Fit([new(Map(0), Mask(0).ResizeNearestExact(Side * 9, Side * 9))]);
        Assert.Equal(small.Segment(Map(1)).Values.ToArray(), large.Segment(Map(1)).Values.ToArray());
    }

    [Fact]
    public void OneClassAloneIsRefused()
    {
        var plain = new LabelMap(1, 1, [3]);
        Assert.Contains("only the class 3", Assert.Throws<DinoSharpException>(() => PatchClassifier.Fit([new(Map(0), plain)])).Message);
        Assert.Contains("no class", Assert.Throws<DinoSharpException>(() => PatchClassifier.Fit([new(Map(0), new LabelMap(1, 1, [255]))])).Message);
    }

    [Fact]
    public void NothingLeaks()
    {
        MaskExample[] examples = [new(Map(0), Mask(0)), new(Map(1), Mask(1))];
        LiveTensors.AssertUnchangedBy(() =>
        {
            using PatchClassifier classifier = PatchClassifier.Fit(examples, new() { CandidatesC = [0.1, 1] });
            classifier.Segment(examples[0].Patches);
        });
    }

    [Fact]
    public void TheRimKeepsItsClass()
    {
        // The lowest class in the middle, another all around.
        LabelMap mask = new(Side * Pixels, Side * Pixels, [.. Mask(0).Values.ToArray().Select(id => (byte)(9 - id))]); // ground 9, bars 4 and 0
        using PatchClassifier classifier = PatchClassifier.Fit([new(Map(0), mask)]);
        LabelMap result = classifier.Segment(Map(0));
        Assert.Equal((9, 9), (result.Values[0], result.Values[^1]));
    }

    [Fact]
    public void AMaskOfAnotherShapeIsRefused() =>
        Assert.Contains("must have the same shape", Assert.Throws<DinoSharpException>(() => PatchClassifier.Fit([new(Map(0), Mask(0).ResizeNearestExact(Side * 2, Side))])).Message);
}
