using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Detection;

/// <summary>Scores and boxes of one stage of the detector. Owns its tensors.</summary>
/// <param name="Logits">Class scores before the sigmoid [B, Q, classes].</param>
/// <param name="Boxes">Boxes (cx, cy, w, h), in pixels or normalised as the configuration says [B, Q, 4].</param>
/// <param name="References">The boxes that were refined [B, Q, 4].</param>
/// <param name="Deltas">How they were refined [B, Q, 4].</param>
internal sealed record DetrStage(Tensor Logits, Tensor Boxes, Tensor References, Tensor Deltas) : IDisposable
{
    public void Dispose()
    {
        Logits.Dispose();
        Boxes.Dispose();
        References.Dispose();
        Deltas.Dispose();
    }

    public DetrStage MoveToOuterDisposeScope()
    {
        Logits.MoveToOuterDisposeScope();
        Boxes.MoveToOuterDisposeScope();
        References.MoveToOuterDisposeScope();
        Deltas.MoveToOuterDisposeScope();
        return this;
    }
}

/// <summary>Two-stage detection transformer: every cell proposes a box, the best become queries, the decoder refines them.</summary>
internal sealed class DetrTransformer : nn.Module
{
    [ComponentName(Name = "level_embed")] private readonly Parameter _levelEmbedding;
    [ComponentName(Name = "encoder")] private readonly Encoder? _encoder;
    [ComponentName(Name = "decoder")] private readonly Decoder _decoder;
    [ComponentName(Name = "enc_output")] private readonly Linear _proposalProjection;
    [ComponentName(Name = "enc_output_norm")] private readonly Norm _proposalNorm;
    [ComponentName(Name = "pos_trans")] private readonly Linear _queryPosition;
    [ComponentName(Name = "pos_trans_norm")] private readonly Norm _queryPositionNorm;
    [ComponentName(Name = "enc_output_proj")] private readonly ModuleList<ModuleList<nn.Module<Tensor, Tensor>>>? _proposalLevels;
    private readonly DetrConfig _config;

    public DetrTransformer(DetrConfig config, ModuleList<Linear> classes, ModuleList<MultiLayerPerceptron> boxes, Device? device)
        : base(nameof(DetrTransformer))
    {
        _config = config;
        int width = config.Width;
        _levelEmbedding = new Parameter(empty(1, width, device: device));
        _encoder = config.EncoderLayers > 0 ? new Encoder(config, device) : null;
        _decoder = new Decoder(config, classes, boxes, device);
        _proposalProjection = new Linear(width, width, true, device);
        _proposalNorm = new Norm(width, NormKind.LayerNorm, 1e-5, device);
        _queryPosition = new Linear(2 * width, 2 * width, true, device);
        _queryPositionNorm = new Norm(2 * width, NormKind.LayerNorm, 1e-5, device);
        _proposalLevels = config.ProposalStrides.Count > 1
            ? new ModuleList<ModuleList<nn.Module<Tensor, Tensor>>>([.. config.ProposalStrides.Select(s => ProposalLevel.Create(width, s, device))])
            : null;
        RegisterComponents();
    }

    /// <param name="map">Projected features [B, D, h, w].</param>
    /// <param name="positions">[B, D, h, w]</param>
    /// <param name="padding">True where a cell is padding [B, h, w].</param>
    /// <param name="contents">Learned contents of the queries [Q', D]; null: made from their boxes.</param>
    /// <param name="queries">How many of the best proposals become queries.</param>
    /// <param name="separate">The first queries and the rest of them do not see each other.</param>
    /// <returns>The proposals of all cells, and the decoder layers in order; in the current dispose scope</returns>
    public (DetrStage Proposals, IReadOnlyList<DetrStage> Layers) Forward(Tensor map, Tensor positions, Tensor padding, Tensor? contents, int queries, bool separate)
    {
        using var scope = NewDisposeScope();
        Tensor located = positions.flatten(2).transpose(1, 2).Plus(_levelEmbedding); // [B, N, D]
        Tensor memory = map.flatten(2).transpose(1, 2), flatPadding = padding.flatten(1); // [B, N, D], [B, N]
        if (_encoder is not null) memory = _encoder.Forward(memory, located, flatPadding);

        (Tensor tokens, Tensor[] levelPadding) = ProposalLevel.Expand(_proposalLevels, memory.transpose(1, 2).reshape(map.shape), padding); // [B, T, D]
        int finest = _config.ProposalStrides[0];
        BoxSpace space = _config.PixelBoxes ? new PixelBoxSpace(levelPadding[0], finest) : new LogitBoxSpace(levelPadding[0], finest);
        (Tensor boxes, Tensor usable) = space.Propose(levelPadding, _config); // [B, T, 4], [B, T, 1]
        tokens = _proposalNorm.call(_proposalProjection.call(tokens.masked_fill(usable.logical_not(), Num(0)))); // [B, T, D]
        DetrStage proposals = _decoder.Propose(tokens, boxes, space);

        int count = (int)Math.Min(queries, tokens.shape[1]);
        (_, Tensor best) = proposals.Logits.select(-1, 0).topk(count, dim: 1); // [B, Q]
        Tensor references = proposals.Boxes.gather(1, best.unsqueeze(-1).expand(-1, -1, 4)).detach(); // [B, Q, 4]
        Tensor embedding = SinePositions.Encode(references * Num(2 * Math.PI), _config.Width / 2).flatten(2); // [B, Q, 2D]
        Tensor[] halves = _queryPositionNorm.call(_queryPosition.call(embedding)).chunk(2, -1); // each [B, Q, D]
        Tensor content = contents is null ? halves[1] : contents.narrow(0, 0, count).unsqueeze(0).expand(map.shape[0], -1, -1); // [B, Q, D]
        Tensor? blocked = separate ? SeparateGroups(count, _config.Queries, map.device) : null; // [Q, Q]
        var cells = new DetrMemory(memory.Plus(located), memory, flatPadding, map.shape[2], map.shape[3]);
        IReadOnlyList<DetrStage> layers = _decoder.Forward(content, halves[0], references, cells, space, blocked);
        return (proposals.MoveToOuterDisposeScope(), [.. layers.Select(l => l.MoveToOuterDisposeScope())]);
    }

