using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Data.Annotations;
using ClassNames = DinoSharp.Heads.ClassNames;

namespace DinoSharp.Training.Protocols.Benchmarks;

/// <summary>Pictures with a label map each.</summary>
/// <param name="Images">Files of the pictures.</param>
/// <param name="Labels">Files of the label maps, one for each.</param>
/// <param name="Classes">Names of the classes, in the order of their indices.</param>
/// <param name="IndexOfId">Class index of each id in the files; 255 for pixels that do not count. [256]</param>
public sealed record SegmentationImages(IReadOnlyList<string> Images, IReadOnlyList<string> Labels, ClassNames Classes, IReadOnlyList<byte> IndexOfId)
{
    /// <summary>Index of pixels that do not count.</summary>
    public const byte Ignored = 255;

    /// <summary>The table of a plain folder; null for published layouts, whose ids are known.</summary>
    internal ClassTable? Table { get; init; }

    private const string Layouts = """
        one of these layouts:
          images/SPLIT/NAME.jpg, labels/SPLIT/NAME.png (ids) and classes.csv with id, name and perhaps ignore; SPLIT is train or val
          ADE20K: images/{training,validation}/NAME.jpg, annotations/{training,validation}/NAME.png
          Cityscapes: leftImg8bit/{train,val}/CITY/*_leftImg8bit.png, gtFine/{train,val}/CITY/*_gtFine_labelIds.png
          CamVid: {train,val}/NAME.png, {trainannot,valannot}/NAME.png (ids 0 to 10, 11 not to count)
          Pascal VOC: JPEGImages/NAME.jpg, SegmentationClass/NAME.png, ImageSets/Segmentation/{train,val}.txt
        """;

