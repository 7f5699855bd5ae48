using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Multi-scale deformable attention (Zhu et al. 2021): each query looks at a few learned points of each map instead of at all cells.</summary>
internal sealed class DeformableAttention : nn.Module
{
    [ComponentName(Name = "sampling_offsets")] private readonly Linear _offsets;
    [ComponentName(Name = "attention_weights")] private readonly Linear _weights;
    [ComponentName(Name = "value_proj")] private readonly Linear _value;
    [ComponentName(Name = "output_proj")] private readonly Linear _output;
    private readonly int _levels;
    private readonly int _heads;
    private readonly int _points;

    /// <param name="width">Width D of queries and values.</param>
    /// <param name="levels">Maps L.</param>
    /// <param name="heads">Heads A.</param>
    /// <param name="points">Points per head and map.</param>
    /// <param name="valueRatio">Width of the sampled values as a part of D.</param>
    /// <param name="device">Where the weights live.</param>
    public DeformableAttention(int width, int levels, int heads, int points, double valueRatio = 1, Device? device = null)
        : base(nameof(DeformableAttention))
    {
        (_levels, _heads, _points) = (levels, heads, points);
        int valueWidth = (int)(width * valueRatio);
        _offsets = new Linear(width, heads * levels * points * 2, true, device);
        _weights = new Linear(width, heads * levels * points, true, device);
        _value = new Linear(width, valueWidth, true, device);
        _output = new Linear(valueWidth, width, true, device);
        RegisterComponents();
    }

    /// <param name="query">[B, Q, D]</param>
    /// <param name="references">Centres (x, y) in 0..1 [1 or B, Q, L or 1, 2], or boxes (x, y, w, h) [.., 4].</param>
    /// <param name="value">Cells of all maps, one after the other, row-major [B, S, D].</param>
    /// <param name="shapes">Rows and columns of each map; their areas add up to S.</param>
    /// <param name="padding">True where a cell is padding [B, S]; its value counts as zero.</param>
    /// <returns>[B, Q, D]</returns>
    public Tensor Forward(Tensor query, Tensor references, Tensor value, IReadOnlyList<(long H, long W)> shapes, Tensor? padding = null)
    {
        using var scope = NewDisposeScope();
        long batch = query.shape[0], queries = query.shape[1];
        Tensor v = _value.call(value); // [B, S, V]
        if (padding is not null) v = v.masked_fill(padding.unsqueeze(-1), Num(0));
        long perHead = v.shape[2] / _heads;
        Tensor offsets = _offsets.call(query).view(batch, queries, _heads, _levels, _points, 2); // [B, Q, A, L, points, 2]
        Tensor weights = _weights.call(query).view(batch, queries, _heads, _levels * _points).softmax(-1); // [B, Q, A, L·points]
        weights = weights.view(batch, queries, _heads, _levels, _points);

        // One map after the other and summed at once: the samples of one map are the largest tensor here.
        Tensor sum = zeros(batch * _heads, perHead, queries, dtype: v.dtype, device: v.device); // [B·A, V/A, Q]
        long start = 0;
        for (int l = 0; l < _levels; l++)
        {
            using var level = NewDisposeScope();
            (long h, long w) = shapes[l];
            Tensor map = v.narrow(1, start, h * w).view(batch, h * w, _heads, perHead).permute(0, 2, 3, 1).reshape(batch * _heads, perHead, h, w); // [B·A, V/A, h, w]
            Tensor reference = references.select(2, references.shape[2] == 1 ? 0 : l).unsqueeze(2).unsqueeze(3); // [.., Q, 1, 1, 2 or 4]
            Tensor location = Locations(reference, offsets.select(3, l), h, w); // [B, Q, A, points, 2]
            Tensor grid = (location * Num(2) - Num(1)).transpose(1, 2).reshape(batch * _heads, queries, _points, 2); // [B·A, Q, points, 2]
            Tensor samples = nn.functional.grid_sample(map, grid, GridSampleMode.Bilinear, GridSamplePaddingMode.Zeros, align_corners: false); // [B·A, V/A, Q, points]
            Tensor weight = weights.select(3, l).transpose(1, 2).reshape(batch * _heads, 1, queries, _points); // [B·A, 1, Q, points]
            sum.add_((samples * weight).sum(-1), Num(1));
            start += h * w;
        }

        Tensor mixed = sum.view(batch, _heads * perHead, queries).transpose(1, 2); // [B, Q, V]
        return _output.call(mixed).MoveToOuterDisposeScope(); // [B, Q, D]
    }

    /// <summary>Centres of the cells of maps of several scales as references. [1, Σ h·w, 1, 2]</summary>
    public static Tensor CellCenters(IReadOnlyList<(long H, long W)> shapes, Device? device = null)
    {
        using var scope = NewDisposeScope();
        Tensor[] maps = [.. shapes.Select(s =>
        {
            Tensor y = arange(Num(0), Num(s.H), Num(1), dtype: ScalarType.Float32, device: device).Plus(Num(0.5)) / Num(s.H); // [h]
            Tensor x = arange(Num(0), Num(s.W), Num(1), dtype: ScalarType.Float32, device: device).Plus(Num(0.5)) / Num(s.W); // [w]
            return stack([x.unsqueeze(0).expand(s.H, s.W), y.unsqueeze(1).expand(s.H, s.W)], -1).flatten(0, 1); // [h·w, 2]
        })];
        return cat(maps, 0).unsqueeze(0).unsqueeze(2).MoveToOuterDisposeScope(); // [1, Σ h·w, 1, 2]
    }

    // Offsets count cells of the map, or for a box fractions of half its size per point.
    private Tensor Locations(Tensor reference, Tensor offset, long h, long w)
    {
        if (reference.shape[^1] == 2) return reference.Plus(offset / tensor(new float[] { w, h }, device: offset.device)); // [B, Q, A, points, 2]
        return reference.narrow(-1, 0, 2).Plus(offset / Num(_points) * reference.narrow(-1, 2, 2) * Num(0.5)); // [B, Q, A, points, 2]
    }
}
