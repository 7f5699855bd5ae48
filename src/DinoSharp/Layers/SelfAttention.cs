using DinoSharp.Backbones;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Multi-head self-attention: softmax(q kᵀ / √E) v with rotated q and k.</summary>
internal sealed class SelfAttention : nn.Module
{
    [ComponentName(Name = "qkv")] private readonly QkvProjection _qkv;
    [ComponentName(Name = "proj")] private readonly Linear _proj;
    private readonly int _heads;

    public SelfAttention(VisionTransformerConfig config, Device? device = null)
        : base(nameof(SelfAttention))
    {
        _heads = config.Heads;
        _qkv = new QkvProjection(config.Width, config.QkvBias, config.MaskKeyBias, device);
        _proj = new Linear(config.Width, config.Width, config.ProjectionBias, device);
        RegisterComponents();
    }

    public QkvProjection Qkv => _qkv;

    public Linear Projection => _proj;

    /// <param name="x">[B, N, D]</param>
    /// <param name="rope">Tables of N tokens; null: positions do not count.</param>
    public Tensor Forward(Tensor x, RotaryTables? rope)
    {
        using var scope = NewDisposeScope();
        (Tensor q, Tensor k, Tensor v) = ProjectAndRotate(x, rope);
        Tensor mixed = nn.functional.scaled_dot_product_attention(q, k, v); // [B, A, N, E]
        return _proj.call(mixed.transpose(1, 2).flatten(2)).MoveToOuterDisposeScope(); // [B, N, D]
    }

    /// <summary>Attention of the first tokens to all tokens.</summary>
    /// <param name="x">[B, N, D]</param>
    /// <param name="rope">Tables of N tokens.</param>
    /// <param name="queries">How many of the first tokens ask.</param>
    /// <returns>[B, A, queries, N], rows sum to one</returns>
    public Tensor Weights(Tensor x, RotaryTables rope, int queries)
    {
        using var scope = NewDisposeScope();
        (Tensor q, Tensor k, _) = ProjectAndRotate(x, rope);
        Tensor scores = q.narrow(2, 0, queries).matmul(k.transpose(-2, -1)) / Num(Math.Sqrt(q.shape[^1])); // [B, A, queries, N]
        return scores.softmax(-1).MoveToOuterDisposeScope();
    }

    /// <returns>q, k, v, each [B, A, N, E]; q and k rotated</returns>
    internal (Tensor Q, Tensor K, Tensor V) ProjectAndRotate(Tensor x, RotaryTables? rope)
    {
        long batch = x.shape[0], tokens = x.shape[1], width = x.shape[2];
        Tensor[] parts = _qkv.call(x) // [B, N, 3D]
            .view(batch, tokens, 3, _heads, width / _heads) // [B, N, 3, A, E]
            .permute(2, 0, 3, 1, 4) // [3, B, A, N, E]
            .unbind(0);
        return rope is null ? (parts[0], parts[1], parts[2]) : (rope.Rotate(parts[0]), rope.Rotate(parts[1]), parts[2]);
    }
}
