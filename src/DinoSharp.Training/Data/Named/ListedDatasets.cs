using System.Text.Json;
using DinoSharp.Images;

namespace DinoSharp.Training.Data.Named;

/// <summary>Data sets whose splits are lists in files: ADE20K, NYU depth and COCO captions, in the layouts of the original.</summary>
public static class ListedDatasets
{
    /// <summary>ADE20K: <c>ADE20K_object150_{train,val}.txt</c> lists images under <c>images/</c>; label maps (0 none, 1 … 150) lie under <c>annotations/</c> as .png.</summary>
    /// <param name="root">The folder of the lists.</param>
    /// <param name="split">TRAIN or VAL.</param>
    /// <param name="reading">How files are read; null for the defaults.</param>
    /// <exception cref="DinoSharpException">The list is not there.</exception>
    public static FileDataset OpenAde20k(string root, string split, ImageReadOptions? reading = null)
    {
        string part = DatasetString.Split("ADE20K", split, "TRAIN", "VAL").ToLowerInvariant();
        string[] names = [.. Lines(Path.Combine(root, $"ADE20K_object150_{part}.txt")).Order(StringComparer.Ordinal)];
        return new FileDataset(
            $"ADE20K {part} ({root})", [.. names.Select(n => Path.Combine(root, "images", n))], targets: [.. names.Select(n => Path.Combine(root, "annotations", Path.ChangeExtension(n, ".png")))], reading: reading);
    }

    /// <summary>NYU depth: lines <c>rgb depth focal</c> in <c>nyu_train.txt</c> and <c>nyu_test.txt</c>; the values of a depth image are millimetres.</summary>
    /// <param name="root">The folder of the lists.</param>
    /// <param name="split">TRAIN, VAL or TEST; the last two are the same.</param>
    /// <param name="reading">How files are read; null for the defaults.</param>
    /// <exception cref="DinoSharpException">The list is not there, or a line is not as expected.</exception>
    public static FileDataset OpenNyu(string root, string split, ImageReadOptions? reading = null)
    {
        string part = DatasetString.Split("NYU", split, "TRAIN", "VAL", "TEST") == "TRAIN" ? "train" : "test", list = Path.Combine(root, $"nyu_{part}.txt");
        var pairs = new List<(string Rgb, string Depth)>();
        foreach (string line in Lines(list))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (words.Length < 2) throw new DinoSharpException($"{list}: \"{line}\" is not \"rgb depth focal\"");
            pairs.Add((words[0].TrimStart('/'), words[1].TrimStart('/')));
        }

        pairs.Sort((a, b) => string.CompareOrdinal(a.Rgb, b.Rgb));
        return new FileDataset($"NYU {part} ({root})", [.. pairs.Select(p => Path.Combine(root, p.Rgb))], targets: [.. pairs.Select(p => Path.Combine(root, p.Depth))], reading: reading);
    }

    /// <summary>
    /// COCO captions: <c>annotations_trainval2014/annotations/captions_train2014.json</c> with <c>train2014/train2014/</c>, <c>annotations_trainval2017/annotations/captions_val2017.json</c>
    /// with <c>val2017/val2017/</c>. (The original's code names <c>captions_train2017.json</c> for the validation images, which have no captions there; it is used only if the other is missing.)
    /// The target of an image is its first caption.
    /// </summary>
    /// <param name="root">The folder that holds them.</param>
    /// <param name="split">TRAIN or VAL.</param>
    /// <param name="reading">How files are read; null for the defaults.</param>
    /// <exception cref="DinoSharpException">A file is not there or is not of COCO.</exception>
    public static FileDataset OpenCocoCaptions(string root, string split, ImageReadOptions? reading = null)
    {
        bool train = DatasetString.Split("CocoCaptions", split, "TRAIN", "VAL") == "TRAIN";
        string year = train ? "2014" : "2017", part = train ? "train" : "val", annotations = Path.Combine(root, $"annotations_trainval{year}", "annotations");
        string file = Path.Combine(annotations, $"captions_{part}{year}.json");
        if (!train && !File.Exists(file)) file = Path.Combine(annotations, "captions_train2017.json");
        if (!File.Exists(file)) throw new DinoSharpException($"there is no file {file}, which holds the captions");
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(file));
            var caption = new Dictionary<long, string>();
            foreach (JsonElement a in json.RootElement.GetProperty("annotations").EnumerateArray()) caption.TryAdd(a.GetProperty("image_id").GetInt64(), a.GetProperty("caption").GetString()!.Trim());
            (long Id, string Name)[] images = [.. json.RootElement.GetProperty("images").EnumerateArray().Select(i => (i.GetProperty("id").GetInt64(), i.GetProperty("file_name").GetString()!))];
            return new FileDataset(
                $"CocoCaptions {part} ({root})", [.. images.Select(i => Path.Combine(root, part + year, part + year, i.Name))], targets: [.. images.Select(i => caption.GetValueOrDefault(i.Id))], reading: reading);
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new DinoSharpException($"{file} is not a file of COCO captions: {error.Message}", error);
        }
    }

    private static IEnumerable<string> Lines(string path)
    {
        if (!File.Exists(path)) throw new DinoSharpException($"there is no file {path}, which lists the images");
        return File.ReadLines(path).Select(l => l.Trim()).Where(l => l.Length > 0);
    }
}
