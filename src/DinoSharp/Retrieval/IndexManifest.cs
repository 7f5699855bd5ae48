using System.Text.Json;
using System.Text.Json.Serialization;
using DinoSharp.Features;
using DinoSharp.Weights;

namespace DinoSharp.Retrieval;

/// <summary>What an index is made of and with: the file <c>index.json</c>.</summary>
internal sealed record IndexManifest
{
    public const int CurrentFormat = 1;

    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, RespectRequiredConstructorParameters = true, RespectNullableAnnotations = true };

    public int Format { get; init; } = CurrentFormat;

    /// <summary>How the vectors were made; vectors made otherwise cannot be compared with them.</summary>
    public required IndexSettings Settings { get; init; }

    /// <summary>Files of the folder in the order in which they were written. Other files are leftovers of interrupted runs.</summary>
    public IReadOnlyList<string> Segments { get; init; } = [];

    /// <summary>Path of the manifest in an index.</summary>
    public static string PathIn(string folder) => Path.Combine(folder, "index.json");

    public static IndexManifest Read(string folder)
    {
        string path = PathIn(folder);
        if (!File.Exists(path)) throw new DinoSharpException($"{folder} is no index: there is no index.json in it; make one with 'dino index build FOLDER --out {folder}'");
        try
        {
            byte[] json = File.ReadAllBytes(path);
            using (JsonDocument document = JsonDocument.Parse(json)) // a later format may have what this one does not know
            {
                if (document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty("format", out JsonElement format) && format.ToString() != $"{CurrentFormat}")
                    throw new DinoSharpException($"{path} has format {format}; this version reads format {CurrentFormat}: take a newer DinoSharp, or build the index again");
            }

            IndexManifest manifest = JsonSerializer.Deserialize<IndexManifest>(json, Json) ?? throw new JsonException("it holds null");
            if (manifest.Segments.Contains(null!)) throw new JsonException("it names a part that is null");
            if (manifest.Segments.FirstOrDefault(s => Path.GetFileName(s) != s) is { } stray) throw new DinoSharpException($"{path} names the file '{stray}', which is not in the folder");
            RequireWord<Pooling>("pooling", manifest.Settings.Pooling);
            RequireWord<ComputeType>("compute", manifest.Settings.Compute);
            return manifest;
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{path} cannot be read: {e.Message}", e);
        }

        static void RequireWord<T>(string key, string word)
            where T : struct, Enum
        {
            if (!Enum.GetNames<T>().Contains(word)) throw new JsonException($"settings.{key} is '{word}'; expected one of {string.Join(", ", Enum.GetNames<T>())}");
        }
    }

    public void Write(string folder)
    {
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(this, Json);
        SafetensorsWriter.WriteBeside(PathIn(folder), json.Length, stream => stream.Write(json));
    }
}

/// <summary>How the vectors of an index are made.</summary>
/// <param name="Model">The model as it was named.</param>
/// <param name="Fingerprint">Tells other weights of the same name apart.</param>
/// <param name="Pooling">Which tokens the vector is made of.</param>
/// <param name="ImageSizePixels">Side of the square that the network sees; null: what the weights were made for.</param>
/// <param name="Compute">Precision of the matrix products.</param>
/// <param name="NativeSize">Whether the network sees each picture at its own size.</param>
public sealed record IndexSettings(string Model, string Fingerprint, string Pooling, int? ImageSizePixels, string Compute = nameof(ComputeType.Float32), bool NativeSize = false)
{
    /// <summary>The size for messages.</summary>
    internal string SizeInWords => NativeSize ? "the size of each picture" : ImageSizePixels is int size ? $"{size} pixels" : "the size its weights were made for";
}
