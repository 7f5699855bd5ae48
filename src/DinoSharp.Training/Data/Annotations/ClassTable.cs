using System.Globalization;
using CsvHelper;

namespace DinoSharp.Training.Data.Annotations;

/// <summary>Names of the ids of label maps, and which ids do not count.</summary>
public sealed class ClassTable
{
    /// <summary>Id that never counts, listed or not.</summary>
    public const byte AlwaysIgnored = 255;

    private static readonly string[] IgnoredNames = ["ignore", "ignored", "void", "unlabeled", "unlabelled"];

    /// <summary>A table.</summary>
    /// <param name="name">Where it comes from, for messages.</param>
    /// <param name="names">Name of each id that is a class.</param>
    /// <param name="ignored">Ids of pixels that do not count.</param>
    public ClassTable(string name, IReadOnlyDictionary<byte, string> names, IReadOnlySet<byte> ignored)
    {
        if (names.Count < 2) throw new DinoSharpException($"{name}: names {(names.Count == 0 ? "no class" : $"one class, '{names.Values.Single()}'")}; a segmentation needs two or more, for example background and object");
        (Name, Names, Ignored) = (name, names, ignored);
    }

    /// <summary>Where it comes from.</summary>
    public string Name { get; }

    /// <summary>Name of each id that is a class.</summary>
    public IReadOnlyDictionary<byte, string> Names { get; }

    /// <summary>Ids of pixels that do not count.</summary>
    public IReadOnlySet<byte> Ignored { get; }

    /// <summary>Names by id from 0 to the largest; ids that are no class have an empty name.</summary>
    public IReadOnlyList<string> ById => [.. Enumerable.Range(0, Names.Keys.Max() + 1).Select(id => Names.GetValueOrDefault((byte)id, ""))];

    /// <summary>Reads a table with the columns id and name. Ids with a 1 in the column ignore, if there is one, and those called ignore, void or unlabelled do not count.</summary>
    /// <param name="path">A .csv file with a header row.</param>
    /// <exception cref="DinoSharpException">The table cannot be read, lacks a column, or an id comes twice or is no number from 0 to 254.</exception>
    public static ClassTable Read(string path)
    {
        if (!File.Exists(path)) throw new DinoSharpException($"{path}: there is no such class table; expected a .csv with the columns id and name");
        var names = new SortedDictionary<byte, string>();
        var ignored = new HashSet<byte>();
        try
        {
            using CsvReader csv = CsvReader.FromFile(path, new CsvReaderOptions { TrimWhitespace = true, TrackLineNumbers = true, FieldCountMismatch = CsvFieldCountHandling.Throw });
            string[] header = [.. csv.Headers];
            int id = Require("id"), name = Require("name"), ignore = Find("ignore");
            while (csv.Read())
            {
                if (!byte.TryParse(csv.GetString(id), NumberStyles.None, CultureInfo.InvariantCulture, out byte number)) throw new DinoSharpException($"{path}, line {csv.LineNumber}: the id '{csv.GetString(id)}' is no number from 0 to 255");
                string called = csv.GetString(name);
                bool counts = number != AlwaysIgnored && !IgnoredNames.Contains(called, StringComparer.OrdinalIgnoreCase) && (ignore < 0 || !IsYes(csv.GetString(ignore), csv.LineNumber));
                if (names.ContainsKey(number) || !(counts ? names.TryAdd(number, called) : ignored.Add(number))) throw new DinoSharpException($"{path}, line {csv.LineNumber}: the id {number} comes a second time");
            }

            bool IsYes(string word, long line) => word.Trim().ToLowerInvariant() switch
            {
                "" or "0" or "false" or "no" => false,
                "1" or "true" or "yes" => true,
                _ => throw new DinoSharpException($"{path}, line {line}: the column ignore has '{word}'; expected 1 or 0, true or false, yes or no"),
            };

            int Find(string wanted) => Array.FindIndex(header, h => string.Equals(h.Trim(), wanted, StringComparison.OrdinalIgnoreCase));

            int Require(string wanted) => Find(wanted) is >= 0 and int found ? found : throw new DinoSharpException($"{path} has the columns {string.Join(", ", header)}; expected id and name");
        }
        catch (CsvFormatException error)
        {
            throw new DinoSharpException($"{path}: {error.Message}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{path}: the class table cannot be read: {error.Message}", error);
        }

        return new ClassTable(path, names, ignored);
    }

    /// <summary>The class of an id; null if it does not count.</summary>
    /// <param name="id">A value of a label map.</param>
    /// <param name="file">The label map, for the message.</param>
    /// <exception cref="DinoSharpException">The table does not know the id.</exception>
    public byte? ClassOf(byte id, string file)
    {
        if (id == AlwaysIgnored || Ignored.Contains(id)) return null;
        return Names.ContainsKey(id) ? id : throw new DinoSharpException($"{file}: has the id {id}, which {Name} does not name; it names {string.Join(", ", Names.Keys)}. Add it there, with ignore 1 if it should not count");
    }
}
