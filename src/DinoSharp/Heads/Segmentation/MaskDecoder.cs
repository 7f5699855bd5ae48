using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Segmentation;

/// <summary>Class scores and masks of the queries. Owns its tensors.</summary>
/// <param name="Logits">Scores of the classes and, last, of "no object" [B, Q, classes + 1].</param>
/// <param name="Masks">Mask logits at a quarter of the image size [B, Q, H/4, W/4].</param>
internal sealed record MaskPredictions(Tensor Logits, Tensor Masks) : IDisposable
{
    public void Dispose()
    {
        Logits.Dispose();
        Masks.Dispose();
    }

    public MaskPredictions MoveToOuterDisposeScope()
    {
        Logits.MoveToOuterDisposeScope();
        Masks.MoveToOuterDisposeScope();
        return this;
    }
}

/// <summary>Transformer decoder whose queries look only where their last mask was (Cheng et al. 2022, Mask2Former): post-norm, one map per layer in turn.</summary>
internal sealed class MaskDecoder : nn.Module
{
    [ComponentName(Name = "transformer_self_attention_layers")] private readonly ModuleList<SelfAttentionLayer> _selfAttention;
    [ComponentName(Name = "transformer_cross_attention_layers")] private readonly ModuleList<CrossAttentionLayer> _crossAttention;
    [ComponentName(Name = "transformer_ffn_layers")] private readonly ModuleList<FeedForwardLayer> _feedForward;
    [ComponentName(Name = "post_norm")] private readonly Norm _norm;
    [ComponentName(Name = "query_feat")] private readonly LearnedTable _queryFeatures;
    [ComponentName(Name = "query_embed")] private readonly LearnedTable _queryPositions;
    [ComponentName(Name = "level_embed")] private readonly LearnedTable _levelEmbedding;
    [ComponentName(Name = "class_embed")] private readonly Linear _classes;
    [ComponentName(Name = "mask_embed")] private readonly MultiLayerPerceptron _maskEmbedding;

    public MaskDecoder(Mask2FormerConfig config, Device? device)
        : base(nameof(MaskDecoder))
    {
        int width = config.Width, layers = config.DecoderLayers;
        _selfAttention = new ModuleList<SelfAttentionLayer>([.. Enumerable.Range(0, layers).Select(_ => new SelfAttentionLayer(width, config.Heads, device))]);
        _crossAttention = new ModuleList<CrossAttentionLayer>([.. Enumerable.Range(0, layers).Select(_ => new CrossAttentionLayer(width, config.Heads, device))]);
        _feedForward = new ModuleList<FeedForwardLayer>([.. Enumerable.Range(0, layers).Select(_ => new FeedForwardLayer(width, config.FeedForwardWidth, device))]);
        _norm = new Norm(width, NormKind.LayerNorm, 1e-5, device);
        _queryFeatures = new LearnedTable(config.Queries, width, device);
        _queryPositions = new LearnedTable(config.Queries, width, device);
        _levelEmbedding = new LearnedTable(3, width, device);
        _classes = new Linear(width, config.Classes + 1, true, device);
        _maskEmbedding = new MultiLayerPerceptron(width, config.MaskWidth, device);
        RegisterComponents();
    }

    /// <param name="maskFeatures">[B, M, H/4, W/4]</param>
    /// <param name="levels">Maps of stride 32, 16 and 8, each [B, D, h, w].</param>
    /// <returns>The predictions before the first layer and after each layer, the answer last; in the current dispose scope</returns>
    public IReadOnlyList<MaskPredictions> Forward(Tensor maskFeatures, IReadOnlyList<Tensor> levels)
    {
        using var scope = NewDisposeScope();
        long batch = maskFeatures.shape[0];
        Tensor[] memory = [.. levels.Select((m, l) => m.flatten(2).transpose(1, 2).Plus(_levelEmbedding.Weight[l]))]; // each [B, h·w, D]
        Tensor[] keys = [.. levels.Select((m, l) => memory[l].Plus(SinePositions.Grid(m.shape[2], m.shape[3], (int)m.shape[1], m.device).flatten(2).transpose(1, 2)))]; // each [B, h·w, D]
        Tensor queries = _queryFeatures.Weight.unsqueeze(0).expand(batch, -1, -1); // [B, Q, D]
        Tensor positions = _queryPositions.Weight.unsqueeze(0); // [1, Q, D]
        var predictions = new List<MaskPredictions> { Predict(queries, maskFeatures) };
        for (int i = 0; i < _feedForward.Count; i++)
        {
            using var layer = NewDisposeScope();
            int level = i % 3;
            Tensor blocked = Blocked(predictions[^1].Masks, levels[level]); // [B, 1, Q, h·w]
            queries = _crossAttention[i].Forward(queries, positions, keys[level], memory[level], blocked); // [B, Q, D]
            queries = _selfAttention[i].Forward(queries, positions);
            queries = _feedForward[i].call(queries).MoveToOuterDisposeScope();
            predictions.Add(Predict(queries, maskFeatures).MoveToOuterDisposeScope());
        }

        return [.. predictions.Select(p => p.MoveToOuterDisposeScope())];
    }

