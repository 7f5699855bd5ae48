using System.Globalization;
using System.Text.RegularExpressions;
using DinoSharp.Images;
using DinoSharp.Training.Data.Named;
using DinoSharp.Training.Data.Synthetic;

namespace DinoSharp.Training.Data;

/// <summary>The one-line descriptions of data sets: <c>Name:key=value:key=value</c>, plain paths, and weighted sums of these.</summary>
internal static partial class DatasetString
{
    private static readonly Dictionary<string, string[]> KeysOfName = new(StringComparer.OrdinalIgnoreCase)
    {
        ["ImageNet"] = ["split", "root", "extra"],
        ["ImageNet22k"] = ["root", "extra"],
        ["ADE20K"] = ["split", "root"],
        ["CocoCaptions"] = ["split", "root"],
        ["NYU"] = ["split", "root"],
        ["Folder"] = ["root"],
        ["Tar"] = ["root"],
        ["Manifest"] = ["root"],
        ["Synthetic"] = ["seed", "size", "count"],
    };

    public static ImageDataset Open(string description, ImageReadOptions reading)
    {
        if (string.IsNullOrWhiteSpace(description)) throw new DinoSharpException($"the description of the data is empty; give a folder, a tar file or pattern, a manifest, or {Known()}");
        string[] terms = Plus().Split(description.Trim());
        if (terms.Length == 1 && !Weight().IsMatch(terms[0])) return OpenOne(terms[0], reading);
        var sources = new List<(ImageDataset Dataset, double? Weight)>();
        foreach (string term in terms)
        {
            Match weight = Weight().Match(term);
            double? value = weight.Success ? double.Parse(weight.Groups[1].Value, CultureInfo.InvariantCulture) : null;
            sources.Add((OpenOne(weight.Success ? term[weight.Length..] : term, reading), value));
        }

        if (sources.Any(s => s.Weight is null) && sources.Any(s => s.Weight is not null))
            throw new DinoSharpException($"\"{description}\": give every source a weight (0.75 * A + 0.25 * B) or none, then each counts by its number of images");
        return new MixedDataset([.. sources.Select(s => (s.Dataset, s.Weight ?? s.Dataset.Count))]);
    }

    /// <summary>The split in upper case, if the data set has it.</summary>
    public static string Split(string name, string? split, params string[] splits) =>
        splits.FirstOrDefault(s => string.Equals(s, split, StringComparison.OrdinalIgnoreCase))
        ?? throw new DinoSharpException(split is null ? $"{name} needs a split: {string.Join(", ", splits)}" : $"{name} has no split {split}; it has {string.Join(", ", splits)}");

    private static ImageDataset OpenOne(string text, ImageReadOptions reading)
    {
        text = text.Trim();
        int colon = text.IndexOf(':');
        string name = colon < 0 ? text : text[..colon];
        if (!KeysOfName.TryGetValue(name, out string[]? keys) || (colon < 0 && Path.Exists(text))) return OpenPath(text, reading);
        Dictionary<string, string> values = Parse(name, text[(colon < 0 ? text.Length : colon)..], keys);
        return name.ToUpperInvariant() switch
        {
            "IMAGENET" => ImageNet.Open(Need("root"), Need("split"), Value("extra"), reading),
            "IMAGENET22K" => ImageNet22k.Open(Need("root"), Value("extra"), reading),
            "ADE20K" => ListedDatasets.OpenAde20k(Need("root"), Need("split"), reading),
            "COCOCAPTIONS" => ListedDatasets.OpenCocoCaptions(Need("root"), Need("split"), reading),
            "NYU" => ListedDatasets.OpenNyu(Need("root"), Need("split"), reading),
            "FOLDER" => ImageFolder.Open(Need("root"), reading: reading),
            "TAR" => TarShards.Open(Need("root"), reading),
            "MANIFEST" => Manifest.Open(Need("root"), reading),
            _ => OpenSynthetic(),
        };

        string? Value(string key) => values.GetValueOrDefault(key);

        string Need(string key) => Value(key) ?? throw new DinoSharpException($"{name} needs the key {key}: {name}:{string.Join(":", keys.Select(k => k + "=…"))}");

        SyntheticDataset OpenSynthetic()
        {
            int size = (int)Number("size", 256, 4096);
            return new SyntheticDataset(new SyntheticOptions { Seed = (ulong)Number("seed", 0, long.MaxValue), Width = size, Height = size }, (int)Number("count", SyntheticDataset.DefaultCount, int.MaxValue));
        }

        long Number(string key, long otherwise, long most)
        {
            if (Value(key) is not string value) return otherwise;
            return long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number <= most && (number > 0 || key == "seed") ? number
                : throw new DinoSharpException($"{name}: {key}={value} is not a whole number up to {most}");
        }
    }

