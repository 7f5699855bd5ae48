using System.Runtime.Intrinsics;
using DinoSharp.Inference;
using Xunit;

namespace DinoSharp.Tests.Inference;

/// <summary>Products on the tile against plain loops: sizes that fill no vector, group or block, both orders of memory on both sides.</summary>
public sealed unsafe class MatrixProductTests
{
    private static readonly (int M, int N, int K)[] Sizes = [(1, 1, 1), (7, 5, 3), (9, 17, 8), (8, 48, 130), (33, 65, 200), (131, 97, 515), (5, 3100, 9), (260, 30, 1030)];

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void EqualsPlainLoops(bool wide)
    {
        if (wide) Check<Lanes512, Vector512<float>>();
        else Check<Lanes256, Vector256<float>>();
    }

    [Fact]
    public void TheNumberOfThreadsChangesNoBit()
    {
        Assert.SkipUnless(Lanes256.IsSupported, "this processor has no AVX2");
        var random = new Random(2);
        float[] left = Fill(random, 300 * 700), right = Fill(random, 700 * 130), bias = Fill(random, 130);
        float[] alone = Product<Lanes256, Vector256<float>>(new Workers(() => 1), left, true, right, false, bias, 300, 130, 700);
        float[] together = Product<Lanes256, Vector256<float>>(new Workers(() => 3), left, true, right, false, bias, 300, 130, 700);
        Assert.Equal(alone, together);
    }

    private static void Check<L, V>()
        where L : struct, ILanes<V>
        where V : struct
    {
        Assert.SkipUnless(L.Count == 16 ? Lanes512.IsSupported : Lanes256.IsSupported, $"this processor has no vectors of {32 * L.Count} bits");
        var random = new Random(1);
        var workers = new Workers(() => 2);
        foreach ((int m, int n, int k) in Sizes)
        {
            foreach (bool leftAlong in new[] { true, false })
            {
                foreach (bool rightAlong in new[] { true, false })
                {
                    float[] left = Fill(random, m * k), right = Fill(random, n * k);
                    float[]? bias = leftAlong ? Fill(random, n) : null;
                    float[] got = Product<L, V>(workers, left, leftAlong, right, rightAlong, bias, m, n, k);
                    for (int i = 0; i < m; i++)
                    {
                        for (int j = 0; j < n; j++)
                        {
                            double sum = bias?[j] ?? 0;
                            for (int s = 0; s < k; s++) sum += (double)left[leftAlong ? (i * k) + s : (s * m) + i] * right[rightAlong ? (j * k) + s : (s * n) + j];
                            Assert.True(Math.Abs(got[(i * n) + j] - sum) <= 1e-5 * Math.Sqrt(k), $"[{m}, {k}]·[{k}, {n}], {leftAlong}, {rightAlong}, at {i}, {j}: {got[(i * n) + j]}, expected {sum}");
                        }
                    }
                }
            }
        }
    }

    private static float[] Product<L, V>(Workers workers, float[] left, bool leftAlong, float[] right, bool rightAlong, float[]? bias, int m, int n, int k)
        where L : struct, ILanes<V>
        where V : struct
    {
        float[] result = new float[(m * n) + 1];
        result[^1] = 42; // nothing may be written beyond the end
        fixed (float* l = left, r = right, b = bias, y = result)
        {
            lock (Workers.Shared.Turn)
            {
                lock (workers.Turn) MatrixProduct<L, V>.Multiply(workers, new Side(l, m, k, leftAlong), new Side(r, n, k, rightAlong), b, y);
            }
        }

        Assert.Equal(42, result[^1]);
        return result[..^1];
    }

    private static float[] Fill(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 2) - 1)];
}
