using System.Runtime.Intrinsics;
using DinoSharp.Inference;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Inference;

/// <summary>The elementary functions of the kernels against float64, over all of their range.</summary>
public sealed unsafe class FunctionsTests
{
    [Fact]
    public void Avx512() => Check<Lanes512, Vector512<float>>(Lanes512.IsSupported, "AVX-512");

    [Fact]
    public void Avx2() => Check<Lanes256, Vector256<float>>(Lanes256.IsSupported, "AVX2");

    private static void Check<L, V>(bool supported, string name)
        where L : struct, ILanes<V>
        where V : struct
    {
        Assert.SkipUnless(supported, $"this processor has no {name}");
        using var scope = NewDisposeScope();
        Tensor x = cat([linspace(-12, 12, 16384), linspace(-86, 87, 16384), tensor([0f, -0f, 1e-30f, -1e-30f, 5.65f, -5.65f, 3.999f, -4.001f, 100f, -100f, 1e4f, -1e4f, 1f, -1f, 2f, -2f])], 0); // [32784]
        Tensor exact = x.to(ScalarType.Float64);
        Compare(x, &Functions<L, V>.Exp, exact.clamp(-87, 88).exp(), relative: 2e-7, absolute: 1e-37);
        Compare(x.clamp_max(100), &Functions<L, V>.Exp2, exact.clamp(-126, 100).exp2(), relative: 2e-7, absolute: 1e-37);
        Compare(x, &Functions<L, V>.Gelu, exact * 0.5 * (1 + (exact * Math.Sqrt(0.5)).erf()), relative: 3e-7, absolute: 1e-6); // 1 + erf cancels where the tail is that small; float32 keeps no more
        Compare(x, &Functions<L, V>.Silu, exact / (1 + (-exact).exp()), relative: 4e-7, absolute: 1e-30);

        static void Compare(Tensor x, delegate*<V, V> function, Tensor expected, double relative, double absolute)
        {
            float[] source = x.data<float>().ToArray(), result = new float[source.Length];
            fixed (float* from = source, to = result)
            {
                for (int i = 0; i < source.Length; i += L.Count) L.Store(to + i, function(L.Load(from + i)));
            }

            using Tensor error = (tensor(result).to(ScalarType.Float64) - expected).abs() - (expected.abs() * relative) - absolute;
            (Tensor worst, Tensor at) = error.max(0);
            Assert.True(worst.item<double>() <= 0, $"at {source[at.item<long>()]}: {result[at.item<long>()]}, expected {expected[at.item<long>()].item<double>()}");
        }
    }
}
