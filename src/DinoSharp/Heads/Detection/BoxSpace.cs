using static TorchSharp.torch;

namespace DinoSharp.Heads.Detection;

/// <summary>Meaning of the four numbers of a box (centre x, centre y, width, height) and the way they are refined.</summary>
internal abstract class BoxSpace
{
    /// <param name="padding">True where a cell of the finest proposal map is padding [B, h, w].</param>
    /// <param name="stride">Its stride in pixels.</param>
    private protected BoxSpace(Tensor padding, int stride)
    {
        Tensor open = padding.logical_not(); // [B, h, w]
        Tensor width = open.select(1, 0).sum(-1), height = open.select(2, 0).sum(-1); // [B]
        Sizes = stack([width, height, width, height], -1).unsqueeze(1).to(ScalarType.Float32) * Num(stride); // [B, 1, 4]
    }

    /// <summary>Size of each image without padding, as (W, H, W, H) in pixels. [B, 1, 4]</summary>
    protected Tensor Sizes { get; }

    /// <summary>One box per cell of each map, and whether it may be used: it lies well inside the image and not in padding.</summary>
    /// <param name="padding">Padding of each map [B, h_l, w_l].</param>
    /// <param name="config">Strides and sizes.</param>
    /// <returns>Proposals [B, T, 4], usable [B, T, 1]</returns>
    public (Tensor Proposals, Tensor Usable) Propose(IReadOnlyList<Tensor> padding, DetrConfig config)
    {
        Tensor boxes = cat([.. padding.Select((p, l) => Cells(p, l, config).expand(p.shape[0], -1, -1))], 1); // [B, T, 4]
        Tensor unpadded = cat([.. padding.Select(p => p.flatten(1))], 1).logical_not().unsqueeze(-1); // [B, T, 1]
        Tensor usable = Inside(boxes).all(-1, keepdim: true).logical_and(unpadded); // [B, T, 1]
        return (where(usable, Finish(boxes), Unusable(padding[0], config)), usable);
    }

    /// <summary>A proposal moved by its predicted deltas, as a reference of the decoder. [B, T, 4]</summary>
    public abstract Tensor FromProposal(Tensor proposals, Tensor deltas);

    /// <summary>A reference moved by the deltas of a decoder layer. [B, Q, 4]</summary>
    public abstract Tensor Refine(Tensor references, Tensor deltas);

    /// <summary>References in pixels. [B, Q, 4]</summary>
    public abstract Tensor Pixels(Tensor references);

    protected abstract Tensor Cells(Tensor padding, int level, DetrConfig config);

    protected abstract Tensor Inside(Tensor boxes);

    protected abstract Tensor Finish(Tensor boxes);

    protected abstract Tensor Unusable(Tensor finest, DetrConfig config);

    // Numbers 0.5, 1.5, ... along both axes of a map as x [1, h·w] and y [1, h·w].
    private protected static (Tensor X, Tensor Y) Centers(Tensor map)
    {
        long h = map.shape[1], w = map.shape[2];
        Tensor y = arange(Num(0), Num(h), Num(1), dtype: ScalarType.Float32, device: map.device).Plus(Num(0.5)), x = arange(Num(0), Num(w), Num(1), dtype: ScalarType.Float32, device: map.device).Plus(Num(0.5));
        return (x.unsqueeze(0).expand(h, w).reshape(1, h * w), y.unsqueeze(1).expand(h, w).reshape(1, h * w));
    }
}

/// <summary>Boxes in pixels; deltas shift by parts of the size and scale by their exponential (the published detector).</summary>
internal sealed class PixelBoxSpace(Tensor padding, int stride) : BoxSpace(padding, stride)
{
    private static readonly double MaxLogScale = Math.Abs(Math.Log(16.0 / 1000));

    public override Tensor FromProposal(Tensor proposals, Tensor deltas) => Refine(proposals, deltas);

