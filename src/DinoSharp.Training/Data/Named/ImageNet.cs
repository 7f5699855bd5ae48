using System.Globalization;
using CsvHelper;
using DinoSharp.Images;

namespace DinoSharp.Training.Data.Named;

/// <summary>
/// ImageNet-1k in its usual layout: <c>train/WNID/WNID_N.JPEG</c>, <c>val/WNID/ILSVRC2012_val_NNNNNNNN.JPEG</c>, <c>test/ILSVRC2012_test_NNNNNNNN.JPEG</c>, <c>labels.txt</c> with
/// lines <c>wnid,name</c>. The original's index tables are used if they are there, otherwise the folders are listed. Subsets are welcome.
/// </summary>
public static class ImageNet
{
    private const uint NoClass = uint.MaxValue;

    /// <summary>Opens a split.</summary>
    /// <param name="root">The folder that holds train, val and test.</param>
    /// <param name="split">TRAIN, VAL or TEST.</param>
    /// <param name="extra">The folder of the index tables; null: list the folders.</param>
    /// <param name="reading">How files are read; null for the defaults.</param>
    /// <exception cref="DinoSharpException">Something that is needed is not there.</exception>
    public static FileDataset Open(string root, string split, string? extra = null, ImageReadOptions? reading = null)
    {
        string part = DatasetString.Split("ImageNet", split, "TRAIN", "VAL", "TEST").ToLowerInvariant(), name = $"ImageNet {part} ({root})";
        if (extra is not null) return FromTable(name, root, part, extra, reading);
        string folder = Path.Combine(root, part);
        if (!Directory.Exists(folder)) throw new DinoSharpException($"{root} holds no folder {part}; expected is the layout of ImageNet: {Layout(part)}");
        FileDataset files = ImageFolder.Open(folder, labelled: part != "test", reading);
        if (part == "test") return files;
        Dictionary<string, string> names = ReadNames(root);
        return new FileDataset(
            name, [.. Enumerable.Range(0, files.Count).Select(files.PathOf)], [.. Enumerable.Range(0, files.Count).Select(i => files.LabelOf(i)!.Value)],
            Distinct([.. files.Classes], [.. files.Classes.Select(c => names.GetValueOrDefault(c, c))]), reading: reading);
    }

    /// <summary>Writes the original's index tables (entries, class ids and class names of a split), so that a large data set need not be listed again.</summary>
    /// <param name="root">The folder that holds train, val and test.</param>
    /// <param name="split">TRAIN, VAL or TEST.</param>
    /// <param name="extra">The folder to write to; made if needed.</param>
    /// <exception cref="DinoSharpException">Something that is needed is not there, or a file name is not of ImageNet.</exception>
    public static void WriteTables(string root, string split, string extra)
    {
        string part = DatasetString.Split("ImageNet", split, "TRAIN", "VAL", "TEST");
        FileDataset files = Open(root, split);
        bool test = part == "TEST";
        string[] paths = [.. Enumerable.Range(0, files.Count).Select(files.PathOf)];
        string[] ids = [.. paths.Select(p => test ? "" : Path.GetFileName(Path.GetDirectoryName(p)!))];
        Directory.CreateDirectory(extra);
        NpyTable.Write(Path.Combine(extra, $"entries-{part}.npy"),
        [
            ("actual_index", [.. paths.Select(p => (object)NumberOf(p))]),
            ("class_index", [.. Enumerable.Range(0, files.Count).Select(i => (object)(uint)(files.LabelOf(i) ?? unchecked((int)NoClass)))]),
            ("class_id", ids),
            ("class_name", [.. Enumerable.Range(0, files.Count).Select(i => files.LabelOf(i) is int label ? WithoutId(files.Classes[label], ids[i]) : "")]),
        ]);
        if (test) return;
        NpyTable.Write(Path.Combine(extra, $"class-ids-{part}.npy"), [("", [.. ids.Distinct()])]);
        NpyTable.Write(Path.Combine(extra, $"class-names-{part}.npy"), [("", [.. files.Classes.Zip(ids.Distinct(), WithoutId)])]);
    }

    private static FileDataset FromTable(string name, string root, string part, string extra, ImageReadOptions? reading)
    {
        NpyTable table = NpyTable.Read(Path.Combine(extra, $"entries-{part.ToUpperInvariant()}.npy"));
        string[] paths = new string[table.Rows];
        int[]? labels = part == "test" ? null : new int[table.Rows];
        var (classes, ids) = (new SortedDictionary<int, string>(), new SortedDictionary<int, string>());
        for (int i = 0; i < table.Rows; i++)
        {
            string number = table.Number("actual_index", i).ToString("D8", CultureInfo.InvariantCulture), id = labels is null ? "" : table.Text("class_id", i);
            paths[i] = part switch
            {
                "train" => Path.Combine(root, part, id, $"{id}_{table.Number("actual_index", i)}.JPEG"),
                "val" => Path.Combine(root, part, id, $"ILSVRC2012_val_{number}.JPEG"),
                _ => Path.Combine(root, part, $"ILSVRC2012_test_{number}.JPEG"),
            };
            if (labels is null) continue;
            labels[i] = (int)table.Number("class_index", i);
            classes.TryAdd(labels[i], table.Text("class_name", i));
            ids.TryAdd(labels[i], id);
        }

        if (classes.Count > 0 && classes.Keys.Last() is int last && last >= 1_000_000) throw new DinoSharpException($"{extra}: class number {last} is not of ImageNet");
        int[] numbers = labels is null ? [] : [.. Enumerable.Range(0, classes.Keys.Last() + 1)];
        return new FileDataset(name, paths, labels, labels is null ? null : Distinct([.. numbers.Select(c => ids.GetValueOrDefault(c, ""))], [.. numbers.Select(c => classes.GetValueOrDefault(c, ""))]), reading: reading);
    }

    // Two classes are called "crane" and two "maillot"; classes are told apart by their names, so these carry their WordNet ids.
    private static string[] Distinct(string[] ids, string[] names)
    {
        HashSet<string> twice = [.. names.GroupBy(n => n).Where(g => g.Key.Length > 0 && g.Count() > 1).Select(g => g.Key)];
        return [.. names.Select((n, i) => twice.Contains(n) ? $"{n} ({ids[i]})" : n)];
    }

    private static Dictionary<string, string> ReadNames(string root)
    {
        string path = Path.Combine(root, "labels.txt");
        if (!File.Exists(path)) return [];
        var names = new Dictionary<string, string>();
        using CsvReader csv = CsvReader.FromFile(path, new CsvReaderOptions { Separator = ',', HasHeader = false });
        while (csv.Read())
        {
            if (csv.FieldCount >= 2) names[csv.GetString(0)] = csv.GetString(1);
        }

        return names;
    }

    private static string WithoutId(string name, string id) => name.EndsWith($" ({id})", StringComparison.Ordinal) ? name[..^(id.Length + 3)] : name;

    private static uint NumberOf(string path)
    {
        string bare = Path.GetFileNameWithoutExtension(path);
        return uint.TryParse(bare[(bare.LastIndexOf('_') + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out uint number) ? number
            : throw new DinoSharpException($"{path} is not named as ImageNet names its files: a number is expected after the last underscore");
    }

    private static string Layout(string part) => part switch
    {
        "train" => "train/WNID/WNID_N.JPEG",
        "val" => "val/WNID/ILSVRC2012_val_NNNNNNNN.JPEG",
        _ => "test/ILSVRC2012_test_NNNNNNNN.JPEG",
    };
}
