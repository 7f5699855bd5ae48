using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Detection;

/// <summary>Attention of box queries to the cells of a map, with a bias learned from the distances between the edges of the box and the cell, if the detector has one (Lin et al. 2023).</summary>
internal sealed class RelativeCrossAttention : nn.Module
{
    // The original weighs padded cells down instead of removing them.
    private const double PaddingBias = -100;

    [ComponentName(Name = "cpb_mlp1")] private readonly DistanceBias? _columns;
    [ComponentName(Name = "cpb_mlp2")] private readonly DistanceBias? _rows;
    [ComponentName(Name = "q")] private readonly Linear _query;
    [ComponentName(Name = "k")] private readonly Linear _key;
    [ComponentName(Name = "v")] private readonly Linear _value;
    [ComponentName(Name = "proj")] private readonly Linear _output;
    private readonly int _heads;
    private readonly BoxDistance _distance;

    public RelativeCrossAttention(DetrConfig config, Device? device)
        : base(nameof(RelativeCrossAttention))
    {
        int width = config.Width;
        (_heads, _distance) = (config.Heads, config.BiasDistance);
        if (config.BiasWidth > 0) (_columns, _rows) = (new DistanceBias(config.BiasWidth, config.Heads, device), new DistanceBias(config.BiasWidth, config.Heads, device));
        (_query, _key, _value, _output) = (new Linear(width, width, true, device), new Linear(width, width, true, device), new Linear(width, width, true, device), new Linear(width, width, true, device));
        RegisterComponents();
    }

    /// <param name="query">[B, Q, D]</param>
    /// <param name="boxes">Boxes of the queries, (cx, cy, w, h) in pixels [B, Q, 4].</param>
    /// <param name="memory">What the cells are and where: keys, values and padding.</param>
    /// <returns>[B, Q, D]</returns>
    public Tensor Forward(Tensor query, Tensor boxes, DetrMemory memory)
    {
        using var scope = NewDisposeScope();
        Tensor bias = memory.Padding.to(query.dtype).unsqueeze(1).unsqueeze(1) * Num(PaddingBias); // [B, 1, 1, N]
        if (_columns is not null && _rows is not null) bias = bias.Plus(Bias(_columns, _rows, boxes, memory.Height, memory.Width)); // [B, A, Q, N]
        Tensor q = Split(_query.call(query)), k = Split(_key.call(memory.Keys)), v = Split(_value.call(memory.Values)); // [B, A, Q or N, E]
        Tensor mixed = nn.functional.scaled_dot_product_attention(q, k, v, bias); // [B, A, Q, E]
        return _output.call(mixed.transpose(1, 2).flatten(2)).MoveToOuterDisposeScope(); // [B, Q, D]
    }

    private Tensor Bias(DistanceBias columnBias, DistanceBias rowBias, Tensor boxes, long h, long w)
    {
        using var scope = NewDisposeScope();
        Tensor center = boxes.narrow(-1, 0, 2), half = boxes.narrow(-1, 2, 2) * Num(0.5); // [B, Q, 2]
        Tensor from = center - half, to = center.Plus(half); // [B, Q, 2]
        Tensor columns = columnBias.call(Edges(0, w)).permute(0, 3, 1, 2); // [B, A, Q, w]
        Tensor rows = rowBias.call(Edges(1, h)).permute(0, 3, 1, 2); // [B, A, Q, h]
        return rows.unsqueeze(-1).Plus(columns.unsqueeze(-2)).flatten(-2).MoveToOuterDisposeScope(); // [B, A, Q, N]

        Tensor Edges(int axis, long cells)
        {
            Tensor positions = arange(Num(0), Num(cells), Num(1), dtype: ScalarType.Float32, device: boxes.device).Plus(Num(0.5)) * Num(DetrConfig.Stride); // [cells]
            Tensor edges = stack([from.select(-1, axis), to.select(-1, axis)], -1).unsqueeze(2); // [B, Q, 1, 2]
            Tensor distance = edges - positions.view(1, 1, -1, 1); // [B, Q, cells, 2]
            return _distance == BoxDistance.Linear ? distance : distance.sign() * distance.abs().Plus(Num(1)).log2() / Num(3);
        }
    }

    private Tensor Split(Tensor x) => x.view(x.shape[0], x.shape[1], _heads, x.shape[2] / _heads).transpose(1, 2); // [B, A, N, E]

    private sealed class DistanceBias : nn.Module<Tensor, Tensor>
    {
        [ComponentName(Name = "0")] private readonly Linear _hide;
        [ComponentName(Name = "2")] private readonly Linear _show;

        public DistanceBias(int hidden, int heads, Device? device)
            : base(nameof(DistanceBias))
        {
            _hide = new Linear(2, hidden, true, device);
            _show = new Linear(hidden, heads, false, device);
            RegisterComponents();
        }

        public override Tensor forward(Tensor x)
        {
            using var scope = NewDisposeScope();
            return _show.call(_hide.call(x).relu()).MoveToOuterDisposeScope(); // [B, Q, cells, A]
        }
    }
}
