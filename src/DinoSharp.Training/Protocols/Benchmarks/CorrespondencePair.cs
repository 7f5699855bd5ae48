using System.Text.Json;
using DinoSharp.Features.Matching;
using DinoSharp.Images;

namespace DinoSharp.Training.Protocols.Benchmarks;

/// <summary>Two pictures with places that are known to be equal.</summary>
/// <param name="Name">For reports.</param>
/// <param name="A">File of the first picture.</param>
/// <param name="B">File of the second picture.</param>
/// <param name="Truth">The place on B of a place on A; null if it is not known or lies outside of B.</param>
/// <param name="KeyPoints">Places on A to look for; null: the middle of every patch.</param>
/// <param name="ObjectSide">Longer side of the object's box on B, if errors are relative to it; null: errors are in pixels of B.</param>
public sealed record CorrespondencePair(string Name, string A, string B, Func<ImagePoint, ImagePoint?> Truth, IReadOnlyList<ImagePoint>? KeyPoints = null, double? ObjectSide = null)
{
    /// <summary>Kind of the object (SPair), over which the recall is averaged; null if there are no kinds.</summary>
    public string? Category { get; init; }

    private const string Layouts = "a pairs.json with a, b, width, height and H_a_to_b; a stereo pair left.png, right.png, disparity_x256.png; SPair-71k: PairAnnotation/test/*.json with JPEGImages/CATEGORY/*.jpg; or NAVI: OBJECT/wild_set with annotations.json, images and depth";

    /// <summary>Finds the pairs of a data set.</summary>
    /// <param name="root">A folder with <c>pairs.json</c>, a stereo pair, or SPair-71k.</param>
    /// <param name="split">Of SPair: trn, val or test.</param>
    /// <exception cref="DinoSharpException">Something is missing or cannot be understood; the message names the file and the layout that is expected.</exception>
    public static IReadOnlyList<CorrespondencePair> Open(string root, string split = "test")
    {
        if (!Directory.Exists(root)) throw new DinoSharpException($"there is no folder {root}; expected is {Layouts}");
        try
        {
            if (File.Exists(Path.Combine(root, "pairs.json"))) return Warped(root);
            if (File.Exists(Path.Combine(root, "disparity_x256.png"))) return [Stereo(root)];
            if (Directory.Exists(Path.Combine(root, "PairAnnotation"))) return SPair(root, split);
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or FormatException or InvalidOperationException)
        {
            throw new DinoSharpException($"{root}: an annotation cannot be understood: {error.Message} Expected is {Layouts}", error);
        }

        throw new DinoSharpException($"{root} holds no pairs of pictures; expected is {Layouts}");
    }

    private static CorrespondencePair[] Warped(string root)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Path.Combine(root, "pairs.json")));
        return [.. json.RootElement.EnumerateArray().Select(pair =>
        {
            double[] h = [.. pair.GetProperty("H_a_to_b").EnumerateArray().SelectMany(row => row.EnumerateArray()).Select(n => n.GetDouble())];
            if (h.Length != 9) throw new DinoSharpException($"{root}/pairs.json: H_a_to_b must be a matrix of 3 x 3, found {h.Length} numbers");
            (int width, int height) = (pair.GetProperty("width").GetInt32(), pair.GetProperty("height").GetInt32());
            string a = Exists(Path.Combine(root, pair.GetProperty("a").GetString()!)), b = Exists(Path.Combine(root, pair.GetProperty("b").GetString()!));
            string name = pair.TryGetProperty("id", out JsonElement id) ? id.ToString() : Path.GetFileNameWithoutExtension(a);
            return new CorrespondencePair(name, a, b, p => Inside(Warp(h, p), width, height));
        })];
    }

    private static CorrespondencePair Stereo(string root)
    {
        string a = Exists(Path.Combine(root, "left.png")), b = Exists(Path.Combine(root, "right.png"));
        ImageBuffer disparity = ImageFile.Read(Path.Combine(root, "disparity_x256.png"));
        if (disparity.SampleType != SampleType.UInt16 || disparity.Channels != 1) throw new DinoSharpException($"{root}/disparity_x256.png: expected one band of 16 bit, found {disparity.Channels} of {disparity.SampleType}");
        return new CorrespondencePair(Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(root))), a, b, p =>
        {
            (int x, int y) = ((int)p.X, (int)p.Y);
            ushort value = x < disparity.Width && y < disparity.Height ? disparity.Samples<ushort>()[(y * disparity.Width) + x] : (ushort)0;
            return value == 0 ? null : Inside(p with { X = p.X - (value / 256.0) }, disparity.Width, disparity.Height);
        });
    }

    private static CorrespondencePair[] SPair(string root, string split)
    {
        string folder = Path.Combine(root, "PairAnnotation", split);
        if (!Directory.Exists(folder)) throw new DinoSharpException($"there is no folder {folder}; SPair-71k has trn, val and test there");
        string[] files = [.. Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal)];
        if (files.Length == 0) throw new DinoSharpException($"{folder} holds no annotations; expected is {Layouts}");
        return [.. files.Select(file =>
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllText(file));
            JsonElement pair = json.RootElement;
            string category = pair.GetProperty("category").GetString()!;
            string a = Exists(Path.Combine(root, "JPEGImages", category, pair.GetProperty("src_imname").GetString()!)), b = Exists(Path.Combine(root, "JPEGImages", category, pair.GetProperty("trg_imname").GetString()!));
            ImagePoint[] from = Points(pair.GetProperty("src_kps")), to = Points(pair.GetProperty("trg_kps"));
            if (from.Length != to.Length) throw new DinoSharpException($"{file}: {from.Length} places on the first picture, {to.Length} on the second");
            double[] box = [.. pair.GetProperty("trg_bndbox").EnumerateArray().Select(n => n.GetDouble())]; // left, top, right, bottom
            return new CorrespondencePair(Path.GetFileNameWithoutExtension(file), a, b, p => to[Array.IndexOf(from, p)], from, Math.Max(box[2] - box[0], box[3] - box[1])) { Category = category };
        })];
    }

    // Pixels are counted by their index there; ours are places, with the middle of the first pixel at 0.5.
    private static ImagePoint[] Points(JsonElement points) => [.. points.EnumerateArray().Select(p => new ImagePoint(p[0].GetDouble() + 0.5, p[1].GetDouble() + 0.5))];

    private static ImagePoint Warp(double[] h, ImagePoint p)
    {
        double w = (h[6] * p.X) + (h[7] * p.Y) + h[8];
        return new ImagePoint(((h[0] * p.X) + (h[1] * p.Y) + h[2]) / w, ((h[3] * p.X) + (h[4] * p.Y) + h[5]) / w);
    }

    private static ImagePoint? Inside(ImagePoint p, int width, int height) => p.X >= 0 && p.Y >= 0 && p.X < width && p.Y < height ? p : null;

    private static string Exists(string file) => File.Exists(file) ? file : throw new DinoSharpException($"there is no picture {file}; expected is {Layouts}");
}
