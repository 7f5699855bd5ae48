using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Text;

/// <summary>Pre-norm transformer block of the text tower: attention that may be causal, then a feed-forward network with GELU.</summary>
internal sealed class TextBlock : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "attention_norm")] private readonly Norm _norm1;
    [ComponentName(Name = "attention")] private readonly CausalAttention _attention;
    [ComponentName(Name = "ls1")] private readonly LayerScale? _scale1;
    [ComponentName(Name = "ffn_norm")] private readonly Norm _norm2;
    [ComponentName(Name = "feed_forward")] private readonly Mlp _mlp;
    [ComponentName(Name = "ls2")] private readonly LayerScale? _scale2;

    public TextBlock(int width, int heads, int hidden, bool causal, bool layerScale, Device? device)
        : base(nameof(TextBlock))
    {
        _norm1 = new Norm(width, NormKind.LayerNorm, 1e-5, device);
        _attention = new CausalAttention(width, heads, causal, device);
        _scale1 = layerScale ? new LayerScale(width, device) : null;
        _norm2 = new Norm(width, NormKind.LayerNorm, 1e-5, device);
        _mlp = new Mlp(width, hidden, bias: true, device);
        _scale2 = layerScale ? new LayerScale(width, device) : null;
        RegisterComponents();
    }

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        Tensor y = _attention.call(_norm1.call(x)); // [B, N, D]
        x = x.Plus(_scale1 is null ? y : _scale1.call(y));
        y = _mlp.call(_norm2.call(x));
        return x.Plus(_scale2 is null ? y : _scale2.call(y)).MoveToOuterDisposeScope();
    }

    private sealed class CausalAttention : nn.Module<Tensor, Tensor>
    {
        [ComponentName(Name = "qkv")] private readonly Linear _qkv;
        [ComponentName(Name = "proj")] private readonly Linear _proj;
        private readonly int _heads;
        private readonly bool _causal;

        public CausalAttention(int width, int heads, bool causal, Device? device)
            : base(nameof(CausalAttention))
        {
            (_heads, _causal) = (heads, causal);
            _qkv = new Linear(width, 3 * width, false, device);
            _proj = new Linear(width, width, true, device);
            RegisterComponents();
        }

        public override Tensor forward(Tensor x)
        {
            using var scope = NewDisposeScope();
            Tensor[] parts = _qkv.call(x).view(x.shape[0], x.shape[1], 3, _heads, x.shape[2] / _heads).permute(2, 0, 3, 1, 4).unbind(0); // each [B, A, N, E]
            Tensor mixed = nn.functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_casual: _causal); // [B, A, N, E]
            return _proj.call(mixed.transpose(1, 2).flatten(2)).MoveToOuterDisposeScope(); // [B, N, D]
        }
    }
}
