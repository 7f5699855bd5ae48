using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Detection;

/// <summary>What the decoder reads: the cells of the feature map.</summary>
/// <param name="Keys">Tokens with their positions [B, N, D].</param>
/// <param name="Values">Tokens [B, N, D].</param>
/// <param name="Padding">True where a cell is padding [B, N].</param>
/// <param name="Height">Rows h.</param>
/// <param name="Width">Columns w; N = h·w.</param>
internal sealed record DetrMemory(Tensor Keys, Tensor Values, Tensor Padding, long Height, long Width);

/// <summary>Self-attention over the cells, then a feed-forward network, norms after each.</summary>
internal sealed class DetrEncoderLayer : nn.Module
{
    private const int FeedForwardWidth = 2048;

    [ComponentName(Name = "self_attn")] private readonly MultiHeadAttention _attention;
    [ComponentName(Name = "linear1")] private readonly Linear _linear1;
    [ComponentName(Name = "linear2")] private readonly Linear _linear2;
    [ComponentName(Name = "norm1")] private readonly Norm _norm1;
    [ComponentName(Name = "norm2")] private readonly Norm _norm2;

    public DetrEncoderLayer(int width, int heads, Device? device)
        : base(nameof(DetrEncoderLayer))
    {
        _attention = new MultiHeadAttention(width, heads, device);
        _linear1 = new Linear(width, FeedForwardWidth, true, device);
        _linear2 = new Linear(FeedForwardWidth, width, true, device);
        _norm1 = new Norm(width, NormKind.LayerNorm, 1e-5, device);
        _norm2 = new Norm(width, NormKind.LayerNorm, 1e-5, device);
        RegisterComponents();
    }

    /// <param name="x">[B, N, D]</param>
    /// <param name="positions">[B, N, D]</param>
    /// <param name="padding">True where a cell is padding [B, N].</param>
    public Tensor Forward(Tensor x, Tensor positions, Tensor padding)
    {
        using var scope = NewDisposeScope();
        Tensor located = x.Plus(positions); // [B, N, D]
        x = _norm1.call(x.Plus(_attention.Forward(located, located, x, padding.unsqueeze(1).unsqueeze(1))));
        return _norm2.call(x.Plus(_linear2.call(_linear1.call(x).relu()))).MoveToOuterDisposeScope();
    }
}

/// <summary>Queries look at each other, then at the cells, then think for themselves.</summary>
internal sealed class DetrDecoderLayer : nn.Module
{
    [ComponentName(Name = "cross_attn")] private readonly RelativeCrossAttention _crossAttention;
    [ComponentName(Name = "norm1")] private readonly Norm _norm1;
    [ComponentName(Name = "self_attn")] private readonly MultiHeadAttention _selfAttention;
    [ComponentName(Name = "norm2")] private readonly Norm _norm2;
    [ComponentName(Name = "linear1")] private readonly Linear _linear1;
    [ComponentName(Name = "linear2")] private readonly Linear _linear2;
    [ComponentName(Name = "norm3")] private readonly Norm _norm3;
    private readonly bool _preNorm;

    public DetrDecoderLayer(DetrConfig config, Device? device)
        : base(nameof(DetrDecoderLayer))
    {
        _preNorm = config.PreNorm;
        _crossAttention = new RelativeCrossAttention(config, device);
        _norm1 = new Norm(config.Width, NormKind.LayerNorm, 1e-5, device);
        _selfAttention = new MultiHeadAttention(config.Width, config.Heads, device);
        _norm2 = new Norm(config.Width, NormKind.LayerNorm, 1e-5, device);
        _linear1 = new Linear(config.Width, config.FeedForwardWidth, true, device);
        _linear2 = new Linear(config.FeedForwardWidth, config.Width, true, device);
        _norm3 = new Norm(config.Width, NormKind.LayerNorm, 1e-5, device);
        RegisterComponents();
    }

    /// <param name="t">Contents of the queries [B, Q, D].</param>
    /// <param name="positions">Positions of the queries [B, Q, D].</param>
    /// <param name="boxes">Boxes of the queries in pixels [B, Q, 4].</param>
    /// <param name="memory">The cells.</param>
    /// <param name="blocked">True where two queries must not see each other [Q, Q]; null: all see all.</param>
    public Tensor Forward(Tensor t, Tensor positions, Tensor boxes, DetrMemory memory, Tensor? blocked)
    {
        using var scope = NewDisposeScope();
        if (_preNorm)
        {
            t = t.Plus(Self(_norm2.call(t))); // [B, Q, D]
            t = t.Plus(_crossAttention.Forward(_norm1.call(t).Plus(positions), boxes, memory));
            return t.Plus(Think(_norm3.call(t))).MoveToOuterDisposeScope();
        }

        t = _norm2.call(t.Plus(Self(t))); // [B, Q, D]
        t = _norm1.call(t.Plus(_crossAttention.Forward(t.Plus(positions), boxes, memory)));
        return _norm3.call(t.Plus(Think(t))).MoveToOuterDisposeScope();

        Tensor Self(Tensor x) => _selfAttention.Forward(x.Plus(positions), x.Plus(positions), x, blocked);
        Tensor Think(Tensor x) => _linear2.call(_linear1.call(x).relu());
    }
}
