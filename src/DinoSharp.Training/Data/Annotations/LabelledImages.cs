using CsvHelper;
using DinoSharp.Probes;

namespace DinoSharp.Training.Data.Annotations;

/// <summary>Pictures with one class each, and perhaps a group (patient, event, store) whose pictures belong together. Plain memory; the pictures are not touched.</summary>
public sealed class LabelledImages
{
    private static readonly string[] SplitKeys = ["split", "set", "subset"];

    /// <summary>A list of pictures.</summary>
    /// <param name="name">What it is, for messages.</param>
    /// <param name="paths">Paths of the pictures; at least one.</param>
    /// <param name="labels">Class of each, an index into <paramref name="classes"/>.</param>
    /// <param name="classes">Names of the classes.</param>
    /// <param name="groups">Group of each; null if every picture stands alone.</param>
    /// <param name="splits">Name of the part of the data (train, val, test) of each, as the table says it; null if it does not.</param>
    /// <exception cref="DinoSharpException">There is no picture, the counts differ, or a label has no class.</exception>
    public LabelledImages(
        string name, IReadOnlyList<string> paths, IReadOnlyList<int> labels, IReadOnlyList<string> classes, IReadOnlyList<string>? groups = null, IReadOnlyList<string>? splits = null)
    {
        if (paths.Count == 0) throw new DinoSharpException($"{name} holds no pictures");
        if (labels.Count != paths.Count || (groups ?? paths).Count != paths.Count || (splits ?? paths).Count != paths.Count)
            throw new DinoSharpException($"{name} has {paths.Count} pictures, but {labels.Count} labels, {groups?.Count} groups and {splits?.Count} splits");
        if (labels.FirstOrDefault(l => l < 0 || l >= classes.Count, 0) is not 0 and int bad) throw new DinoSharpException($"{name} has a label {bad}, but only {classes.Count} classes");
        (Name, Paths, Labels, Classes, Groups, Splits) = (name, paths, labels, classes, groups, splits);
    }

    /// <summary>What it is, for messages.</summary>
    public string Name { get; }

    /// <summary>Number of pictures N.</summary>
    public int Count => Paths.Count;

    /// <summary>Path of each picture. [N]</summary>
    public IReadOnlyList<string> Paths { get; }

    /// <summary>Class of each picture, an index into <see cref="Classes"/>. [N]</summary>
    public IReadOnlyList<int> Labels { get; }

    /// <summary>Names of the classes.</summary>
    public IReadOnlyList<string> Classes { get; }

    /// <summary>Group of each picture; null if there are no groups. [N]</summary>
    public IReadOnlyList<string>? Groups { get; }

    /// <summary>Part of the data of each picture, as a table says it; null if it does not. [N]</summary>
    public IReadOnlyList<string>? Splits { get; }

    /// <summary>Opens a folder with a subfolder for each class, or a table.</summary>
    /// <param name="path">A folder, or a file as <see cref="ReadTable"/> takes.</param>
    /// <param name="groupColumn">Column of the table that holds the group; null: none.</param>
    /// <exception cref="DinoSharpException">It is not there, has no pictures, or an empty class.</exception>
    public static LabelledImages Open(string path, string? groupColumn = null)
    {
        if (!Directory.Exists(path)) return ReadTable(path, groupColumn);
        if (groupColumn is not null) throw new DinoSharpException($"{path} is a folder, which has no column '{groupColumn}'; groups need a table (.csv) of the pictures");
        return ReadFolder(path);
    }

