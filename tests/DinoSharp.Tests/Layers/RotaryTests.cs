using CsCheck;
using DinoSharp.Backbones;
using DinoSharp.Layers;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Layers;

public sealed class RotaryTests
{
    /// <summary>The score of a rotated query with a rotated key depends on the distance of their patches only, so it is the same for every pair at the same offset.</summary>
    [Fact]
    public void ScoresDependOnRelativePositionsOnly() =>
        Gen.Select(Gen.Int[2, 9], Gen.Int[2, 9], Gen.Int[0, 100], Gen.Enum<RotaryNormalization>()).Sample(
            (h, w, seed, normalization) =>
            {
                using var scope = NewDisposeScope();
                using var random = new Generator((ulong)seed);
                var rotary = new RotaryPositions(32, new RotaryConfig { Normalization = normalization });
                (Tensor sin, Tensor cos) = rotary.Compute(h, w);
                using RotaryTables tables = RotaryTables.Create(sin, cos, 0);
                Tensor query = randn([1, 1, 1, 32], generator: random).expand(1, 1, h * w, 32), key = randn([1, 1, 1, 32], generator: random).expand(1, 1, h * w, 32);
                Tensor scores = tables.Rotate(query).matmul(tables.Rotate(key).transpose(-2, -1)).view(h, w, h, w); // [h, w, h, w]
                float first = scores[0, 0, 1, 1].item<float>(), last = scores[h - 2, w - 2, h - 1, w - 1].item<float>();
                return Math.Abs(first - last) < 1e-3f;
            },
            iter: 60);

    /// <summary>A rotation keeps lengths, and leaves the prefix tokens alone bit for bit.</summary>
    [Fact]
    public void RotationKeepsLengthsAndPrefix()
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(5);
        var rotary = new RotaryPositions(16, new RotaryConfig());
        (Tensor sin, Tensor cos) = rotary.Compute(5, 7);
        using RotaryTables tables = RotaryTables.Create(sin, cos, prefixTokens: 5);
        Tensor x = randn([2, 3, 40, 16], generator: random);
        Tensor turned = tables.Rotate(x);
        Assert.True((turned.norm(-1) - x.norm(-1)).abs().max().item<float>() < 1e-5f);
        Assert.True(turned.narrow(2, 0, 5).equal(x.narrow(2, 0, 5)).all().item<bool>());
        Assert.False(turned.narrow(2, 5, 35).equal(x.narrow(2, 5, 35)).all().item<bool>());
    }

    [Fact]
    public void AugmentationStaysWithinItsLimitsAndFollowsTheSeed()
    {
        using var scope = NewDisposeScope();
        var rotary = new RotaryPositions(16, new RotaryConfig { ShiftCoordinates = 0.5, JitterCoordinates = 1.5, RescaleCoordinates = 2 });
        using Generator a = new(1), b = new(1), c = new(2);
        Tensor first = rotary.Compute(3, 3, a).Sin, same = rotary.Compute(3, 3, b).Sin, other = rotary.Compute(3, 3, c).Sin, plain = rotary.Compute(3, 3).Sin;
        Assert.True(first.equal(same).all().item<bool>());
        Assert.False(first.equal(other).all().item<bool>());
        Assert.False(first.equal(plain).all().item<bool>());
    }

    /// <summary>The values that official files store, as published in the reference (bfloat16 table of a 64-wide head).</summary>
    [Fact]
    public void BFloat16PeriodsAreThoseOfTheOfficialFiles()
    {
        var rotary = new RotaryPositions(64, new RotaryConfig { Precision = RotaryPrecision.BFloat16 });
        float[] expected = [1, 1.3359375f, 1.78125f, 2.375f, 3.15625f, 4.21875f, 5.625f, 7.5f, 10, 13.3125f, 17.75f, 23.75f, 31.625f, 42.25f, 56.25f, 75];
        using Tensor wide = rotary.Periods.to(ScalarType.Float32);
        Assert.Equal(expected, wide.data<float>().ToArray());
    }
}
