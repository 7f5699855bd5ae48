using DinoSharp.Images;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Images;

/// <summary>Against libtorch, for every pair of lengths. Exact quotients differ from it for 14 → 46 and others.</summary>
public sealed class NearestPixelTests
{
    private const int Longest = 130;

    [Fact]
    public void EdgesAreThoseOfPyTorch() => Compare(NearestPixel.UnderEdge, (row, to) => nn.functional.interpolate(row, [to], mode: InterpolationMode.Nearest));

    [Fact]
    public void MiddlesAreThoseOfPyTorch()
    {
        // Of a map of one channel, as masks are: libtorch has another path for several, which rounds otherwise for some lengths (2 → 41).
        using var script = jit.compile("def nearest_exact(x, n: int):\n    return torch._upsample_nearest_exact2d(x, [1, n], None)\n");
        Compare(NearestPixel.UnderMiddle, (row, to) => (Tensor)script.invoke("nearest_exact", row.unsqueeze(2), to));
    }

    private static void Compare(Func<int, int, int[]> ours, Func<Tensor, long, Tensor> theirs)
    {
        for (int from = 1; from <= Longest; from++)
        {
            using var scope = NewDisposeScope();
            Tensor row = arange(from, dtype: ScalarType.Float32).view(1, 1, from);
            for (int to = 1; to <= Longest; to++)
            {
                float[] expected = theirs(row, to).data<float>().ToArray();
                Assert.True(ours(from, to).Select(i => (float)i).SequenceEqual(expected), $"{from} to {to}");
            }
        }
    }
}