    /// <summary>Lists a folder with a subfolder for each class; the pictures lie in them at any depth.</summary>
    /// <param name="path">The folder.</param>
    /// <exception cref="DinoSharpException">There is no such folder, pictures lie beside the classes, or a class has none.</exception>
    public static LabelledImages ReadFolder(string path)
    {
        FileDataset files = ImageFolder.Open(path, labelled: true);
        string? empty = Directory.EnumerateDirectories(path).Select(f => Path.GetFileName(f)!).Where(f => !f.StartsWith('.')).Order(StringComparer.Ordinal).FirstOrDefault(f => !files.Classes.Contains(f));
        if (empty is not null) throw new DinoSharpException($"{Path.Combine(path, empty)}: the class '{empty}' has no pictures; add some, or remove the folder");
        return new LabelledImages(path, [.. Enumerable.Range(0, files.Count).Select(files.PathOf)], [.. Enumerable.Range(0, files.Count).Select(i => files.LabelOf(i)!.Value)], files.Classes);
    }

    /// <summary>Reads a table with a header row: a column path, image or file names the picture, relative to the table's folder; label or class its class; split its part of the data.</summary>
    /// <param name="path">A .csv or .tsv file.</param>
    /// <param name="groupColumn">Column that holds the group; null: none.</param>
    /// <exception cref="DinoSharpException">The table cannot be read, lacks a column, or has an empty cell; the message names the line.</exception>
    public static LabelledImages ReadTable(string path, string? groupColumn = null)
    {
        if (!File.Exists(path)) throw new DinoSharpException($"{path}: there is no such folder or table; expected a folder with a subfolder for each class, or a .csv with the columns path and label");
        List<(string Path, string Label, string Group, string Split)> rows = [];
        bool split;
        try
        {
            char separator = Path.GetExtension(path).ToUpperInvariant() switch
            {
                ".CSV" => ',',
                ".TSV" => '\t',
                string other => throw new DinoSharpException($"{path} ends in \"{other.ToLowerInvariant()}\"; expected a folder with a subfolder for each class, or a .csv or .tsv table"),
            };
            using CsvReader csv = CsvReader.FromFile(path, new CsvReaderOptions { Separator = separator, TrimWhitespace = true, TrackLineNumbers = true, FieldCountMismatch = CsvFieldCountHandling.Throw });
            string[] header = [.. csv.Headers];
            int image = Require(ClassNames.PathKeys, "the picture"), label = Require(ClassNames.Keys, "the class");
            int group = groupColumn is null ? -1 : Require([groupColumn], "the group"), part = Find(SplitKeys);
            split = part >= 0;
            while (csv.Read()) rows.Add((Cell(image), Cell(label), group < 0 ? "" : Cell(group), part < 0 ? "" : Cell(part)));

            string Cell(int column) => csv.GetString(column) is { Length: > 0 } value ? value : throw new DinoSharpException($"{path}, line {csv.LineNumber}: the column {header[column]} is empty");

            int Find(IEnumerable<string> names) => names.Select(n => Array.FindIndex(header, h => string.Equals(h.Trim(), n, StringComparison.OrdinalIgnoreCase))).FirstOrDefault(i => i >= 0, -1);

            int Require(string[] names, string what) => Find(names) is >= 0 and int found ? found
                : throw new DinoSharpException($"{path} has the columns {string.Join(", ", header)}; {(names.Length == 1 ? $"'{names[0]}'" : "one of " + string.Join(", ", names))} must hold {what}");
        }
        catch (CsvFormatException error)
        {
            throw new DinoSharpException($"{path}: {error.Message}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{path}: the table cannot be read: {error.Message}", error);
        }

        if (rows.Count == 0) throw new DinoSharpException($"{path}: the table has a header but no rows");
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        string[] classes = [.. rows.Select(r => r.Label).Distinct().Order(StringComparer.Ordinal)];
        return new LabelledImages(
            path,
            [.. rows.Select(r => Path.GetFullPath(r.Path, folder))],
            [.. rows.Select(r => Array.BinarySearch(classes, r.Label, StringComparer.Ordinal))],
            classes,
            groupColumn is null ? null : [.. rows.Select(r => r.Group)],
            split ? [.. rows.Select(r => r.Split)] : null);
    }

