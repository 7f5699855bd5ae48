namespace DinoSharp.Features.HighResolution;

/// <summary>Equal tiles that cover a picture, spread evenly. Along a side that is no longer than a tile there is one.</summary>
internal sealed class TileGrid
{
    private TileGrid(int height, int width, int[] tops, int[] lefts, int tileHeight, int tileWidth, int overlap) =>
        (Height, Width, Tops, Lefts, TileHeight, TileWidth, Overlap) = (height, width, tops, lefts, tileHeight, tileWidth, overlap);

    /// <summary>Height in pixels of what the tiles cover: whole units.</summary>
    public int Height { get; }

    /// <summary>Width in pixels of what the tiles cover: whole units.</summary>
    public int Width { get; }

    /// <summary>First pixel row of each row of tiles.</summary>
    public int[] Tops { get; }

    /// <summary>First pixel column of each column of tiles.</summary>
    public int[] Lefts { get; }

    public int TileHeight { get; }

    public int TileWidth { get; }

    /// <summary>Least overlap of neighbours in pixels; over this length one fades into the other.</summary>
    public int Overlap { get; }

    /// <param name="height">Height of the picture; pixels beyond the last whole unit are left out.</param>
    /// <param name="width">Width of the picture; pixels beyond the last whole unit are left out.</param>
    /// <param name="side">Side of a tile, a multiple of the unit.</param>
    /// <param name="overlap">Least overlap, less than the side, a multiple of the unit.</param>
    /// <param name="unit">Side of the largest patch of the layers: tiles begin at whole patches, so that their patches are patches of the picture.</param>
    public static TileGrid Create(int height, int width, int side, int overlap, int unit)
    {
        (height, width) = (height / unit * unit, width / unit * unit);
        return new TileGrid(height, width, Starts(height), Starts(width), Math.Min(side, height), Math.Min(side, width), overlap);

        int[] Starts(int length)
        {
            if (length <= side) return [0];
            int last = (length - side) / unit, count = (length - overlap + (side - overlap) - 1) / (side - overlap);
            return [.. Enumerable.Range(0, count).Select(i => (int)((long)i * last / (count - 1)) * unit)];
        }
    }

    /// <summary>How much each patch of a tile counts along one side: 1 in its middle, falling linearly towards neighbours, never 0.</summary>
    /// <param name="patches">Patches of the tile along this side.</param>
    /// <param name="overlapPatches">Patches over which it falls.</param>
    /// <param name="first">Whether the tile begins where the picture does.</param>
    /// <param name="last">Whether it ends where the picture does.</param>
    public static float[] Fade(int patches, double overlapPatches, bool first, bool last) =>
    [
        .. Enumerable.Range(0, patches).Select(i =>
        {
            double before = first ? 1 : (i + 0.5) / overlapPatches, after = last ? 1 : (patches - i - 0.5) / overlapPatches;
            return (float)Math.Min(1, Math.Min(before, after));
        }),
    ];
}
