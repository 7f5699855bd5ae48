using DinoSharp.Evaluation;
using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Tests.Evaluation;

/// <summary>
/// <c>upsampling FOLDER</c>: how well borders survive the way from patches to pixels. The patches are ideal, each says which share of it every class covers, so that nothing but the upsampling is measured.
/// </summary>
internal static class UpsamplingScores
{
    private const int Patch = 16, Classes = 11; // id 11 is not labelled

    public static int Run(string folder)
    {
        (string Name, Func<PatchMap, ImageBuffer, PatchMap> Way)[] ways =
        [
            ("bilinear", (map, _) => map),
            .. new[] { (0.75, 0.1), (0.75, 0.2), (0.5, 0.1), (0.5, 0.15), (0.5, 0.2), (0.5, 0.3), (0.4, 0.2), (0.6, 0.2) }.Select(sigma => (
                FormattableString.Invariant($"guided, distance {sigma.Item1} colour {sigma.Item2}"),
                (Func<PatchMap, ImageBuffer, PatchMap>)((map, picture) => map.UpsampleGuided(picture, new() { SpatialSigmaPatches = sigma.Item1, ColorSigma = sigma.Item2 })))),
        ];
        foreach ((string split, int every) in new[] { ("train", 6), ("val", 1) }) // chosen on some of the one, reported on the other
        {
            foreach ((string name, Func<PatchMap, ImageBuffer, PatchMap> way) in ways)
            {
                var areas = new List<SegmentationAreas>();
                var borders = new List<double>();
                foreach (string file in Directory.EnumerateFiles(Path.Combine(folder, "images", split)).Order(StringComparer.Ordinal).Where((_, i) => i % every == 0))
                {
                    ImageBuffer picture = ImageFile.Read(file).ToRgb8();
                    LabelMap truth = LabelMap.Read(Path.Combine(folder, "labels", split, Path.GetFileNameWithoutExtension(file) + ".png"));
                    LabelMap found = PatchClasses.Paint(way(Shares(truth), picture), truth.Width, truth.Height);
                    areas.Add(SegmentationAreas.Measure<byte, byte>(found.Values, truth.Values, Classes, ignoreIndex: Classes));
                    borders.AddRange(truth.Ids.Where(id => id < Classes).Select(id => MaskScores.BoundaryF(found.Values, truth.Values, truth.Width, id)));
                }

                Console.WriteLine(FormattableString.Invariant($"{split,-6}{name,-40} {areas.Count} pictures  mIoU {100 * SegmentationAreas.Sum(areas).Score().MeanIou,5:0.0}  boundary F {100 * borders.Average(),5:0.0}"));
            }
        }

        return 0;
    }

    private static PatchMap Shares(LabelMap truth)
    {
        (int h, int w) = (truth.Height / Patch, truth.Width / Patch);
        float[] shares = new float[h * w * Classes]; // [h, w, K]
        for (int y = 0; y < h * Patch; y++)
        {
            for (int x = 0; x < w * Patch; x++)
            {
                byte id = truth.Values[(y * truth.Width) + x];
                if (id < Classes) shares[(((y / Patch * w) + (x / Patch)) * Classes) + id] += 1f / (Patch * Patch);
            }
        }

        return new PatchMap(h, w, Classes, shares, new PatchGeometry(truth.Width, truth.Height, 0, 0, w * Patch, h * Patch));
    }
}