    /// <summary>The same with the group of each picture.</summary>
    /// <param name="groups">Which pictures belong together.</param>
    /// <exception cref="DinoSharpException">A picture has no group.</exception>
    public LabelledImages WithGroups(PictureGroups groups) => new(Name, Paths, Labels, Classes, groups.Of(Paths), Splits);

    /// <summary>Some of the pictures, with the same classes.</summary>
    /// <param name="indices">Which.</param>
    /// <param name="name">What to call them; null: the same name.</param>
    public LabelledImages Select(IReadOnlyList<int> indices, string? name = null)
    {
        return new LabelledImages(name ?? Name, Of(Paths), Of(Labels), Classes, Groups is null ? null : Of(Groups), Splits is null ? null : Of(Splits));

        T[] Of<T>(IReadOnlyList<T> all) => [.. indices.Select(i => all[i])];
    }

    /// <summary>The same pictures with the classes numbered as in another list.</summary>
    /// <param name="classes">Names of the classes there.</param>
    /// <exception cref="DinoSharpException">A class is missing there.</exception>
    public LabelledImages Renumber(IReadOnlyList<string> classes)
    {
        int[] numbers = [.. Classes.Select(name => classes.TakeWhile(c => c != name).Count())];
        if (Array.IndexOf(numbers, classes.Count) is >= 0 and int unknown)
            throw new DinoSharpException($"{Name}: the class '{Classes[unknown]}' is not among the classes of the training pictures: {string.Join(", ", classes)}");
        return new LabelledImages(Name, Paths, [.. Labels.Select(l => numbers[l])], classes, Groups, Splits);
    }

    /// <summary>Divides the pictures into those to learn from and those to judge by: by the column split if there is one (val, valid, validation or test), else at random in each class, whole groups together.</summary>
    /// <param name="share">Share to hold out where the table does not say.</param>
    /// <param name="seed">Of the random division.</param>
    /// <exception cref="DinoSharpException">One of the parts would be empty.</exception>
    public (LabelledImages Train, LabelledImages Held) Divide(double share = 0.2, int seed = 0)
    {
        (int[] train, int[] held) = Splits is null ? Subsets.HoldOut([.. Labels], Groups, share, seed) : BySplit();
        if (train.Length == 0 || held.Length == 0)
            throw new DinoSharpException($"{Name}: cannot be divided into training and validation pictures ({train.Length} and {held.Length}); every class needs two {(Groups is null ? "pictures" : "groups")}, or give validation pictures");
        return (Select(train, $"{Name} (training part)"), Select(held, $"{Name} (held out)"));
    }

    /// <summary>The pictures that a table with a column split gives for one purpose; all of them if there is no such column, or none of that kind.</summary>
    /// <param name="toLearnFrom">Those of split train; else those of val, valid, validation or test.</param>
    /// <exception cref="DinoSharpException">The column has another word.</exception>
    public LabelledImages OfSplit(bool toLearnFrom)
    {
        if (Splits is null) return this;
        (int[] train, int[] held) = BySplit();
        int[] rows = toLearnFrom ? train : held;
        return rows.Length is 0 || rows.Length == Count ? this : Select(rows);
    }

    private (int[] Train, int[] Held) BySplit()
    {
        string[] held = ["val", "valid", "validation", "test"];
        bool[] isHeld = [.. Splits!.Select(s => held.Contains(s, StringComparer.OrdinalIgnoreCase))];
        string? odd = Splits!.FirstOrDefault(s => !held.Contains(s, StringComparer.OrdinalIgnoreCase) && !s.StartsWith("train", StringComparison.OrdinalIgnoreCase));
        if (odd is not null) throw new DinoSharpException($"{Name}: the column split has '{odd}'; expected train, or one of {string.Join(", ", held)}");
        return ([.. Enumerable.Range(0, Count).Where(i => !isHeld[i])], [.. Enumerable.Range(0, Count).Where(i => isHeld[i])]);
    }
}
