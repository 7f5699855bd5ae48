using static TorchSharp.torch;

namespace DinoSharp.Features;

/// <summary>Filters over small maps.</summary>
internal static class Filters
{
    /// <summary>Median of each square neighbourhood, with zeros or the nearest value beyond the border. [h, w] → [h, w]</summary>
    /// <param name="map">float32 or float64.</param>
    /// <param name="size">Side of the neighbourhood, odd.</param>
    /// <param name="replicate">Whether the values at the border go on beyond it.</param>
    public static Tensor Median(Tensor map, int size, bool replicate = false)
    {
        using var scope = NewDisposeScope();
        int rim = size / 2;
        Tensor padded = nn.functional.pad(map.view(1, 1, map.shape[0], map.shape[1]), [rim, rim, rim, rim], replicate ? TorchSharp.PaddingModes.Replicate : TorchSharp.PaddingModes.Constant)[0, 0]; // [h + 2·rim, w + 2·rim]
        Tensor windows = padded.unfold(0, size, 1).unfold(1, size, 1).flatten(2); // [h, w, size²]
        return windows.sort(2).Values.select(2, size * size / 2).MoveToOuterDisposeScope(); // [h, w]
    }
}
