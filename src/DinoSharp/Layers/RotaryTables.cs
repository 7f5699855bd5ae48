using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Cosines and signed sines that rotate queries and keys; the first tokens (class, registers) get the identity.</summary>
internal sealed class RotaryTables : IDisposable
{
    /// <summary>Takes over finished tables; see <see cref="Create"/>.</summary>
    public RotaryTables(Tensor cos, Tensor signedSin) => (Cos, SignedSin) = (cos, signedSin);

    /// <summary>[N, E]</summary>
    public Tensor Cos { get; }

    /// <summary>Sines with the first half of a head negated, so that rotate-half becomes a plain roll. [N, E]</summary>
    public Tensor SignedSin { get; }

    /// <summary>Puts the identity for the prefix tokens in front of the patch tables.</summary>
    /// <param name="sin">[P, E]</param>
    /// <param name="cos">[P, E]</param>
    /// <param name="prefixTokens">1 + R</param>
    public static RotaryTables Create(Tensor sin, Tensor cos, int prefixTokens)
    {
        using var scope = NewDisposeScope();
        long half = sin.shape[^1] / 2;
        Tensor signed = cat([-sin.narrow(-1, 0, half), sin.narrow(-1, half, half)], -1); // [P, E]
        Tensor one = ones([prefixTokens, sin.shape[^1]], dtype: cos.dtype, device: cos.device);
        return new RotaryTables(
            cat([one, cos], 0).MoveToOuterDisposeScope(), // [N, E]
            cat([zeros_like(one), signed], 0).MoveToOuterDisposeScope()); // [N, E]
    }

    /// <summary>Rotates each pair (i, i + E/2) of a head by its angle, in the precision of the tables (paper section 3.2).</summary>
    /// <param name="x">Queries or keys [B, A, N, E]; returned in the same dtype.</param>
    public Tensor Rotate(Tensor x)
    {
        using var scope = NewDisposeScope();
        Tensor v = x.to(Cos.dtype);
        Tensor turned = (v * Cos).Plus(v.roll(v.shape[^1] / 2, -1) * SignedSin); // [B, A, N, E]
        return turned.to(x.dtype).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        Cos.Dispose();
        SignedSin.Dispose();
    }
}
