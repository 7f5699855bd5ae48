using CsvHelper;
using DinoSharp.Probes;

namespace DinoSharp.Training.Data.Annotations;

/// <summary>Which pictures belong together (patient, event, store): a table beside annotations that know nothing of groups, such as folders, label maps and boxes.</summary>
public sealed class PictureGroups
{
    private readonly Dictionary<string, string> _byPath = new(StringComparer.Ordinal);
    private readonly ILookup<string, string> _byName;

    private PictureGroups(string name, IReadOnlyList<(string Path, string Group)> rows)
    {
        Name = name;
        foreach ((string path, string group) in rows)
        {
            if (!_byPath.TryAdd(path, group) && _byPath[path] != group) throw new DinoSharpException($"{name}: {path} is in the groups '{_byPath[path]}' and '{group}'; a picture belongs to one");
        }

        _byName = rows.Distinct().ToLookup(r => Path.GetFileName(r.Path), r => r.Group, StringComparer.Ordinal);
    }

    /// <summary>Where it comes from.</summary>
    public string Name { get; }

    /// <summary>Reads a table with a header row: a column path, image or file names the picture, relative to the table's folder or by its bare name; another column its group.</summary>
    /// <param name="path">A .csv file.</param>
    /// <param name="column">Name of the column that holds the group.</param>
    /// <exception cref="DinoSharpException">The table cannot be read, lacks a column, or puts a picture into two groups.</exception>
    public static PictureGroups Read(string path, string column = "group")
    {
        if (!File.Exists(path)) throw new DinoSharpException($"{path}: there is no such table; expected a .csv with the columns path and {column}");
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        var rows = new List<(string, string)>();
        try
        {
            using CsvReader csv = CsvReader.FromFile(path, new CsvReaderOptions { TrimWhitespace = true, TrackLineNumbers = true, FieldCountMismatch = CsvFieldCountHandling.Throw });
            string[] header = [.. csv.Headers];
            int picture = Require([.. ClassNames.PathKeys, "file_name"], "the picture"), group = Require([column], "the group (name another column with --group)");
            while (csv.Read())
            {
                if (csv.GetString(picture) is not { Length: > 0 } file || csv.GetString(group) is not { Length: > 0 } value) throw new DinoSharpException($"{path}, line {csv.LineNumber}: the picture or its group is empty");
                rows.Add((Path.GetFullPath(file, folder), value));
            }

            int Require(string[] names, string what) => names.Select(n => Array.FindIndex(header, h => string.Equals(h.Trim(), n, StringComparison.OrdinalIgnoreCase))).FirstOrDefault(i => i >= 0, -1) is >= 0 and int found ? found
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

        return rows.Count > 0 ? new PictureGroups(path, rows) : throw new DinoSharpException($"{path}: the table has a header but no rows");
    }

    /// <summary>The group of each of some pictures.</summary>
    /// <param name="pictures">Their files.</param>
    /// <exception cref="DinoSharpException">The table does not have a picture, or has its bare name in several groups.</exception>
    public string[] Of(IReadOnlyList<string> pictures) => [.. pictures.Select(Of)];

    /// <summary>Refuses groups with pictures on both sides: the score would be of pictures as good as seen before.</summary>
    internal static void RefuseShared((string Name, IReadOnlyList<string>? Groups) train, (string Name, IReadOnlyList<string>? Groups) held)
    {
        if (train.Groups is null || held.Groups is null) return;
        string[] shared = [.. train.Groups.Intersect(held.Groups).Order(StringComparer.Ordinal)];
        if (shared.Length > 0) throw new DinoSharpException($"{shared.Length} groups have pictures in {train.Name} and in {held.Name}, for example '{shared[0]}'; the score would be of pictures as good as seen before. Keep each group on one side");
    }

    /// <summary>Divides pictures without classes into two parts, whole groups together.</summary>
    /// <exception cref="DinoSharpException">One of the parts would be empty.</exception>
    internal static (int[] Train, int[] Held) Divide(string name, int count, IReadOnlyList<string>? groups, double share, int seed)
    {
        (int[] train, int[] held) = Subsets.HoldOut(new int[count], groups, share, seed);
        if (held.Length > 0) return (train, held);
        throw new DinoSharpException($"{name}: {(groups is null ? "one picture" : $"one group of {count} pictures, '{groups[0]}',")} cannot be divided into training and validation; give validation pictures");
    }

    private string Of(string picture)
    {
        if (_byPath.TryGetValue(Path.GetFullPath(picture), out string? group)) return group;
        string[] named = [.. _byName[Path.GetFileName(picture)].Distinct()];
        return named.Length == 1 ? named[0] : throw new DinoSharpException($"{Name}: {(named.Length == 0 ? "does not have the picture" : $"has {Path.GetFileName(picture)} in several groups; write paths relative to the table's folder to tell them apart. Found")} {picture}");
    }
}
