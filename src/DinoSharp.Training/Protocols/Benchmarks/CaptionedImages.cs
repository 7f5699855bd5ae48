using System.Text.Json;

namespace DinoSharp.Training.Protocols.Benchmarks;

/// <summary>Pictures with several sentences each.</summary>
/// <param name="Images">Files of the pictures.</param>
/// <param name="Captions">The sentences of each picture, at least one, in the order of the file.</param>
public sealed record CaptionedImages(IReadOnlyList<string> Images, IReadOnlyList<IReadOnlyList<string>> Captions)
{
    /// <summary>How many captions of a picture count: COCO has five or more, of which the first five are used everywhere.</summary>
    public const int CaptionsPerImage = 5;

    private const string Layouts = """
        one of these files, with the folder of its pictures:
          captions_*.json of COCO: images with id and file_name, annotations with image_id and caption
          dataset_*.json of Karpathy's splits: images with filename, perhaps filepath, split, and sentences with raw
        """;

    /// <summary>Reads the captions; which of the two forms it is, is seen by its content.</summary>
    /// <param name="file"><c>captions_val2017.json</c> of COCO, or <c>dataset_coco.json</c> or <c>dataset_flickr30k.json</c> of Karpathy's splits.</param>
    /// <param name="folder">The folder of the pictures; those of Karpathy's splits may lie in the folders that the file names (val2014) or in none.</param>
    /// <param name="split">Part of Karpathy's splits; COCO has a file for each part.</param>
    /// <exception cref="DinoSharpException">Something is missing or cannot be understood; the message names it and the layouts that are understood.</exception>
    public static CaptionedImages Open(string file, string folder, string split = "test")
    {
        if (!File.Exists(file)) throw new DinoSharpException($"there is no file {file}; expected is {Layouts}");
        if (!Directory.Exists(folder)) throw new DinoSharpException($"there is no folder {folder}, which holds the pictures that {file} names; expected is {Layouts}");
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(file));
            JsonElement[] images = [.. json.RootElement.GetProperty("images").EnumerateArray()];
            (string Path, string[] Captions)[] pairs = json.RootElement.TryGetProperty("annotations", out JsonElement annotations) ? Coco(images, annotations, folder) : Karpathy(images, folder, split, file);
            (string Path, string[] Captions)[] told = [.. pairs.Where(p => p.Captions.Length > 0)];
            if (told.Length == 0) throw new DinoSharpException($"{file} holds no captions; expected is {Layouts}");
            string? missing = told.Select(p => p.Path).FirstOrDefault(p => !File.Exists(p));
            if (missing is not null) throw new DinoSharpException($"there is no picture {missing}, which {file} names; is {folder} the folder of its pictures?");
            return new CaptionedImages([.. told.Select(p => p.Path)], [.. told.Select(p => p.Captions)]);
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new DinoSharpException($"{file}: holds no captions that can be understood: {error.Message} Expected is {Layouts}", error);
        }
    }

    private static (string Path, string[] Captions)[] Coco(JsonElement[] images, JsonElement annotations, string folder)
    {
        ILookup<long, string> captions = annotations.EnumerateArray().ToLookup(a => a.GetProperty("image_id").GetInt64(), a => Text(a.GetProperty("caption")));
        return [.. images.Select(i => (Path.Combine(folder, i.GetProperty("file_name").GetString()!), (string[])[.. captions[i.GetProperty("id").GetInt64()].Take(CaptionsPerImage)]))];
    }

    private static (string Path, string[] Captions)[] Karpathy(JsonElement[] images, string folder, string split, string file)
    {
        JsonElement[] chosen = [.. images.Where(i => i.GetProperty("split").GetString() == split)];
        if (chosen.Length == 0) throw new DinoSharpException($"{file} has no split {split}; it has {string.Join(", ", images.Select(i => i.GetProperty("split").GetString()).Distinct())}");
        return [.. chosen.Select(i =>
        {
            string name = i.GetProperty("filename").GetString()!;
            string inside = i.TryGetProperty("filepath", out JsonElement path) ? Path.Combine(folder, path.GetString()!, name) : name;
            return (File.Exists(inside) ? inside : Path.Combine(folder, name), (string[])[.. i.GetProperty("sentences").EnumerateArray().Take(CaptionsPerImage).Select(s => Text(s.GetProperty("raw")))]);
        })];
    }

    private static string Text(JsonElement text) => text.GetString()!.Trim();
}
