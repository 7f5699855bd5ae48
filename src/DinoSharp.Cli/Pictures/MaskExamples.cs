using DinoSharp.Cli.Embedding;
using DinoSharp.Images;

namespace DinoSharp.Cli.Pictures;

/// <summary>Pictures with painted masks, found by their names.</summary>
internal static class MaskExamples
{
    /// <summary>The ways in which examples can be laid out, for messages.</summary>
    public const string Layouts = "a folder with images/ and masks/ of the same names; or pictures beside masks named NAME.mask.png or NAME_mask.png, or NAME.png for a NAME.jpg; or IMAGE=MASK";

    private static readonly string[] ImageFolders = ["images", "frames", "JPEGImages"], MaskFolders = ["masks", "labels", "SegmentationClass"];

    /// <summary>Finds pairs.</summary>
    /// <param name="words">As given after <c>--examples</c>.</param>
    /// <exception cref="DinoSharpException">A picture without a mask, or no pair at all.</exception>
    public static IReadOnlyList<(string Image, string Mask)> Find(IEnumerable<string> words)
    {
        (string, string)[] pairs = [.. words.SelectMany(Expand)];
        return pairs.Length > 0 ? pairs : throw new DinoSharpException($"no example with a mask was found; expected {Layouts}");
    }

    /// <summary>The mask as class ids: a label map; of a colour picture with alpha, 1 where it is opaque.</summary>
    public static LabelMap Read(string mask)
    {
        ImageBuffer? picture = null;
        if (PalettePng.TryExposeIndices(ImageSource.FromPath(mask).Read(), out _)) return LabelMap.Read(mask); // entries are ids, whatever a transparent colour says
        if (ImageFile.ReadInfo(mask) is { HasAlpha: true, Channels: 4, SampleType: SampleType.UInt8 }) picture = ImageFile.Read(mask);
        if (picture is null || picture.Channels != 4) return LabelMap.Read(mask);
        byte[] samples = picture.Samples<byte>().ToArray();
        return new LabelMap(picture.Width, picture.Height, [.. Enumerable.Range(0, samples.Length / 4).Select(i => samples[(i * 4) + 3] > 127 ? (byte)1 : (byte)0)]);
    }

    private static IEnumerable<(string Image, string Mask)> Expand(string word)
    {
        if (!Path.Exists(word) && word.Split('=') is [var image, var mask]) return [(image, mask)];
        if (File.Exists(word)) return [(word, Beside(word) ?? throw NoMask(word))];
        if (!Directory.Exists(word)) throw new DinoSharpException($"{word}: there is no such file or folder; expected {Layouts}");
        string? images = ImageFolders.Select(f => Path.Combine(word, f)).FirstOrDefault(Directory.Exists), masks = MaskFolders.Select(f => Path.Combine(word, f)).FirstOrDefault(Directory.Exists);
        if (images is not null && masks is not null)
            return Pictures(images).Select(file => (file, Path.Combine(masks, Path.GetFileNameWithoutExtension(file) + ".png"))).Select(pair => File.Exists(pair.Item2) ? pair : throw NoMask(pair.file));
        return Pictures(word).Select(file => (Image: file, Mask: Beside(file))).Where(pair => pair.Mask is not null).Select(pair => (pair.Image, pair.Mask!));
    }

    private static IEnumerable<string> Pictures(string folder) => Directory.EnumerateFiles(folder).Where(f => InputImages.Extensions.Contains(Path.GetExtension(f))).Order(StringComparer.Ordinal);

    private static string? Beside(string image)
    {
        string stem = Path.Combine(Path.GetDirectoryName(image) ?? "", Path.GetFileNameWithoutExtension(image));
        return new[] { stem + ".mask.png", stem + "_mask.png", stem + ".png" }.FirstOrDefault(file => file != image && File.Exists(file));
    }

    private static DinoSharpException NoMask(string image) => new($"{image} has no mask; expected {Layouts}");
}
