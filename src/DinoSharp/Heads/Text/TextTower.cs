using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Text;

/// <summary>Transformer over token ids (Radford et al. 2021), with the projection into the common space.</summary>
internal sealed class TextTower : nn.Module
{
    [ComponentName(Name = "backbone")] private readonly Encoder _encoder;
    [ComponentName(Name = "head")] private readonly Projection _head;
    private readonly TextPooling _pooling;

    public TextTower(DinoTextConfig config, Device? device)
        : base(nameof(TextTower))
    {
        _pooling = config.TextPooling;
        _encoder = new Encoder(config, device);
        _head = new Projection(config, device);
        RegisterComponents();
    }

    /// <param name="ids">Token ids, padded with zeros [B, N].</param>
    /// <returns>Vectors of the texts, not normalised [B, E]</returns>
    public Tensor Forward(Tensor ids)
    {
        using var scope = NewDisposeScope();
        Tensor tokens = _head.call(_encoder.call(ids)); // [B, N, E]
        if (_pooling == TextPooling.First) return tokens.select(1, 0).MoveToOuterDisposeScope(); // [B, E]
        if (_pooling == TextPooling.Last) return tokens.select(1, tokens.shape[1] - 1).MoveToOuterDisposeScope(); // [B, E]
        Tensor end = ids.argmax(-1).view(-1, 1, 1).expand(-1, 1, tokens.shape[2]); // [B, 1, E]
        return tokens.gather(1, end).squeeze(1).MoveToOuterDisposeScope(); // [B, E]
    }

    private sealed class Encoder : nn.Module<Tensor, Tensor>
    {
        [ComponentName(Name = "positional_embedding")] private readonly Parameter _positions;
        [ComponentName(Name = "token_embedding")] private readonly LearnedTable _tokens;
        [ComponentName(Name = "blocks")] private readonly ModuleList<TextBlock> _blocks;
        [ComponentName(Name = "ln_final")] private readonly Norm _norm;

        public Encoder(DinoTextConfig config, Device? device)
            : base(nameof(Encoder))
        {
            int width = config.TextWidth, hidden = (int)(width * config.TextFeedForwardRatio);
            _positions = new Parameter(empty(config.ContextLength, width, device: device));
            _tokens = new LearnedTable(config.VocabularySize, width, device);
            _blocks = new ModuleList<TextBlock>([.. Enumerable.Range(0, config.TextLayers)
                .Select(_ => new TextBlock(width, config.TextHeads, hidden, config.TextCausal, config.TextLayerScale, device))]);
            _norm = new Norm(width, NormKind.LayerNorm, 1e-5, device);
            RegisterComponents();
        }

        public override Tensor forward(Tensor ids)
        {
            if (ids.shape[1] > _positions.shape[0]) throw new DinoSharpException($"the text tower takes {_positions.shape[0]} tokens, the text has {ids.shape[1]}; tokenize with that context length");
            using var scope = NewDisposeScope();
            Tensor x = _tokens.Lookup(ids).Plus(_positions.narrow(0, 0, ids.shape[1])); // [B, N, D]
            foreach (TextBlock block in _blocks) x = block.call(x);
            return _norm.call(x).MoveToOuterDisposeScope();
        }
    }

    private sealed class Projection : nn.Module<Tensor, Tensor>
    {
        [ComponentName(Name = "ln_final")] private readonly Norm? _norm;
        [ComponentName(Name = "blocks")] private readonly ModuleList<TextBlock> _blocks;
        [ComponentName(Name = "linear_projection")] private readonly Linear? _projection;

        public Projection(DinoTextConfig config, Device? device)
            : base(nameof(Projection))
        {
            int width = config.TextWidth, count = config.TextHeadBlocks;
            _blocks = new ModuleList<TextBlock>([.. Enumerable.Range(0, count)
                .Select(_ => new TextBlock(width, config.VisionHeads, 4 * width, config.TextHeadCausal, layerScale: false, device))]);
            _norm = count > 0 ? new Norm(width, NormKind.LayerNorm, 1e-5, device) : null;
            _projection = config.TextProjection || width != config.EmbedDim ? new Linear(width, config.EmbedDim, false, device) : null;
            RegisterComponents();
        }

        public override Tensor forward(Tensor x)
        {
            using var scope = NewDisposeScope();
            x = x.alias(); // [B, N, D]
            foreach (TextBlock block in _blocks) x = block.call(x);
            if (_norm is not null) x = _norm.call(x);
            if (_projection is not null) x = _projection.call(x); // [B, N, E]
            return x.MoveToOuterDisposeScope();
        }
    }
}
