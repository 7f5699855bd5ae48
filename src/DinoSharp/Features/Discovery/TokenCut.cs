using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Features.Discovery;

/// <summary>How the object is cut out.</summary>
public sealed record TokenCutOptions
{
    /// <summary>Patches with a cosine similarity above this are joined. TokenCut takes 0.2 with DINO; DINOv3's paper sweeps 0 … 0.4.</summary>
    public double Threshold { get; init; } = 0.2;

    /// <summary>Maps with more patches are averaged in squares until they have no more: memory and time grow with the square of the patches (8192: 270 MB).</summary>
    public int MaxPatches { get; init; } = 8192;
}

/// <summary>The most salient object of a picture, found without labels.</summary>
/// <param name="Mask">The patches of the object.</param>
/// <param name="Box">The box around them in pixels of the picture.</param>
/// <param name="Saliency">The eigenvector: high on the object, low on the background.</param>
public sealed record DiscoveredObject(PatchMask Mask, Box Box, HeatMap Saliency);

/// <summary>Unsupervised object discovery by a normalised cut of the graph of similar patches (TokenCut, Wang et al. 2022).</summary>
public static class TokenCut
{
    // Weight of patches that are not joined, as published: keeps the graph connected.
    private const double Unjoined = 1e-5;

    /// <summary>Cuts the most salient object out of a picture.</summary>
    /// <param name="map">Patches of the picture.</param>
    /// <param name="options">How; null: defaults.</param>
    /// <returns>The object; null if there is none: all patches are alike, or no two are, so that no cut is better than another.</returns>
    /// <exception cref="DinoSharpException">Fewer than two patches, or features that are not finite.</exception>
    public static DiscoveredObject? Find(PatchMap map, TokenCutOptions? options = null)
    {
        options ??= new TokenCutOptions();
        map = Shrink(map, Math.Max(2, options.MaxPatches));
        if (map.Count < 2) throw new DinoSharpException("a picture of one patch has no object to tell from its background; use a larger size");
        float[] cut;
        using (NewDisposeScope())
        {
            Tensor one = tensor(1f), unjoined = tensor((float)Unjoined), units = nn.functional.normalize(map.ToTensor()); // [P, D]
            if (!units.isfinite().all().item<bool>()) throw new DinoSharpException("the features hold numbers that are not finite (NaN or infinity); the weights may be damaged: try 'dino info' on them");
            Tensor joined; // [P, P]
            using (NewDisposeScope())
            {
                Tensor products = units.matmul(units.t()), above = products.gt(Num(options.Threshold)); // [P, P]
                products.Dispose(); // as large as what follows
                long pairs = above.sum().item<long>();
                if (pairs <= map.Count || pairs == (long)map.Count * map.Count) return null;
                joined = where(above, one, unjoined).MoveToOuterDisposeScope(); // [P, P]
            }

            cut = SecondEigenvector.Find(joined).data<float>().ToArray(); // [P]
        }

        // The object is the side of the mean that holds the most extreme patch.
        float mean = cut.Average();
        int seed = Enumerable.Range(0, cut.Length).MaxBy(i => Math.Abs(cut[i]));
        if (cut[seed] < mean) (cut, mean) = (Array.ConvertAll(cut, v => -v), -mean);
        bool[] part = Connected(Array.ConvertAll(cut, v => v > mean), map.Width, seed);
        return new DiscoveredObject(new PatchMask(map.Height, map.Width, part), Around(part, map), new HeatMap(map.Height, map.Width, cut, map.Geometry));
    }

    /// <summary>Bytes that a picture takes at the peak: the similarities of all pairs of patches, and which of them are joined.</summary>
    /// <param name="patches">How many.</param>
    internal static long WorkBytes(int patches) => (long)Math.Pow(Math.Min(patches, new TokenCutOptions().MaxPatches), 2) * (sizeof(float) + sizeof(bool));

    // Averages squares of patches until there are few enough.
    private static PatchMap Shrink(PatchMap map, int maxPatches)
    {
        int side = 1;
        while ((long)((map.Height + side - 1) / side) * ((map.Width + side - 1) / side) > maxPatches) side++;
        if (side == 1) return map;
        using var scope = NewDisposeScope();
        Tensor image = nn.functional.normalize(map.ToTensor()).t().reshape(1, map.Dim, map.Height, map.Width); // [1, D, h, w]
        Tensor small = nn.functional.adaptive_avg_pool2d(image, [(map.Height + side - 1) / side, (map.Width + side - 1) / side]); // [1, D, h', w']
        return new PatchMap((int)small.shape[2], (int)small.shape[3], map.Dim, small.squeeze(0).permute(1, 2, 0).contiguous().data<float>().ToArray(), map.Geometry);
    }

    // The patches joined to a seed by side neighbours of the same kind.
    private static bool[] Connected(bool[] inside, int width, int seed)
    {
        bool[] part = new bool[inside.Length];
        var open = new Stack<int>([seed]);
        part[seed] = true;
        while (open.TryPop(out int i))
        {
            foreach (int j in (int[])[i - width, i + width, i % width > 0 ? i - 1 : -1, (i + 1) % width > 0 ? i + 1 : -1])
            {
                if (j < 0 || j >= inside.Length || part[j] || !inside[j]) continue;
                part[j] = true;
                open.Push(j);
            }
        }

        return part;
    }

    private static Box Around(bool[] part, PatchMap map)
    {
        int[] patches = [.. Enumerable.Range(0, part.Length).Where(i => part[i])];
        PatchGeometry g = map.Geometry;
        double left = g.Left + (patches.Min(i => i % map.Width) * g.Width / map.Width), right = g.Left + ((patches.Max(i => i % map.Width) + 1) * g.Width / map.Width);
        double top = g.Top + (patches.Min(i => i / map.Width) * g.Height / map.Height), bottom = g.Top + ((patches.Max(i => i / map.Width) + 1) * g.Height / map.Height);
        (left, right, top, bottom) = (Math.Max(0, left), Math.Min(g.ImageWidth, right), Math.Max(0, top), Math.Min(g.ImageHeight, bottom));
        return new Box(left, top, right - left, bottom - top);
    }
}
