using DinoSharp.Backbones;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Pre-norm transformer block: x + ls1·attn(norm1 x), then x + ls2·mlp(norm2 x).</summary>
internal sealed class Block : nn.Module
{
    [ComponentName(Name = "norm1")] private readonly Norm _norm1;
    [ComponentName(Name = "attn")] private readonly SelfAttention _attention;
    [ComponentName(Name = "ls1")] private readonly LayerScale? _scale1;
    [ComponentName(Name = "norm2")] private readonly Norm _norm2;
    [ComponentName(Name = "mlp")] private readonly nn.Module<Tensor, Tensor> _mlp;
    [ComponentName(Name = "ls2")] private readonly LayerScale? _scale2;
    private readonly double _dropPathRate;

    public Block(VisionTransformerConfig config, Device? device = null)
        : base(nameof(Block))
    {
        _dropPathRate = config.DropPathRate;
        _norm1 = new Norm(config.Width, config.Norm, config.NormEpsilon, device);
        _attention = new SelfAttention(config, device);
        _scale1 = config.LayerScale is null ? null : new LayerScale(config.Width, device);
        _norm2 = new Norm(config.Width, config.Norm, config.NormEpsilon, device);
        _mlp = config.FeedForward == FeedForwardKind.Mlp
            ? new Mlp(config.Width, config.FeedForwardWidth, config.FeedForwardBias, device)
            : new SwiGlu(config.Width, config.FeedForwardWidth, config.FeedForwardBias, device);
        _scale2 = config.LayerScale is null ? null : new LayerScale(config.Width, device);
        RegisterComponents();
    }

    internal Norm Norm1 => _norm1;

    internal SelfAttention Attention => _attention;

    internal Norm Norm2 => _norm2;

    internal nn.Module<Tensor, Tensor> FeedForward => _mlp;

    internal LayerScale? Scale1 => _scale1;

    internal LayerScale? Scale2 => _scale2;

    /// <summary>Inference, or training without stochastic depth.</summary>
    /// <param name="x">[B, N, D]</param>
    /// <param name="rope">Tables of N tokens; null: positions do not count (heads).</param>
    public Tensor Forward(Tensor x, RotaryTables? rope)
    {
        using var scope = NewDisposeScope();
        x = x.Plus(AttentionBranch(x, rope)); // [B, N, D]
        x = x.Plus(FeedForwardBranch(x)); // [B, N, D]
        return x.MoveToOuterDisposeScope();
    }

    /// <summary>Several groups of crops of different size through the same block, with stochastic depth in training.</summary>
    /// <param name="groups">Each [B, N, D] with its own B and N.</param>
    /// <param name="ropes">Tables of each group.</param>
    /// <param name="random">Source of the dropped samples; null: nothing is dropped.</param>
    /// <param name="recompute">Keep only the inputs for the backward pass and compute the rest again.</param>
    /// <remarks>Stochastic depth computes a branch only for a random subset of the samples and scales it up. All permutations of the
    /// attention branch are drawn before those of the feed-forward branch.</remarks>
    public Tensor[] Forward(Tensor[] groups, RotaryTables[] ropes, Generator? random, bool recompute = false)
    {
        using var scope = NewDisposeScope();
        bool drops = random is not null && _dropPathRate > 0;
        Tensor[] kept = drops ? [.. DrawSubsets(groups, random!), .. DrawSubsets(groups, random!)] : [];
        IEnumerable<Tensor> results = groups.Select((x, i) => !recompute ? Compute(x, ropes[i], Kept(i), Kept(i + groups.Length))
            : Recompute.Run(
                t => [Compute(t[0], new RotaryTables(t[1], t[2]), t.ElementAtOrDefault(3), t.ElementAtOrDefault(4))],
                1,
                [x, ropes[i].Cos, ropes[i].SignedSin, .. drops ? [kept[i], kept[i + groups.Length]] : Array.Empty<Tensor>()])[0]);
        return [.. results.Select(x => x.MoveToOuterDisposeScope())];

        Tensor? Kept(int i) => drops ? kept[i] : null;
    }

    private Tensor Compute(Tensor x, RotaryTables rope, Tensor? keptByAttention, Tensor? keptByFeedForward)
    {
        if (keptByAttention is null || keptByFeedForward is null) return Forward(x, rope);
        using var scope = NewDisposeScope();
        x = AddToSubset(x, keptByAttention, part => AttentionBranch(part, rope)); // [B, N, D]
        return AddToSubset(x, keptByFeedForward, FeedForwardBranch).MoveToOuterDisposeScope(); // [B, N, D]
    }

    private Tensor AttentionBranch(Tensor x, RotaryTables? rope)
    {
        using var scope = NewDisposeScope();
        Tensor y = _attention.Forward(_norm1.call(x), rope); // [B, N, D]
        return (_scale1 is null ? y : _scale1.call(y)).MoveToOuterDisposeScope();
    }

    private Tensor FeedForwardBranch(Tensor x)
    {
        using var scope = NewDisposeScope();
        Tensor y = _mlp.call(_norm2.call(x)); // [B, N, D]
        return (_scale2 is null ? y : _scale2.call(y)).MoveToOuterDisposeScope();
    }

    private Tensor[] DrawSubsets(Tensor[] groups, Generator random) =>
        [.. groups.Select(x =>
        {
            long kept = Math.Max((long)(x.shape[0] * (1 - _dropPathRate)), 1);
            return randperm(x.shape[0], generator: random).narrow(0, 0, kept).SendTo(x.device); // [kept]
        })];

    private static Tensor AddToSubset(Tensor x, Tensor kept, Func<Tensor, Tensor> branch)
    {
        double scale = x.shape[0] / (double)kept.shape[0];
        Tensor residual = branch(x.index_select(0, kept)); // [kept, N, D]
        return x.index_add(0, kept, residual, Num(scale)); // [B, N, D]
    }
}