    private static Tensor SeparateGroups(int count, int first, Device device)
    {
        using var scope = NewDisposeScope();
        Tensor group = arange(Num(0), Num(count), Num(1), device: device).ge(Num(first)); // [Q]
        return group.unsqueeze(0).not_equal(group.unsqueeze(1)).MoveToOuterDisposeScope(); // [Q, Q]
    }

    private sealed class Encoder : nn.Module
    {
        [ComponentName(Name = "layers")] private readonly ModuleList<DetrEncoderLayer> _layers;

        public Encoder(DetrConfig config, Device? device)
            : base(nameof(Encoder))
        {
            _layers = new ModuleList<DetrEncoderLayer>([.. Enumerable.Range(0, config.EncoderLayers).Select(_ => new DetrEncoderLayer(config.Width, config.Heads, device))]);
            RegisterComponents();
        }

        public Tensor Forward(Tensor x, Tensor positions, Tensor padding) => _layers.Aggregate(x, (y, layer) => layer.Forward(y, positions, padding)); // [B, N, D]
    }

    private sealed class Decoder : nn.Module
    {
        [ComponentName(Name = "layers")] private readonly ModuleList<DetrDecoderLayer> _layers;
        [ComponentName(Name = "final_layer_norm")] private readonly Norm? _norm;
        [ComponentName(Name = "bbox_embed")] private readonly ModuleList<MultiLayerPerceptron> _boxes;
        [ComponentName(Name = "class_embed")] private readonly ModuleList<Linear> _classes;

        public Decoder(DetrConfig config, ModuleList<Linear> classes, ModuleList<MultiLayerPerceptron> boxes, Device? device)
            : base(nameof(Decoder))
        {
            _layers = new ModuleList<DetrDecoderLayer>([.. Enumerable.Range(0, config.DecoderLayers).Select(_ => new DetrDecoderLayer(config, device))]);
            _norm = config.PreNorm ? new Norm(config.Width, NormKind.LayerNorm, 1e-5, device) : null;
            (_boxes, _classes) = (boxes, classes);
            RegisterComponents();
        }

        /// <summary>The last pair of class and box networks belongs to the proposals.</summary>
        public DetrStage Propose(Tensor tokens, Tensor proposals, BoxSpace space)
        {
            Tensor deltas = _boxes[_layers.Count].call(tokens); // [B, T, 4]
            return new DetrStage(_classes[_layers.Count].call(tokens), space.FromProposal(proposals, deltas), proposals, deltas);
        }

        public IReadOnlyList<DetrStage> Forward(Tensor content, Tensor positions, Tensor references, DetrMemory memory, BoxSpace space, Tensor? blocked)
        {
            var stages = new List<DetrStage>();
            for (int i = 0; i < _layers.Count; i++)
            {
                content = _layers[i].Forward(content, positions, space.Pixels(references), memory, blocked); // [B, Q, D]
                Tensor read = _norm is null ? content : _norm.call(content); // [B, Q, D]
                Tensor deltas = _boxes[i].call(read), refined = space.Refine(references, deltas); // [B, Q, 4]
                stages.Add(new DetrStage(_classes[i].call(read), refined, references.alias(), deltas));
                references = refined.detach();
            }

            return stages;
        }
    }
}
