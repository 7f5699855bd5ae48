using DinoSharp.Backbones;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Axial rotary position embedding over a patch grid (paper section 3.2): no learned weights, one stored buffer of periods.</summary>
/// <remarks>Each step runs in the dtype of the tables and in this order; for bfloat16 another order changes a quarter of the entries.</remarks>
internal sealed class RotaryPositions : nn.Module
{
    [ComponentName(Name = "periods")] private readonly Tensor _periods;
    private readonly RotaryConfig _config;

    public RotaryPositions(int headWidth, RotaryConfig config, Device? device = null)
        : base(nameof(RotaryPositions))
    {
        _config = config;
        ScalarType dtype = config.Precision == RotaryPrecision.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;
        _periods = ComputePeriods(headWidth, config, dtype, device);
        RegisterComponents();
    }

    /// <summary>[E/4]</summary>
    public Tensor Periods => _periods;

    /// <summary>Sines and cosines of the angles of every patch, row-major.</summary>
    /// <param name="h">Patch rows.</param>
    /// <param name="w">Patch columns.</param>
    /// <param name="random">Source of the training-time augmentation; null: no augmentation.</param>
    /// <returns>sin [P, E], cos [P, E]</returns>
    public (Tensor Sin, Tensor Cos) Compute(int h, int w, Generator? random = null)
    {
        using var scope = NewDisposeScope();
        ScalarType dtype = _periods.dtype;
        Device device = _periods.device;
        double rows = h, columns = w;
        if (_config.Normalization == RotaryNormalization.Max) rows = columns = Math.Max(h, w);
        if (_config.Normalization == RotaryNormalization.Min) rows = columns = Math.Min(h, w);
        Tensor y = arange(Num(0.5), Num(h), Num(1), dtype: dtype, device: device) / Num(rows); // [h]
        Tensor x = arange(Num(0.5), Num(w), Num(1), dtype: dtype, device: device) / Num(columns); // [w]
        Tensor coordinates = stack([y.unsqueeze(1).expand(h, w), x.unsqueeze(0).expand(h, w)], -1).flatten(0, 1); // [P, 2]
        coordinates = coordinates * Num(2.0) - Num(1.0); // [P, 2]
        if (random is not null) coordinates = Augment(coordinates, random);
        Tensor angles = coordinates.unsqueeze(-1) * Num(2 * Math.PI) / _periods; // [P, 2, E/4]
        angles = angles.flatten(1, 2).tile([1, 2]); // [P, E]
        return (angles.sin().MoveToOuterDisposeScope(), angles.cos().MoveToOuterDisposeScope());
    }

    private Tensor Augment(Tensor coordinates, Generator random)
    {
        if (_config.ShiftCoordinates is double shift) coordinates = coordinates.Plus(Draw(2, shift, coordinates, random));
        if (_config.JitterCoordinates is double jitter) coordinates = coordinates * Draw(2, Math.Log(jitter), coordinates, random).exp();
        if (_config.RescaleCoordinates is double rescale) coordinates = coordinates * Draw(1, Math.Log(rescale), coordinates, random).exp();
        return coordinates; // [P, 2]
    }

    // Drawn on the CPU for every device, so that a seed gives the same numbers everywhere.
    private static Tensor Draw(int count, double limit, Tensor like, Generator random) =>
        empty(count, dtype: like.dtype).uniform_(-limit, limit, random).SendTo(like.device); // [count]

    private static Tensor ComputePeriods(int headWidth, RotaryConfig config, ScalarType dtype, Device? device)
    {
        using var scope = NewDisposeScope();
        int count = headWidth / 4;
        Tensor periods;
        if (config.Base is double b)
        {
            Tensor exponent = arange(Num(0), Num(count), Num(1), dtype: dtype, device: device) * Num(2.0) / Num(headWidth / 2.0); // [E/4]
            periods = full_like(exponent, Num(b)).pow(exponent); // [E/4]
        }
        else
        {
            double ratio = config.MaxPeriod!.Value / config.MinPeriod!.Value;
            Tensor exponent = linspace(0.0, 1.0, count, dtype: dtype, device: device); // [E/4]
            periods = full_like(exponent, Num(ratio)).pow(exponent) / Num(ratio) * Num(config.MaxPeriod.Value); // [E/4]
        }

        return periods.DetachFromDisposeScope();
    }
}
