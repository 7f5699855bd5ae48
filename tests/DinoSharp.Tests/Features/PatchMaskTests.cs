using DinoSharp.Features;
using DinoSharp.Images;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Features;

public class PatchMaskTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(-1)] // the sign of the component must not matter
    public void GuessFindsTheThingInTheMiddle(int sign)
    {
        const int side = 12;
        var random = new Random(0);
        bool[] subject = [.. Enumerable.Range(0, side * side).Select(i => IsSubject(i / side, i % side))];
        float[] values = [.. subject.SelectMany(inside => Enumerable.Range(0, 5).Select(d => (float)(sign * (inside ? d : -d)) + (0.1f * random.NextSingle())))];
        PatchMask mask = Assert.Single(PatchMask.Guess([new PatchMap(side, side, 5, values, PatchGeometry.Whole(192, 192))]));
        Assert.Equal(subject, mask.Values.ToArray());

        static bool IsSubject(int row, int column) => (row is > 2 and < 9 && column is > 3 and < 8) || (row is > 3 and < 8 && column is > 2 and < 9); // no corners: the median filter rounds them
    }

    [Fact]
    public void TheMedianFilterRemovesSpecksAndSeesZerosBeyondTheBorder()
    {
        bool[] speck = new bool[25];
        speck[12] = true;
        Assert.Equal(0, new PatchMask(5, 5, speck).Median().Count);

        bool[] full = [.. Enumerable.Repeat(true, 25)];
        bool[] corners = [.. Enumerable.Range(0, 25).Select(i => i is not (0 or 4 or 20 or 24))]; // four of nine neighbours are inside
        Assert.Equal(corners, new PatchMask(5, 5, full).Median().Values.ToArray());
    }

    [Fact]
    public void APictureOfAnySizeBecomesAMaskByCoverage()
    {
        // 30x10, white left of x = 14.
        byte[] gray = [.. Enumerable.Range(0, 300).Select(i => (byte)(i % 30 < 14 ? 255 : 0))];
        ImageBuffer picture = ImageBuffer.FromSamples<byte>(30, 10, 1, gray);
        PatchMask mask = PatchMask.FromPicture(picture, 2, 6, PatchGeometry.Whole(96, 32)); // a patch covers 5 columns of the mask
        Assert.Equal([true, true, true, false, false, false, true, true, true, false, false, false], mask.Values.ToArray());
    }

    [Fact]
    public void AMaskFollowsTheGeometryOfTheGrid()
    {
        byte[] gray = [.. Enumerable.Range(0, 64).Select(i => (byte)(i % 8 < 4 ? 255 : 0))];
        var right = new PatchGeometry(80, 80, Left: 40, Top: 0, Width: 40, Height: 80);
        Assert.Equal(0, PatchMask.FromPicture(ImageBuffer.FromSamples<byte>(8, 8, 1, gray), 4, 2, right).Count);
        var padded = new PatchGeometry(80, 80, Left: -80, Top: 0, Width: 160, Height: 80);
        Assert.Equal([false, false, true, false], PatchMask.FromPicture(ImageBuffer.FromSamples<byte>(8, 8, 1, gray), 1, 4, padded).Values.ToArray());
    }

    [Fact]
    public void AMaskOfAnotherShapeIsRefused()
    {
        ImageBuffer square = ImageBuffer.FromSamples<byte>(8, 8, 1, new byte[64]);
        Assert.Contains("8x8", Assert.Throws<DinoSharpException>(() => PatchMask.FromPicture(square, 2, 4, PatchGeometry.Whole(64, 32))).Message);
    }

    [Fact]
    public void AlphaCountsBeforeBrightness()
    {
        byte[] rgba = [.. Enumerable.Range(0, 16).SelectMany(i => new byte[] { 255, 255, 255, (byte)(i < 8 ? 255 : 0) })];
        using var folder = new TemporaryFolder();
        ImageBuffer.FromSamples<byte>(4, 4, 4, rgba).Save(folder.File("mask.png"));
        Assert.Equal([true, false], PatchMask.FromPicture(ImageFile.Read(folder.File("mask.png")), 2, 1, PatchGeometry.Whole(16, 16)).Values.ToArray());
    }

    [Fact]
    public void OtsuCutsBetweenTwoGroups()
    {
        float threshold = PatchMask.Otsu([0, 0.1f, 0.2f, 5, 5.1f, 5.2f]);
        Assert.InRange(threshold, 1, 4);
        Assert.Equal(2, PatchMask.Otsu([2, 2, 2]));
    }

    [Fact]
    public void MedianOfAMatrix()
    {
        using var scope = NewDisposeScope();
        Tensor map = tensor(new float[] { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, [3, 3]);
        Tensor median = Filters.Median(map, 3);
        Assert.Equal(5, median[1, 1].item<float>());
        Assert.Equal(0, median[0, 0].item<float>()); // five zeros beside 1 2 4 5
        Assert.Equal(2, median[0, 1].item<float>()); // three zeros beside 1 2 3 4 5 6
        LiveTensors.AssertUnchangedBy(() => Filters.Median(map, 3).Dispose());
    }
}