    public override Tensor Refine(Tensor references, Tensor deltas)
    {
        using var scope = NewDisposeScope();
        Tensor center = references.narrow(-1, 0, 2), size = references.narrow(-1, 2, 2); // [B, Q, 2]
        center = center.Plus(size * deltas.narrow(-1, 0, 2));
        size = size * deltas.narrow(-1, 2, 2).clamp(Num(-MaxLogScale), Num(MaxLogScale)).exp();
        Tensor limit = Sizes.narrow(-1, 0, 2); // [B, 1, 2]
        Tensor from = (center - Num(0.5) * size).clamp_min(Num(0)).minimum(limit), to = center.Plus(Num(0.5) * size).clamp_min(Num(0)).minimum(limit); // [B, Q, 2]
        return cat([from.Plus(to) * Num(0.5), to - from], -1).MoveToOuterDisposeScope(); // [B, Q, 4]
    }

    public override Tensor Pixels(Tensor references) => references;

    protected override Tensor Cells(Tensor padding, int level, DetrConfig config)
    {
        (Tensor x, Tensor y) = Centers(padding); // [1, h·w]
        int stride = config.ProposalStrides[level];
        Tensor size = full_like(x, Num(config.ProposalSizePixels * Math.Pow(2, level)));
        return stack([x * Num(stride), y * Num(stride), size, size], -1); // [1, h·w, 4]
    }

    protected override Tensor Inside(Tensor boxes) => boxes.gt(Num(0.01) * Sizes).logical_and(boxes.lt(Num(0.99) * Sizes)); // [B, T, 4]

    protected override Tensor Finish(Tensor boxes) => boxes;

    protected override Tensor Unusable(Tensor finest, DetrConfig config) =>
        full([1], Num((double)Math.Max(finest.shape[1], finest.shape[2]) * config.ProposalStrides[0]), dtype: ScalarType.Float32, device: finest.device);
}

/// <summary>Boxes as parts of the image, refined before a sigmoid (Zhu et al. 2021).</summary>
internal sealed class LogitBoxSpace(Tensor padding, int stride) : BoxSpace(padding, stride)
{
    private const double Epsilon = 1e-5;

    public override Tensor FromProposal(Tensor proposals, Tensor deltas) => proposals.Plus(deltas).sigmoid(); // [B, T, 4]

    public override Tensor Refine(Tensor references, Tensor deltas)
    {
        using var scope = NewDisposeScope();
        Tensor inside = references.clamp(Num(0), Num(1)); // [B, Q, 4]
        Tensor logit = (inside.clamp_min(Num(Epsilon)) / (-inside).Plus(Num(1)).clamp_min(Num(Epsilon))).log();
        return deltas.Plus(logit).sigmoid().MoveToOuterDisposeScope();
    }

    public override Tensor Pixels(Tensor references) => references * Sizes;

    protected override Tensor Cells(Tensor padding, int level, DetrConfig config)
    {
        (Tensor x, Tensor y) = Centers(padding); // [1, h·w]
        Tensor open = padding.logical_not(); // [B, h, w]
        Tensor columns = open.select(1, 0).sum(-1, keepdim: true), rows = open.select(2, 0).sum(-1, keepdim: true); // [B, 1]
        Tensor centerX = x / columns, centerY = y / rows; // [B, h·w]
        Tensor size = full_like(centerX, Num(0.05 * Math.Pow(2, level)));
        return stack([centerX, centerY, size, size], -1); // [B, h·w, 4]
    }

    protected override Tensor Inside(Tensor boxes) => boxes.gt(Num(0.01)).logical_and(boxes.lt(Num(0.99))); // [B, T, 4]

    protected override Tensor Finish(Tensor boxes) => (boxes / (-boxes).Plus(Num(1))).log();

    protected override Tensor Unusable(Tensor finest, DetrConfig config) => full([1], Num(double.PositiveInfinity), dtype: ScalarType.Float32, device: finest.device);
}
