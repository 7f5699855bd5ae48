using System.Globalization;
using YamlDotNet.RepresentationModel;

namespace DinoSharp.Training.Recipes.Official;

/// <summary>The values of an official configuration by their paths, and the account of which of them were read.</summary>
/// <param name="source">The file, for messages.</param>
/// <param name="given">What the file and the changes say; these keys are accounted for.</param>
/// <param name="merged">The same on top of the defaults.</param>
internal sealed class OfficialValues(string source, YamlMappingNode given, YamlMappingNode merged)
{
    private readonly HashSet<string> _used = [];
    private readonly Dictionary<string, string> _refused = [], _ignored = [], _notes = [];

    public string Source => source;

    /// <summary>The node at a path, which counts as used; null if there is none or it says null.</summary>
    public YamlNode? Node(string path)
    {
        _used.Add(path);
        YamlNode? node = YamlText.Find(merged, path.Split('.'));
        return node is YamlScalarNode { Value: null or "" or "null" or "~", Style: YamlDotNet.Core.ScalarStyle.Plain or YamlDotNet.Core.ScalarStyle.Any } ? null : node;
    }

    public string Text(string path) => Optional(path) ?? throw Wrong(path, "a word");

    public string? Optional(string path) => Node(path) switch
    {
        null => null,
        YamlScalarNode { Value: { } text } => text,
        _ => throw Wrong(path, "a single value"),
    };

    public bool Flag(string path) => Text(path).ToLowerInvariant() switch { "true" => true, "false" => false, _ => throw Wrong(path, "true or false") };

    public double Number(string path) => OptionalNumber(path) ?? throw Wrong(path, "a number");

    public double? OptionalNumber(string path) => Optional(path) is not { } text ? null : Parse(text) ?? throw Wrong(path, "a number");

    public int WholeNumber(string path) => (int)Long(path, int.MaxValue);

    public long Long(string path, long most = long.MaxValue) => OptionalLong(path, most) ?? throw Wrong(path, "a whole number");

    public long? OptionalLong(string path, long most = long.MaxValue)
    {
        if (Optional(path) is not { } text) return null;
        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number)) return Math.Abs((decimal)number) <= most ? number : throw Wrong(path, most == long.MaxValue ? "a whole number" : $"a whole number up to {most}");
        return Parse(text) is double real && real == Math.Truncate(real) && Math.Abs(real) <= Math.Min(most, 1e15) ? (long)real : throw Wrong(path, most == long.MaxValue ? "a whole number" : $"a whole number up to {most}");
    }

    /// <summary>A list of numbers; a single number is a list of one.</summary>
    public double[] Numbers(string path) => Node(path) switch
    {
        null => [],
        YamlSequenceNode list => [.. list.Select(item => item is YamlScalarNode { Value: { } text } && Parse(text) is double number ? number : throw Wrong(path, "a list of numbers"))],
        _ => [Number(path)],
    };

    public (double, double) Pair(string path) => Numbers(path) is [var a, var b] ? (a, b) : throw Wrong(path, "a list of two numbers");

    public bool Has(string path) => Node(path) is not null;

    public void Refuse(string path, string why) => _refused[path] = why;

    /// <summary>A key, or all keys below it, change nothing.</summary>
    public void Ignore(string path, string why) => _ignored.TryAdd(path, why);

    /// <summary>How a used key was understood.</summary>
    public void Note(string path, string how) => _notes[path] = how;

    /// <summary>A file that a configuration names: as it stands, or beside the configuration.</summary>
    public static string? Locate(string file, string source)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(source))!;
        return new[] { file, Path.Combine(folder, file), Path.Combine(folder, Path.GetFileName(file)) }.FirstOrDefault(File.Exists);
    }

    /// <summary>What became of every key that was given, and of the defaults that were refused.</summary>
    public IReadOnlyList<OfficialKey> Account()
    {
        (string Path, string Value)[] leaves = [.. Leaves(given, "")];
        IEnumerable<OfficialKey> defaults = _refused.Keys.Where(path => !leaves.Any(l => Covers(path, l.Path)))
            .Select(path => new OfficialKey(path, YamlText.Find(merged, path.Split('.')) is { } node ? Show(node) : "", KeyFate.Refused, $"(default) {_refused[path]}"));
        return [.. leaves.Select(leaf => Fate(leaf.Path, leaf.Value)), .. defaults];
    }

    public DinoSharpException Wrong(string path, string expected)
    {
        YamlNode? node = YamlText.Find(merged, path.Split('.'));
        return new DinoSharpException($"{(node is null ? source : YamlText.Place(source, node))}: {path}: expected {expected}, found {(node is null ? "nothing" : $"'{Show(node)}'")}");
    }

    private OfficialKey Fate(string path, string value)
    {
        if (Covering(_refused, path) is { } refused) return new OfficialKey(path, value, KeyFate.Refused, refused);
        if (_ignored.TryGetValue(path, out string? idle)) return new OfficialKey(path, value, KeyFate.Ignored, idle);
        if (_used.Contains(path)) return new OfficialKey(path, value, KeyFate.Used, _notes.GetValueOrDefault(path));
        if (Covering(_ignored, path) is { } group) return new OfficialKey(path, value, KeyFate.Ignored, group);
        if (Covering(OfficialDefaults.WithoutEffect, path) is { } dead) return new OfficialKey(path, value, KeyFate.Ignored, dead);
        string? nearest = NearestName.Find(path, Leaves(OfficialDefaults.Tree(), "").Select(l => l.Path));
        return new OfficialKey(path, value, KeyFate.Ignored, "the original reads no such key" + (nearest is null ? "" : $"; did you mean {nearest}?"));
    }

    private static string? Covering(IReadOnlyDictionary<string, string> reasons, string path)
    {
        for (string? prefix = path; prefix is not null; prefix = prefix.LastIndexOf('.') is var dot and >= 0 ? prefix[..dot] : null)
        {
            if (reasons.TryGetValue(prefix, out string? reason)) return reason;
        }

        return null;
    }

    private static bool Covers(string prefix, string path) => path == prefix || path.StartsWith(prefix + ".", StringComparison.Ordinal);

    private static IEnumerable<(string Path, string Value)> Leaves(YamlMappingNode node, string prefix)
    {
        foreach ((YamlNode key, YamlNode value) in node)
        {
            string path = prefix + key;
            if (value is YamlMappingNode { Children.Count: > 0 } inner) foreach ((string, string) leaf in Leaves(inner, path + ".")) yield return leaf;
            else yield return (path, Show(value));
        }
    }

    private static string Show(YamlNode node) => node switch
    {
        YamlScalarNode scalar => scalar.Value is null or "" ? (scalar.Style == YamlDotNet.Core.ScalarStyle.Plain ? "null" : "''") : scalar.Value,
        YamlSequenceNode list => $"[{string.Join(", ", list.Select(Show))}]",
        YamlMappingNode mapping => $"{{{string.Join(", ", mapping.Select(p => $"{Show(p.Key)}: {Show(p.Value)}"))}}}",
        _ => node.ToString(),
    };

    private static double? Parse(string text) => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) ? number : null;
}
