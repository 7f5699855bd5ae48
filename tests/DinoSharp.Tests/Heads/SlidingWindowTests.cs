using CsCheck;
using DinoSharp.Heads.Segmentation;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Heads;

public sealed class SlidingWindowTests
{
    [Fact]
    public void WindowsCoverEveryPixelAndStayInside() => Gen.Select(Gen.Int[1, 200], Gen.Int[1, 80], Gen.Int[1, 80])
        .Where((_, crop, stride) => stride <= crop)
        .Sample((size, crop, stride) =>
        {
            int length = Math.Min(crop, size);
            var covered = new bool[size];
            foreach (int start in SlidingWindow.Starts(size, crop, stride))
            {
                Assert.InRange(start, 0, size - length);
                Array.Fill(covered, true, start, length);
            }

            Assert.DoesNotContain(false, covered);
        });

    [Fact]
    public void ScoresThatDependOnThePixelAloneAreNotChanged() => Gen.Select(Gen.Int[8, 60], Gen.Int[8, 60], Gen.Int[4, 40], Gen.Int[4, 40]).Sample(
        (height, width, crop, stride) =>
        {
            using var scope = NewDisposeScope();
            Tensor image = rand(1, 3, height, width);
            Tensor scores = new SlidingWindow(crop, crop, Math.Min(stride, Math.Min(crop, Math.Min(height, width))), Math.Min(stride, Math.Min(crop, Math.Min(height, width)))).Run(image, window => window * 2 + 1);
            Assert.True((scores - (image * 2 + 1)).abs().max().item<float>() < 1e-5f);
        },
        iter: 50);

    [Fact]
    public void AStrideThatLeavesGapsIsNamed()
    {
        using var scope = NewDisposeScope();
        string message = Assert.Throws<DinoSharpException>(() => new SlidingWindow(16, 16, 20, 20).Run(zeros(1, 3, 64, 64), w => w)).Message;
        Assert.Contains("every 20x20 pixels", message, StringComparison.Ordinal);
    }

    [Fact]
    public void ACancelledRunStops()
    {
        using var scope = NewDisposeScope();
        Assert.Throws<OperationCanceledException>(() => new SlidingWindow(16, 16, 16, 16).Run(zeros(1, 3, 64, 64), w => w, new CancellationToken(canceled: true)));
    }
}