    // Training ids of Cityscapes by the ids of its files.
    private static readonly int[] CityscapesIds = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33];

    private const string CamVidLayout = "CamVid";

    private static readonly string[] CamVidNames = ["sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian", "bicyclist"];

    private static readonly string[] VocNames =
    [
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
    ];

    /// <summary>Finds the pictures of a part of a data set; the layout is recognised by its folders.</summary>
    /// <param name="root">The folder of the data set.</param>
    /// <param name="train">The training part; else the validation part.</param>
    /// <exception cref="DinoSharpException">Something is missing; the message names it and the layouts that are understood.</exception>
    public static SegmentationImages Open(string root, bool train)
    {
        return Layout(root) switch
        {
            "ADE20K" => Ade(root, train),
            "Cityscapes" => Cityscapes(root, train),
            "VOC12" => Voc(root, train),
            CamVidLayout => InFolders(Path.Combine(root, train ? "train" : "val"), Path.Combine(root, train ? "trainannot" : "valannot"), new ClassNames(CamVidNames), [.. Enumerable.Range(0, 256).Select(id => id < CamVidNames.Length ? (byte)id : Ignored)]),
            _ when Directory.Exists(Path.Combine(root, "labels")) => Plain(root, train),
            _ => throw new DinoSharpException($"{root}: {(Directory.Exists(root) ? "holds no label maps" : "there is no such folder")}; expected is {Layouts}"),
        };
    }

    /// <summary>Whether a folder can be that of a benchmark: its layout is, or it is a plain folder, whose owner knows.</summary>
    /// <param name="root">The folder of the data set.</param>
    /// <param name="benchmark">ADE20K, Cityscapes or VOC12.</param>
    internal static bool IsOf(string root, string benchmark) => (Layout(root) ?? benchmark) == benchmark;

    /// <summary>The label map of a picture as class indices.</summary>
    /// <param name="index">0 … number of pictures − 1.</param>
    /// <exception cref="ImageException">The file cannot be read.</exception>
    public LabelMap Read(int index)
    {
        LabelMap ids = LabelMap.Read(ImageSource.Stored(Labels[index]));
        byte[] values = ids.Values.ToArray();
        for (int id = 0; Table is not null && id < 256; id++) if (values.AsSpan().Contains((byte)id)) Table.ClassOf((byte)id, Labels[index]); // an id that the table does not know is an error
        for (int i = 0; i < values.Length; i++) values[i] = IndexOfId[values[i]];
        return new LabelMap(ids.Width, ids.Height, values);
    }

    private static string? Layout(string root) =>
        Directory.Exists(Path.Combine(root, "annotations", "training")) ? "ADE20K"
        : Directory.Exists(Path.Combine(root, "leftImg8bit")) ? "Cityscapes"
        : Directory.Exists(Path.Combine(root, "SegmentationClass")) ? "VOC12"
        : Directory.Exists(Path.Combine(root, "trainannot")) || Directory.Exists(Path.Combine(root, "valannot")) ? CamVidLayout : null;

    private static SegmentationImages Ade(string root, bool train)
    {
        string part = train ? "training" : "validation";
        byte[] index = [.. Enumerable.Range(0, 256).Select(id => id is 0 or > 150 ? Ignored : (byte)(id - 1))];
        return InFolders(Path.Combine(root, "images", part), Path.Combine(root, "annotations", part), ClassNames.Ade20K, index);
    }

    private static SegmentationImages Cityscapes(string root, bool train)
    {
        string part = train ? "train" : "val", images = Path.Combine(root, "leftImg8bit", part);
        if (!Directory.Exists(images)) throw Missing(images);
        string[] files = [.. Directory.EnumerateFiles(images, "*_leftImg8bit.png", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
        string[] labels = [.. files.Select(f => Path.Combine(root, "gtFine", part, Path.GetFileName(Path.GetDirectoryName(f))!, Path.GetFileName(f).Replace("_leftImg8bit", "_gtFine_labelIds", StringComparison.Ordinal)))];
        byte[] index = [.. Enumerable.Range(0, 256).Select(id => Array.IndexOf(CityscapesIds, id) is >= 0 and int i ? (byte)i : Ignored)];
        return Checked(images, files, labels, ClassNames.Cityscapes, index);
    }

    private static SegmentationImages Voc(string root, bool train)
    {
        string list = Path.Combine(root, "ImageSets", "Segmentation", train ? "train.txt" : "val.txt");
        if (!File.Exists(list)) throw Missing(list);
        string[] names = [.. File.ReadLines(list).Select(l => l.Trim()).Where(l => l.Length > 0)];
        byte[] index = [.. Enumerable.Range(0, 256).Select(id => id < VocNames.Length ? (byte)id : Ignored)];
        return Checked(list, [.. names.Select(n => Path.Combine(root, "JPEGImages", n + ".jpg"))], [.. names.Select(n => Path.Combine(root, "SegmentationClass", n + ".png"))], new ClassNames(VocNames), index);
    }

    private static SegmentationImages Plain(string root, bool train)
    {
        string part = train ? "train" : "val", table = Path.Combine(root, "classes.csv");
        if (!File.Exists(table)) throw Missing(table);
        ClassTable classes = ClassTable.Read(table);
        byte[] ids = [.. classes.Names.Keys];
        byte[] index = [.. Enumerable.Range(0, 256).Select(id => Array.IndexOf(ids, (byte)id) is >= 0 and int i ? (byte)i : Ignored)];
        return InFolders(Path.Combine(root, "images", part), Path.Combine(root, "labels", part), new ClassNames([.. classes.Names.Values]), index) with { Table = classes };
    }

    private static SegmentationImages InFolders(string images, string labels, ClassNames classes, byte[] index)
    {
        if (!Directory.Exists(images)) throw Missing(images);
        string[] files = [.. Directory.EnumerateFiles(images).Where(ImageFolder.IsImage).Order(StringComparer.Ordinal)];
        return Checked(images, files, [.. files.Select(f => Path.Combine(labels, Path.GetFileNameWithoutExtension(f) + ".png"))], classes, index);
    }

    private static SegmentationImages Checked(string where, string[] images, string[] labels, ClassNames classes, byte[] index)
    {
        if (images.Length == 0) throw new DinoSharpException($"{where} holds no pictures; expected is {Layouts}");
        foreach (string file in images.Concat(labels)) if (!File.Exists(file)) throw Missing(file);
        return new SegmentationImages(images, labels, classes, index);
    }

    private static DinoSharpException Missing(string path) => new($"there is no {path}; expected is {Layouts}");
}
