using System.Globalization;

namespace DinoSharp.Features.HighResolution;

/// <summary>How the features of a picture will be computed, as a whole or in tiles, and how much memory that takes. From <see cref="DinoModel.Plan"/>.</summary>
/// <param name="InputWidth">Width in pixels at which the network sees the picture.</param>
/// <param name="InputHeight">Height in pixels.</param>
/// <param name="TileWidth">Width of a tile in pixels; the input's if it is computed as a whole.</param>
/// <param name="TileHeight">Height of a tile in pixels.</param>
/// <param name="OverlapPixels">Least overlap of neighbouring tiles in pixels; 0 if it is computed as a whole.</param>
/// <param name="TileColumns">Tiles side by side.</param>
/// <param name="TileRows">Tiles one above the other.</param>
/// <param name="PeakBytes">Estimate of the most memory that the process holds meanwhile: what it held when the model was loaded, and what is added.</param>
/// <param name="WholePeakBytes">The same estimate for the picture as a whole.</param>
public sealed record ExtractionPlan(
    int InputWidth, int InputHeight, int TileWidth, int TileHeight, int OverlapPixels, int TileColumns, int TileRows, long PeakBytes, long WholePeakBytes)
{
    /// <summary>Whether the picture is computed in tiles.</summary>
    public bool IsTiled => TileColumns * TileRows > 1;

    /// <summary>One line for people.</summary>
    public override string ToString() => IsTiled
        ? FormattableString.Invariant($"{InputWidth}x{InputHeight} pixels in {TileColumns}x{TileRows} tiles of {TileWidth}x{TileHeight} with {OverlapPixels} overlap, about {Words(PeakBytes)} (as a whole about {Words(WholePeakBytes)})")
        : FormattableString.Invariant($"{InputWidth}x{InputHeight} pixels as a whole, about {Words(PeakBytes)}");

    /// <summary>Bytes in the units in which people speak of memory, powers of 1024.</summary>
    internal static string Words(long bytes) => bytes >= 1L << 30
        ? (bytes / (double)(1L << 30)).ToString("0.00", CultureInfo.InvariantCulture) + " GB"
        : (bytes / (double)(1L << 20)).ToString("0", CultureInfo.InvariantCulture) + " MB";
}
