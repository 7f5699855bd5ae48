using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>
/// The noises all materials are made of, computed once per process from a fixed seed. Materials turn, stretch, mix and colour them, so a few fields give endless surfaces
/// at the price of a look-up.
/// </summary>
internal static class NoiseBank
{
    private const int Size = 256;

    private static readonly Lazy<NoiseField[]> All = new(Build);

    /// <summary>Clouds: smooth and large.</summary>
    public static NoiseField Soft => All.Value[0];

    /// <summary>Soil, plaster: every scale has its share.</summary>
    public static NoiseField Rough => All.Value[1];

    /// <summary>Creases.</summary>
    public static NoiseField Ridges => All.Value[2];

    /// <summary>Flames, veins: clouds displaced by clouds.</summary>
    public static NoiseField Warped => All.Value[3];

    /// <summary>Distance to the nearest of scattered points: spots, pebbles.</summary>
    public static NoiseField Spots => All.Value[4];

    /// <summary>Thin borders between cells: cracks, leather.</summary>
    public static NoiseField Cracks => All.Value[5];

    /// <summary>Cells of one tone each: mosaic.</summary>
    public static NoiseField Mosaic => All.Value[6];

    /// <summary>Grains: nothing but the finest scales.</summary>
    public static NoiseField Grain => All.Value[7];

    private static NoiseField[] Build()
    {
        var random = new TorchRandom(20260101);
        NoiseField soft = NoiseField.Perlin(Size, 4, 4, 0.45f, v => v, random);
        NoiseField rough = NoiseField.Perlin(Size, 4, 6, 0.75f, v => v, random);
        return
        [
            soft,
            rough,
            NoiseField.Perlin(Size, 4, 5, 0.5f, v => -MathF.Abs(v), random),
            NoiseField.Perlin(Size, 3, 5, 0.5f, v => v, random).Warped(soft, 0.25f),
            NoiseField.Worley(Size, 12, (first, _, _) => first, equalize: true, random),
            NoiseField.Worley(Size, 10, (first, second, _) => (second - first) * 5, equalize: false, random),
            NoiseField.Worley(Size, 14, (_, _, tone) => tone, equalize: false, random),
            NoiseField.Perlin(Size, 48, 3, 0.9f, v => v, random),
        ];
    }
}
