using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Rows of learned numbers, looked up by index; weights unset.</summary>
internal sealed class LearnedTable : nn.Module
{
    [ComponentName(Name = "weight")] private readonly Parameter _weight;

    public LearnedTable(int rows, int width, Device? device = null)
        : base(nameof(LearnedTable))
    {
        _weight = new Parameter(empty(rows, width, device: device));
        RegisterComponents();
    }

    /// <summary>[rows, D]</summary>
    public Parameter Weight => _weight;

    /// <summary>The rows of indices [...]. [..., D]</summary>
    public Tensor Lookup(Tensor indices)
    {
        using Tensor flat = indices.flatten(); // [n]
        using Tensor rows = _weight.index_select(0, flat); // [n, D]
        return rows.view([.. indices.shape, rows.shape[1]]); // [..., D]
    }
}
