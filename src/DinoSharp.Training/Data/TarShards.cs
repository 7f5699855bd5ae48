using System.Formats.Tar;
using System.Globalization;
using System.Text;
using System.Text.Json;
using DinoSharp.Images;

namespace DinoSharp.Training.Data;

/// <summary>
/// Tar files of images (WebDataset): a file's name up to its first dot is the sample's key; beside an image may lie <c>KEY.cls</c> (its class, a number or a name) or <c>KEY.json</c> with a
/// <c>label</c> or <c>class</c>. Whoever needs a class asks for it: an image without one, or with one that cannot be read, is a sample like any other.
/// </summary>
public static class TarShards
{
    /// <summary>Lists tar files. Only headers are read: a gigabyte takes well under a second.</summary>
    /// <param name="path">A tar file; a folder of tar files; or a pattern: <c>shards/train-{0000..0099}.tar</c>, <c>shards/*.tar</c>.</param>
    /// <param name="reading">How images are read; null for the defaults.</param>
    /// <exception cref="DinoSharpException">Nothing is found, a file is no tar file or is compressed, or there are no images in them.</exception>
    public static TarDataset Open(string path, ImageReadOptions? reading = null)
    {
        List<TarMember> members = [];
        List<string?> labels = [];
        foreach (string tar in Expand(path)) List(tar, members, labels);
        (IReadOnlyList<int>? numbers, IReadOnlyList<string> classes) = ClassNames.Number(labels);
        return new TarDataset(path, members, numbers, classes, reading ?? new ImageReadOptions());
    }

    /// <summary>One tar file per class, as ImageNet-22k has them; the class is the name of the tar file.</summary>
    internal static TarDataset OpenClassTars(string name, IReadOnlyList<string> tars, ImageReadOptions reading)
    {
        List<TarMember> members = [];
        List<int> labels = [];
        for (int i = 0; i < tars.Count; i++)
        {
            List(tars[i], members, []);
            while (labels.Count < members.Count) labels.Add(i);
        }

        return new TarDataset(name, members, labels, [.. tars.Select(t => Path.GetFileNameWithoutExtension(t))], reading);
    }

    /// <summary>The tar files that a path stands for, sorted.</summary>
    internal static IReadOnlyList<string> Expand(string path)
    {
        if (File.Exists(path)) return [path];
        string[] found = Directory.Exists(path) ? Directory.GetFiles(path, "*.tar") : [.. Braces(path).SelectMany(Matches)];
        if (found.Length == 0)
            throw new DinoSharpException($"no tar files at {path}; expected a tar file, a folder of *.tar files, or a pattern like train-{{0000..0099}}.tar or *.tar");
        Array.Sort(found, StringComparer.Ordinal);
        return found;

        static IEnumerable<string> Matches(string pattern)
        {
            if (!pattern.Contains('*')) return File.Exists(pattern) ? [pattern] : throw new DinoSharpException($"there is no tar file {pattern}, which the pattern names");
            string folder = Path.GetDirectoryName(pattern) is { Length: > 0 } f ? f : ".";
            return Directory.Exists(folder) ? Directory.GetFiles(folder, Path.GetFileName(pattern)) : [];
        }
    }

    /// <summary>Expands <c>{0000..0099}</c>; the width of the numbers is kept.</summary>
    private static IEnumerable<string> Braces(string pattern)
    {
        int open = pattern.IndexOf('{'), dots = pattern.IndexOf("..", Math.Max(open, 0), StringComparison.Ordinal), close = pattern.IndexOf('}', Math.Max(open, 0));
        if (open < 0 || dots < open || close < dots) return [pattern];
        string first = pattern[(open + 1)..dots], last = pattern[(dots + 2)..close];
        if (!int.TryParse(first, NumberStyles.None, CultureInfo.InvariantCulture, out int low) || !int.TryParse(last, NumberStyles.None, CultureInfo.InvariantCulture, out int high) || high < low)
            throw new DinoSharpException($"{{{first}..{last}}} in {pattern} is no ascending range of numbers");
        return Enumerable.Range(low, high - low + 1)
            .SelectMany(n => Braces(pattern[(close + 1)..]).Select(rest => pattern[..open] + n.ToString(CultureInfo.InvariantCulture).PadLeft(first.Length, '0') + rest));
    }

    private static void List(string tar, List<TarMember> members, List<string?> labels)
    {
        var imageOfKey = new Dictionary<string, int>(StringComparer.Ordinal);
        var labelOfKey = new Dictionary<string, string>(StringComparer.Ordinal);
        try
        {
            using var file = new FileStream(tar, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 4096);
            if (file.ReadByte() == 0x1f && file.ReadByte() == 0x8b)
                throw new DinoSharpException($"{tar} is compressed; its images cannot be read one by one. Unpack it with gunzip first: images do not shrink further anyway");
            file.Position = 0;
            using var reader = new TarReader(file);
            while (reader.GetNextEntry() is TarEntry entry)
            {
                if (entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile) || entry.Length is 0 or > int.MaxValue) continue;
                string name = entry.Name, bare = Path.GetFileName(name);
                if (bare.StartsWith('.')) continue;
                string key = name[..(name.Length - bare.Length)] + (bare.IndexOf('.') is >= 0 and int dot ? bare[..dot] : bare);
                if (ImageFolder.IsImage(bare))
                {
                    imageOfKey.TryAdd(key, members.Count);
                    members.Add(new TarMember(tar, name, entry.DataOffset, (int)entry.Length));
                }
                else if (bare.EndsWith(".cls", StringComparison.OrdinalIgnoreCase))
                {
                    if (Text(entry).Trim() is { Length: > 0 } label) labelOfKey[key] = label;
                }
                else if (bare.EndsWith(".json", StringComparison.OrdinalIgnoreCase) && JsonLabel(Text(entry)) is { Length: > 0 } other)
                {
                    labelOfKey.TryAdd(key, other);
                }
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException or FormatException or ArgumentException)
        {
            throw new DinoSharpException($"{tar} cannot be read as a tar file: {error.Message}", error);
        }

        while (labels.Count < members.Count) labels.Add(null);
        foreach ((string key, string label) in labelOfKey)
        {
            if (imageOfKey.TryGetValue(key, out int image)) labels[image] = label;
        }
    }

    private static string Text(TarEntry entry)
    {
        using var reader = new StreamReader(entry.DataStream!, Encoding.UTF8);
        return reader.ReadToEnd();
    }

    private static string? JsonLabel(string text)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(text);
            return json.RootElement.ValueKind == JsonValueKind.Object ? ClassNames.FromJson(json.RootElement) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
