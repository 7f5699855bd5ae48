using DinoSharp.Backbones;

namespace DinoSharp.Features.HighResolution;

/// <summary>Chooses between the whole picture and tiles.</summary>
internal static class ExtractionPlanner
{
    // A tile must show enough of its surroundings for its patches to mean something; the networks are trained at 224 to 768 pixels.
    private const int SmallestTile = 256;

    /// <summary>Plans one picture.</summary>
    /// <param name="network">The network.</param>
    /// <param name="residentBytes">What the process holds before anything is computed.</param>
    /// <param name="imageSamples">Width · height · channels of the decoded picture; 0 if there is none.</param>
    /// <param name="height">Height of the input in pixels.</param>
    /// <param name="width">Width of the input in pixels.</param>
    /// <param name="options">Tiles, ceiling and layers.</param>
    /// <param name="grid">The tiles; null: none.</param>
    /// <exception cref="DinoSharpException">No tile is small enough for the ceiling, or an impossible tile.</exception>
    public static ExtractionPlan Plan(Backbone network, long residentBytes, long imageSamples, int height, int width, ExtractOptions options, out TileGrid? grid)
    {
        BackboneConfig config = network.Config;
        int unit = config is ConvNeXtConfig ? 32 : config.PatchSizePixels;
        int[] layers = options.Layers.Resolve(config.LayerCount);
        long whole = Peak(height, width);
        (grid, long peak) = options switch
        {
            { TileSizePixels: int side } when side < Math.Max(height, width) => Tiled(side, options.TileOverlapPixels),
            { TileSizePixels: null, MaxMemoryBytes: long most } when most < whole => Largest(most),
            _ => (null, whole),
        };
        if (options is { TileSizePixels: not null, MaxMemoryBytes: long ceiling } && peak > ceiling)
            throw new DinoSharpException($"tiles of {options.TileSizePixels} pixels take about {ExtractionPlan.Words(peak)}, the limit is {ExtractionPlan.Words(ceiling)}; use smaller tiles, a smaller size or a higher limit");
        return grid is null
            ? new ExtractionPlan(width, height, width, height, 0, 1, 1, peak, whole)
            : new ExtractionPlan(width, height, grid.TileWidth, grid.TileHeight, grid.Overlap, grid.Lefts.Length, grid.Tops.Length, peak, whole);

        long Peak(int tileHeight, int tileWidth) => residentBytes + NetworkMemory.Extraction(network, imageSamples, (height, width), (tileHeight, tileWidth), layers);

        (TileGrid Grid, long Peak) Tiled(int side, int? wanted)
        {
            int overlap = wanted ?? Math.Max(unit, side / 4 / unit * unit);
            if (side < unit || side % unit != 0) throw new DinoSharpException($"a tile of {side} pixels is not possible: expected a multiple of {unit}, the patch size of the network");
            if (overlap < 0 || overlap % unit != 0 || overlap > side / 2) throw new DinoSharpException($"tiles of {side} pixels cannot overlap by {overlap}: expected a multiple of {unit} up to {side / 2 / unit * unit}");
            TileGrid tiles = TileGrid.Create(height, width, side, overlap, layers.Max(config.LayerStride));
            return (tiles, Peak(tiles.TileHeight, tiles.TileWidth));
        }

        (TileGrid Grid, long Peak) Largest(long most)
        {
            int side = Math.Max(height, width) / unit * unit;
            long peak;
            TileGrid tiles;
            do
            {
                side = Math.Max(SmallestTile / unit * unit, side * 3 / 4 / unit * unit);
                (tiles, peak) = Tiled(side, options.TileOverlapPixels is int overlap ? Math.Min(overlap, side / 2 / unit * unit) : null); // tiles become smaller than the overlap was meant for
            }
            while (peak > most && side > SmallestTile);
            return peak <= most ? (tiles, peak) : throw new DinoSharpException(
                $"{width}x{height} pixels take about {ExtractionPlan.Words(peak)} even in tiles of {side} pixels, the limit is {ExtractionPlan.Words(most)}; use a smaller size or a higher limit");
        }
    }
}