    private MaskPredictions Predict(Tensor queries, Tensor maskFeatures)
    {
        using var scope = NewDisposeScope();
        Tensor normed = _norm.call(queries); // [B, Q, D]
        Tensor masks = einsum("bqc,bchw->bqhw", _maskEmbedding.call(normed), maskFeatures); // [B, Q, H/4, W/4]
        return new MaskPredictions(_classes.call(normed), masks).MoveToOuterDisposeScope();
    }

    // A query whose mask is empty everywhere may look everywhere; otherwise its softmax would have no entry.
    private static Tensor Blocked(Tensor masks, Tensor level)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor blocked = MapResize.Bilinear(masks, level.shape[2], level.shape[3]).flatten(2).sigmoid().lt(Num(0.5)); // [B, Q, h·w]
        return blocked.logical_and(blocked.all(-1, keepdim: true).logical_not()).unsqueeze(1).MoveToOuterDisposeScope(); // [B, 1, Q, h·w]
    }

    private sealed class SelfAttentionLayer : nn.Module
    {
        [ComponentName(Name = "self_attn")] private readonly MultiHeadAttention _attention;
        [ComponentName(Name = "norm")] private readonly Norm _norm;

        public SelfAttentionLayer(int width, int heads, Device? device)
            : base(nameof(SelfAttentionLayer))
        {
            _attention = new MultiHeadAttention(width, heads, device);
            _norm = new Norm(width, NormKind.LayerNorm, 1e-5, device);
            RegisterComponents();
        }

        public Tensor Forward(Tensor x, Tensor positions)
        {
            Tensor located = x.Plus(positions); // [B, Q, D]
            return _norm.call(x.Plus(_attention.Forward(located, located, x)));
        }
    }

    private sealed class CrossAttentionLayer : nn.Module
    {
        [ComponentName(Name = "multihead_attn")] private readonly MultiHeadAttention _attention;
        [ComponentName(Name = "norm")] private readonly Norm _norm;

        public CrossAttentionLayer(int width, int heads, Device? device)
            : base(nameof(CrossAttentionLayer))
        {
            _attention = new MultiHeadAttention(width, heads, device);
            _norm = new Norm(width, NormKind.LayerNorm, 1e-5, device);
            RegisterComponents();
        }

        public Tensor Forward(Tensor x, Tensor positions, Tensor keys, Tensor values, Tensor blocked) =>
            _norm.call(x.Plus(_attention.Forward(x.Plus(positions), keys, values, blocked))); // [B, Q, D]
    }

    private sealed class FeedForwardLayer : nn.Module<Tensor, Tensor>
    {
        [ComponentName(Name = "linear1")] private readonly Linear _linear1;
        [ComponentName(Name = "linear2")] private readonly Linear _linear2;
        [ComponentName(Name = "norm")] private readonly Norm _norm;

        public FeedForwardLayer(int width, int hidden, Device? device)
            : base(nameof(FeedForwardLayer))
        {
            _linear1 = new Linear(width, hidden, true, device);
            _linear2 = new Linear(hidden, width, true, device);
            _norm = new Norm(width, NormKind.LayerNorm, 1e-5, device);
            RegisterComponents();
        }

        public override Tensor forward(Tensor x)
        {
            using var scope = NewDisposeScope();
            return _norm.call(x.Plus(_linear2.call(_linear1.call(x).relu()))).MoveToOuterDisposeScope(); // [B, Q, D]
        }
    }
}
