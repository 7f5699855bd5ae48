using DinoSharp.Evaluation;
using DinoSharp.Images;
using DinoSharp.Training.Data;

namespace DinoSharp.Training.Protocols.Benchmarks;

/// <summary>Pictures with a depth map each, 16-bit PNG.</summary>
/// <param name="Images">Files of the pictures.</param>
/// <param name="Depths">Files of the depth maps, one for each.</param>
/// <param name="MetersPerUnit">What one step of the maps is in metres.</param>
/// <param name="Region">Which part is scored.</param>
public sealed record DepthImages(IReadOnlyList<string> Images, IReadOnlyList<string> Depths, double MetersPerUnit, DepthRegion Region)
{
    private const string Layouts = "SPLIT/rgb/NAME.jpg with SPLIT/depth/NAME.png in millimetres (SPLIT is train or val), NYU: nyu_train.txt and nyu_test.txt with lines 'PICTURE DEPTH …' relative to the folder, or KITTI (Eigen split): kitti_eigen_train.txt and kitti_eigen_test.txt with the same lines, relative to the folder or to input/ and gt_depth/ in it, depth in 1/256 m";

    // Depth of the published layouts, in metres of one step.
    private const double Millimeter = 0.001, KittiStep = 1.0 / 256;

    /// <summary>Finds the pictures of a part of a data set; the layout is recognised by its files.</summary>
    /// <param name="root">The folder of the data set.</param>
    /// <param name="train">The training part; else the validation part.</param>
    /// <param name="metersPerUnit">What one step of the maps is in metres; null: that of the layout.</param>
    /// <exception cref="DinoSharpException">Something is missing; the message names it and the layouts that are understood.</exception>
    public static DepthImages Open(string root, bool train, double? metersPerUnit = null)
    {
        if (!((metersPerUnit ?? 1) > 0)) throw new DinoSharpException($"the metres of one step of depth must be above 0, found {metersPerUnit}");
        string part = train ? "train" : "test", list = Path.Combine(root, $"nyu_{part}.txt"), kitti = Path.Combine(root, $"kitti_eigen_{part}.txt");
        if (File.Exists(list)) return Listed(list, "", "", metersPerUnit ?? Millimeter, DepthRegion.NyuEigen);
        if (File.Exists(kitti)) return Listed(kitti, "input", "gt_depth", metersPerUnit ?? KittiStep, DepthRegion.KittiGarg);

        string folder = Path.Combine(root, train ? "train" : "val"), rgb = Path.Combine(folder, "rgb");
        if (!Directory.Exists(rgb)) throw new DinoSharpException($"there is no {list} and no folder {rgb}; expected is {Layouts}");
        string[] files = [.. Directory.EnumerateFiles(rgb).Where(ImageFolder.IsImage).Order(StringComparer.Ordinal)];
        return Checked(rgb, files, [.. files.Select(f => Path.Combine(folder, "depth", Path.GetFileNameWithoutExtension(f) + ".png"))], metersPerUnit ?? Millimeter, DepthRegion.Whole);

        // Lines "None" stand for pictures without depth; the published lists begin paths with a slash.
        DepthImages Listed(string file, string pictures, string depths, double step, DepthRegion region)
        {
            string[][] lines = [.. File.ReadLines(file).Select(l => l.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)).Where(l => l.Length >= 2 && l[1] != "None")];
            return Checked(file, [.. lines.Select(l => Inside(pictures, l[0]))], [.. lines.Select(l => Inside(depths, l[1]))], step, region);
        }

        string Inside(string folder, string path) => Path.Combine(root, folder, path.TrimStart('/')) is var inner && File.Exists(inner) ? inner : Path.Combine(root, path.TrimStart('/'));
    }

    /// <summary>Whether a folder can be that of a benchmark: its layout is, or it is a plain folder, whose owner knows.</summary>
    /// <param name="root">The folder of the data set.</param>
    /// <param name="benchmark">NYU or KITTI.</param>
    internal static bool IsOf(string root, string benchmark) => (File.Exists(Path.Combine(root, "nyu_test.txt")) ? "NYU" : File.Exists(Path.Combine(root, "kitti_eigen_test.txt")) ? "KITTI" : benchmark) == benchmark;

    /// <summary>Metres at each pixel; 0 where nothing was measured.</summary>
    /// <param name="index">0 … number of pictures − 1.</param>
    /// <exception cref="ImageException">The file cannot be read, or is no 16-bit gray picture.</exception>
    public (float[] Meters, int Width, int Height) Read(int index)
    {
        ImageBuffer map = ImageFile.Read(ImageSource.Stored(Depths[index]));
        if (map.SampleType != SampleType.UInt16 || map.Channels != 1) throw new ImageException(Depths[index], $"expected one band of 16 bit, found {map.Channels} of {map.SampleType}");
        return ([.. map.Samples<ushort>().ToArray().Select(v => (float)(v * MetersPerUnit))], map.Width, map.Height);
    }

    private static DepthImages Checked(string where, string[] images, string[] depths, double metersPerUnit, DepthRegion region)
    {
        if (images.Length == 0) throw new DinoSharpException($"{where} names no pictures; expected is {Layouts}");
        foreach (string file in images.Concat(depths)) if (!File.Exists(file)) throw new DinoSharpException($"there is no {file}; expected is {Layouts}");
        return new DepthImages(images, depths, metersPerUnit, region);
    }
}
