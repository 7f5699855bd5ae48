using CsvHelper;

namespace DinoSharp.Training.Data.Annotations;

/// <summary>Pictures that show any number of classes each.</summary>
/// <param name="Name">Where it comes from.</param>
/// <param name="Paths">Files of the pictures.</param>
/// <param name="Labels">Whether each picture shows each class; null where that does not count: all objects of the class are difficult ones of Pascal VOC. [N, K]</param>
/// <param name="Classes">Names of the classes. [K]</param>
public sealed record MultiLabelImages(string Name, IReadOnlyList<string> Paths, IReadOnlyList<IReadOnlyList<bool?>> Labels, IReadOnlyList<string> Classes)
{
    private const string Coco = "CocoLabels", Voc = "VocLabels", Column = "labels";

    /// <summary>The forms that are understood, for messages.</summary>
    public const string Forms = "a .csv or .tsv with the columns path and labels (names with ; between them), CocoLabels:file=instances_*.json:root=FOLDER_OF_PICTURES, or VocLabels:split=trainval:root=VOC2007";

    /// <summary>Opens pictures with several labels.</summary>
    /// <param name="description">A table with the columns path and labels; <c>CocoLabels:file=…:root=…</c> (a class is shown if an object of it is listed); or <c>VocLabels:split=…:root=…</c>.</param>
    /// <returns>Null if it is something else.</returns>
    /// <exception cref="DinoSharpException">It is one of these, but something is missing; the message names it.</exception>
    public static MultiLabelImages? TryOpen(string description)
    {
        string name = description.Split(':')[0];
        if (name is Coco or Voc)
        {
            string[] keys = name == Coco ? ["file", "root"] : ["split", "root"];
            Dictionary<string, string> values = DatasetString.Parse(name, description[name.Length..], keys);
            string Need(string key) => values.GetValueOrDefault(key) ?? throw new DinoSharpException($"{description}: the key {key} is missing; expected is {Forms}");
            return Of(name == Coco ? BoxAnnotations.ReadCoco(Need("file"), Need("root")) : BoxAnnotations.ReadVoc(Need("root"), Need("split")));
        }

        return Path.GetExtension(description).ToUpperInvariant() switch
        {
            ".CSV" when File.Exists(description) => Table(description, ','),
            ".TSV" when File.Exists(description) => Table(description, '\t'),
            _ => null,
        };
    }

    /// <summary>The same with the classes of other pictures, by name.</summary>
    /// <param name="other">Whose classes to take.</param>
    /// <exception cref="DinoSharpException">A picture shows a class that is not among them.</exception>
    public MultiLabelImages WithClassesOf(MultiLabelImages other)
    {
        int[] place = [.. other.Classes.Select(c => Classes.TakeWhile(own => own != c).Count())]; // as many as there are classes: none
        string? unknown = Classes.Except(other.Classes).FirstOrDefault(c => Labels.Any(l => l[Classes.TakeWhile(own => own != c).Count()] == true));
        if (unknown is not null) throw new DinoSharpException($"{Name}: the class '{unknown}' is not among those of {other.Name}: {string.Join(", ", other.Classes.Take(10))}");
        return this with { Labels = [.. Labels.Select(l => (bool?[])[.. place.Select(p => p < l.Count ? l[p] : false)])], Classes = other.Classes };
    }

    /// <summary>The pictures alone; the label of each is its place here.</summary>
    internal FileDataset Pictures() => new(Name, Paths, [.. Enumerable.Range(0, Paths.Count)], Paths);

    private static MultiLabelImages Of(BoxAnnotations boxes)
    {
        int[] ids = [.. boxes.Categories.Keys.Order()];
        return new MultiLabelImages(
            boxes.Name,
            [.. boxes.Images.Select(i => i.Path)],
            [.. boxes.Images.Select(i => (bool?[])[.. ids.Select(id => i.Objects.Where(o => o.Category == id).ToArray() is not { Length: > 0 } shown ? false : shown.All(o => o.Difficult) ? (bool?)null : true)])],
            [.. ids.Select(id => boxes.Categories[id])]);
    }

    private static MultiLabelImages? Table(string path, char separator)
    {
        var rows = new List<(string Path, string[] Labels)>();
        try
        {
            using CsvReader csv = CsvReader.FromFile(path, new CsvReaderOptions { Separator = separator, TrimWhitespace = true, TrackLineNumbers = true, FieldCountMismatch = CsvFieldCountHandling.Throw });
            string[] header = [.. csv.Headers];
            int labels = Array.FindIndex(header, h => string.Equals(h.Trim(), Column, StringComparison.OrdinalIgnoreCase));
            int image = ClassNames.PathKeys.Select(k => Array.FindIndex(header, h => string.Equals(h.Trim(), k, StringComparison.OrdinalIgnoreCase))).FirstOrDefault(i => i >= 0, -1);
            if (labels < 0) return null;
            if (image < 0) throw new DinoSharpException($"{path} has the columns {string.Join(", ", header)}; one of {string.Join(", ", ClassNames.PathKeys)} must name the picture");
            while (csv.Read())
            {
                string file = csv.GetString(image);
                if (file.Length == 0) throw new DinoSharpException($"{path}, line {csv.LineNumber}: the column {header[image]} is empty");
                rows.Add((file, csv.GetString(labels).Split([';', '|'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)));
            }
        }
        catch (CsvFormatException error)
        {
            throw new DinoSharpException($"{path}: {error.Message}", error);
        }

        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        string[] classes = [.. rows.SelectMany(r => r.Labels).Distinct().Order(StringComparer.Ordinal)];
        if (classes.Length == 0) throw new DinoSharpException($"{path}: no picture has a label; expected is {Forms}");
        return new MultiLabelImages(path, [.. rows.Select(r => Path.GetFullPath(r.Path, folder))], [.. rows.Select(r => (bool?[])[.. classes.Select(c => (bool?)r.Labels.Contains(c))])], classes);
    }
}
