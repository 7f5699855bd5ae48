using DinoSharp.Features;
using DinoSharp.Features.Propagation;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Features.Propagation;

public sealed class MaskTrackerTests
{
    private const int Side = 12, Dim = 16;

    // Two squares of their own texture on a plain ground, each 3x3 patches, moving one patch a frame.
    private static (PatchMap Map, LabelMap Mask) Frame(int t)
    {
        byte[] ids = new byte[Side * Side];
        float[] values = new float[Side * Side * Dim];
        for (int y = 0; y < Side; y++)
        {
            for (int x = 0; x < Side; x++)
            {
                byte id = x >= t && x < t + 3 && y is >= 1 and < 4 ? (byte)3 : x >= 8 - t && x < 11 - t && y is >= 7 and < 10 ? (byte)7 : (byte)0;
                ids[(y * Side) + x] = id;
                var random = new Random(id * 31);
                for (int d = 0; d < Dim; d++) values[(((y * Side) + x) * Dim) + d] = (float)(random.NextDouble() - 0.5);
            }
        }

        return (new PatchMap(Side, Side, Dim, values, PatchGeometry.Whole(Side * 4, Side * 4)), new LabelMap(Side, Side, ids));
    }

    [Theory]
    [InlineData(MaskUpsampling.NearestStretched)]
    [InlineData(MaskUpsampling.Bilinear)]
    public void MovingObjectsAreFollowedExactly(MaskUpsampling upsampling)
    {
        using var tracker = new MaskTracker(Frame(0).Map, Frame(0).Mask, new() { Upsampling = upsampling, Radius = 4 });
        Assert.Equal([0, 3, 7], tracker.Ids);
        for (int t = 1; t < 7; t++)
        {
            tracker.Advance(Frame(t).Map);
            Assert.Equal(Frame(t).Mask.Values, tracker.Mask(Side, Side).Values);
        }
    }

    [Fact]
    public void OnlyPatchesWithinTheNeighbourhoodVote()
    {
        // The object jumps 6 patches: out of reach with radius 2, so it is lost; found without a limit.
        using var near = new MaskTracker(Frame(0).Map, Frame(0).Mask, new() { Radius = 2, Upsampling = MaskUpsampling.Bilinear });
        using var anywhere = new MaskTracker(Frame(0).Map, Frame(0).Mask, new() { Radius = null, Upsampling = MaskUpsampling.Bilinear });
        near.Advance(Frame(6).Map);
        anywhere.Advance(Frame(6).Map);
        Assert.Equal(Frame(6).Mask.Values, anywhere.Mask(Side, Side).Values);
        Assert.DoesNotContain((byte)3, near.Mask(Side, Side).Ids);
    }

    [Fact]
    public void WithoutContextOnlyTheFirstFrameVotes()
    {
        using var tracker = new MaskTracker(Frame(0).Map, Frame(0).Mask, new() { ContextLength = 0, Radius = null, Upsampling = MaskUpsampling.Bilinear });
        for (int t = 1; t < 4; t++) tracker.Advance(Frame(t).Map);
        Assert.Equal(Frame(3).Mask.Values, tracker.Mask(Side, Side).Values);
    }

    [Fact]
    public void AFrameOfAnotherSizeIsRefused()
    {
        using var tracker = new MaskTracker(Frame(0).Map, Frame(0).Mask);
        var other = new PatchMap(1, 1, Dim, new float[Dim], PatchGeometry.Whole(1, 1));
        Assert.Contains("12x12", Assert.Throws<DinoSharpException>(() => tracker.Advance(other)).Message);
        Assert.Contains("temperature", Assert.Throws<DinoSharpException>(() => new MaskTracker(Frame(0).Map, Frame(0).Mask, new() { Temperature = 0 })).Message);
    }

    [Fact]
    public void NothingLeaks() => LiveTensors.AssertUnchangedBy(() =>
    {
        using var tracker = new MaskTracker(Frame(0).Map, Frame(0).Mask, new() { ContextLength = 2 });
        for (int t = 1; t < 6; t++) tracker.Advance(Frame(t).Map);
    });
}
