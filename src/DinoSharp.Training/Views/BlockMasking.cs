namespace DinoSharp.Training.Views;

/// <summary>
/// Hides rectangular blocks of patches until exactly the wanted number is hidden (BEiT, Bao et al. 2022, as the original's <c>data/masking.py</c> does it).
/// </summary>
/// <param name="rows">Patch rows h.</param>
/// <param name="columns">Patch columns w.</param>
/// <param name="maxBlockPatches">Largest block, in patches.</param>
/// <param name="options">Smallest block and shapes.</param>
internal sealed class BlockMasking(int rows, int columns, double maxBlockPatches, MaskOptions options)
{
    private const int Tries = 10;

    /// <summary>For square crops of a given size, with the largest block the original uses: half the crop.</summary>
    public static BlockMasking ForCrop(int sizePixels, int patchSize, MaskOptions options)
    {
        double grid = (double)sizePixels / patchSize;
        return new BlockMasking((int)grid, (int)grid, (int)((int)(0.5 * grid) * grid), options);
    }

    /// <summary>Patches per crop, P.</summary>
    public int Patches => rows * columns;

    /// <summary>A mask with exactly <paramref name="count"/> hidden patches. [h · w]</summary>
    public bool[] Generate(int count, MaskDraws draws)
    {
        bool[] mask = new bool[Patches];
        int hidden = 0;
        while (hidden < count)
        {
            int added = AddBlock(mask, Math.Min(count - hidden, maxBlockPatches), draws);
            if (added == 0) break;
            hidden += added;
        }

        int[] open = [.. Enumerable.Range(0, Patches).Where(i => !mask[i])];
        foreach (int i in draws.Choose(open, count - hidden)) mask[i] = true;
        return mask;
    }

    /// <summary>Moves a mask around the edges: down by some rows, right by some columns.</summary>
    public bool[] Shift(bool[] mask, MaskDraws draws)
    {
        int down = draws.Integer(0, rows - 1), right = draws.Integer(0, columns - 1);
        bool[] moved = new bool[mask.Length];
        for (int i = 0; i < mask.Length; i++) moved[(i / columns + down) % rows * columns + (i + right) % columns] = mask[(i / columns) * columns + i % columns];
        return moved;
    }

    /// <summary>Hides one more block of at most <paramref name="cap"/> new patches; 0 if no try fits.</summary>
    private int AddBlock(bool[] mask, double cap, MaskDraws draws)
    {
        double aspectEnd = Math.Log(1 / options.MinBlockAspect);
        for (int attempt = 0; attempt < Tries; attempt++)
        {
            double area = draws.Uniform(options.MinBlockPatches, cap);
            double aspect = Math.Exp(draws.Uniform(-aspectEnd, aspectEnd));
            int height = (int)Math.Round(Math.Sqrt(area * aspect)), width = (int)Math.Round(Math.Sqrt(area / aspect));
            if (width >= columns || height >= rows) continue;
            int top = draws.Integer(0, rows - height), left = draws.Integer(0, columns - width);
            int added = height * width;
            for (int y = top; y < top + height; y++) added -= mask.AsSpan(y * columns + left, width).Count(true);
            if (added <= 0 || added > cap) continue;
            for (int y = top; y < top + height; y++) mask.AsSpan(y * columns + left, width).Fill(true);
            return added;
        }

        return 0;
    }
}