    /// <summary>A path may itself hold colons: a new key begins only where one of the known ones follows.</summary>
    internal static Dictionary<string, string> Parse(string name, string rest, string[] keys)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        MatchCollection starts = Key().Matches(rest);
        if (rest.Trim(':').Length > 0 && (starts.Count == 0 || starts[0].Index > 0)) throw new DinoSharpException($"\"{name}{rest}\": expected {name}:key=value, with the keys {string.Join(", ", keys)}");
        for (int i = 0; i < starts.Count; i++)
        {
            string key = starts[i].Groups[1].Value;
            int from = starts[i].Index + starts[i].Length, to = i + 1 < starts.Count ? starts[i + 1].Index : rest.Length;
            if (!keys.Contains(key))
            {
                string? near = NearestName.Find(key, keys);
                throw new DinoSharpException($"{name} has no key {key}{(near is null ? "" : $" (did you mean {near}?)")}; it has {string.Join(", ", keys)}");
            }

            if (!values.TryAdd(key, rest[from..to])) throw new DinoSharpException($"{name}: the key {key} is given twice");
            if (to == from) throw new DinoSharpException($"{name}: the key {key} has no value");
        }

        return values;
    }

    private static ImageDataset OpenPath(string path, ImageReadOptions reading)
    {
        if (Directory.Exists(path))
        {
            bool tars = Directory.EnumerateFiles(path, "*.tar").Any(), pictures = Directory.EnumerateFiles(path, "*", SearchOption.AllDirectories).Any(ImageFolder.IsImage);
            return tars && pictures ? Larger(path, reading) : tars ? TarShards.Open(path, reading) : ImageFolder.Open(path, reading: reading);
        }

        string extension = Path.GetExtension(path).ToUpperInvariant();
        if (extension == ".TAR") return TarShards.Open(path, reading);
        if (extension is ".CSV" or ".TSV" or ".JSONL" or ".NDJSON") return Manifest.Open(path, reading);
        string? name = NearestName.Find(path.Split(':')[0], KeysOfName.Keys);
        throw new DinoSharpException($"there is no folder {path}, and it is no tar file, manifest or known data set{(name is null ? "" : $" (did you mean {name}?)")}; known are {Known()}");
    }

    // A logo beside shards is not the data set, and neither is a backup beside photos.
    private static ImageDataset Larger(string path, ImageReadOptions reading)
    {
        FileDataset pictures = ImageFolder.Open(path, reading: reading);
        try
        {
            TarDataset shards = TarShards.Open(path, reading);
            return shards.Count > pictures.Count ? shards : pictures;
        }
        catch (DinoSharpException)
        {
            return pictures; // a tar of something else
        }
    }

    private static string Known() => string.Join(", ", KeysOfName.Select(k => $"{k.Key}:{string.Join(":", k.Value.Select(v => v + "=…"))}"));

    [GeneratedRegex(@"\s+\+\s+")]
    private static partial Regex Plus();

    [GeneratedRegex(@"^\s*([0-9]*\.?[0-9]+)\s*\*\s*")]
    private static partial Regex Weight();

    [GeneratedRegex(@":([A-Za-z_]+)=")]
    private static partial Regex Key();
}
