using DinoSharp.Evaluation;
using DinoSharp.Training.Views.Dense;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Views.Dense;

public sealed class DenseAugmentationTests
{
    // Left half of class 1 and dark, right half of class 2 and bright.
    private static (Tensor Image, Tensor Label) Halves(int height, int width)
    {
        Tensor right = arange(width).ge(width / 2).view(1, 1, -1).expand(1, height, width);
        return ((right.to(ScalarType.Byte) * 200).expand(3, height, width).contiguous(), (right.to(ScalarType.Byte) + 1).contiguous());
    }

    [Fact]
    public void PictureAndLabelMoveTogether()
    {
        using var scope = NewDisposeScope();
        (Tensor image, Tensor label) = Halves(90, 120);
        var augmentation = new SegmentationAugmentation { SizePixels = 64 };
        for (ulong seed = 0; seed < 20; seed++)
        {
            (Tensor view, Tensor classes) = augmentation.Apply(image, label, seed);
            Assert.Equal([3, 64, 64], view.shape);
            Assert.Equal([64, 64], classes.shape);
            Tensor one = classes.eq(1), two = classes.eq(2), bright = view.mean([0]);
            if (!one.any().item<bool>() || !two.any().item<bool>()) continue; // the tenth redraw is used whatever it shows
            Assert.True(bright.masked_select(two).mean().item<float>() > bright.masked_select(one).mean().item<float>());
        }
    }

    [Fact]
    public void SmallPicturesArePaddedWithTheIgnoredLabel()
    {
        using var scope = NewDisposeScope();
        (Tensor image, Tensor label) = Halves(30, 40);
        (Tensor view, Tensor classes) = new SegmentationAugmentation { SizePixels = 64, ScaleRange = (0.5f, 0.5f) }.Apply(image, label, 3);
        Assert.Equal((64 * 64) - (32 * 43), classes.eq(255).sum().item<long>()); // 30x40 becomes 32x43
        Assert.Equal(0, view.masked_select(classes.eq(255)).abs().max().item<float>());
    }

    [Fact]
    public void EqualSeedsGiveEqualViews()
    {
        using var scope = NewDisposeScope();
        (Tensor image, Tensor label) = Halves(90, 120);
        var augmentation = new SegmentationAugmentation { SizePixels = 48 };
        Assert.True(augmentation.Apply(image, label, 5).Image.equal(augmentation.Apply(image, label, 5).Image).all().item<bool>());
        Assert.False(augmentation.Apply(image, label, 5).Image.equal(augmentation.Apply(image, label, 6).Image).all().item<bool>());
    }

    [Fact]
    public void DepthViewsKeepPictureAndDepthTogether()
    {
        using var scope = NewDisposeScope();
        Tensor depth = (arange(640, dtype: ScalarType.Float32) / 640 + 1).view(1, 1, -1).expand(1, 480, 640).contiguous(), image = ((depth - 1) * 0.4).expand(3, 480, 640).contiguous(); // stays below white
        for (ulong seed = 0; seed < 8; seed++)
        {
            (Tensor view, Tensor there) = new DepthAugmentation().Apply(image, depth, seed);
            Assert.Equal([3, 416, 544], view.shape);
            Assert.Equal([1, 416, 544], there.shape);
            Tensor measured = there[0].gt(0);
            Tensor both = stack([view[0].masked_select(measured), there[0].masked_select(measured)]);
            Assert.True(both.corrcoef()[0, 1].item<float>() > 0.99f); // brightness still follows depth
        }

        Assert.Contains("smaller", Assert.Throws<DinoSharpException>(() => new DepthAugmentation().Apply(image.narrow(1, 0, 200), depth.narrow(1, 0, 200), 0)).Message);
    }

    [Fact]
    public void TurningBackAndForthGivesTheMiddleBack()
    {
        using var scope = NewDisposeScope();
        Tensor image = (arange(64).view(1, 64, 1) + arange(64).view(1, 1, 64)).to(ScalarType.Float32) / 128;
        Tensor back = Rotation.Bilinear(Rotation.Bilinear(image, 7), -7);
        Assert.True((back - image).narrow(1, 16, 32).narrow(2, 16, 32).abs().max().item<float>() < 1e-3);
        Assert.True(Rotation.Nearest(image, 90).equal(image.rot90(1, (1, 2))).all().item<bool>()); // positive is counter-clockwise
        Assert.True(Rotation.Nearest(image, 0).equal(image).all().item<bool>());
    }

    [Fact]
    public void MirroredPredictionsAreMirroredBack()
    {
        using var scope = NewDisposeScope();
        Tensor images = rand(2, 3, 4, 5);
        Assert.True(FlipAugmentation.Merge(FlipAugmentation.Add(images)).allclose(images));
        Assert.Throws<DinoSharpException>(() => FlipAugmentation.Merge(rand(3, 1, 2, 2)));
    }

    [Fact]
    public void NothingLeaks()
    {
        using var scope = NewDisposeScope();
        (Tensor image, Tensor label) = Halves(60, 80);
        Tensor depth = ones(1, 480, 640), rgb = rand(3, 480, 640);
        LiveTensors.AssertUnchangedBy(() =>
        {
            (Tensor a, Tensor b) = new SegmentationAugmentation { SizePixels = 32 }.Apply(image, label, 1);
            (Tensor c, Tensor d) = new DepthAugmentation().Apply(rgb, depth, 2);
            foreach (Tensor t in new[] { a, b, c, d }) t.Dispose();
        });
    }
}
