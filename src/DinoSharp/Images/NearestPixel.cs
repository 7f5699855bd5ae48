namespace DinoSharp.Images;

/// <summary>Resizing without blending along one side: which old pixel each new one shows. Counted in float32 as PyTorch does, which for some sizes is one pixel off the exact quotient.</summary>
internal static class NearestPixel
{
    /// <summary>The pixel under the near edge of each new one (<c>nearest</c>).</summary>
    /// <param name="from">Old length in pixels.</param>
    /// <param name="to">New length in pixels.</param>
    public static int[] UnderEdge(int from, int to)
    {
        float scale = (float)from / to;
        return [.. Enumerable.Range(0, to).Select(i => from == to ? i : to == 2L * from ? i / 2 : Math.Min((int)(i * scale), from - 1))];
    }

    /// <summary>The pixel under the middle of each new one (<c>nearest-exact</c>).</summary>
    /// <param name="from">Old length in pixels.</param>
    /// <param name="to">New length in pixels.</param>
    public static int[] UnderMiddle(int from, int to)
    {
        float scale = (float)from / to;
        return [.. Enumerable.Range(0, to).Select(i => Math.Min((int)((i + 0.5f) * scale), from - 1))];
    }
}
