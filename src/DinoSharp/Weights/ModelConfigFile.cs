using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using DinoSharp.Backbones;

namespace DinoSharp.Weights;

/// <summary>
/// The description of a network in the terms of Hugging Face's <c>config.json</c>; the same text travels in the metadata of converted
/// files. Keys that are not needed are passed over, those that are needed must make sense.
/// </summary>
internal sealed class ModelConfigFile
{
    private const int MaxBytes = 4 << 20;

    private readonly JsonElement _root;

    private ModelConfigFile(string source, JsonElement root) => (Source, _root) = (source, root);

    /// <summary>The file, for messages.</summary>
    public string Source { get; }

    /// <summary>Reads a JSON object in a folder; null if there is no such file.</summary>
    public static ModelConfigFile? ReadBeside(string weightsPath, string name)
    {
        string path = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(weightsPath))!, name);
        if (!File.Exists(path)) return null;
        using MappedFile file = MappedFile.Open(path);
        if (file.Length > MaxBytes) throw new TensorFileException(path, $"{file.Length} bytes are too many for a configuration");
        return Parse(path, file.ReadBytes(0, (int)file.Length));
    }

    /// <summary>Reads a JSON object from a text.</summary>
    public static ModelConfigFile Parse(string source, ReadOnlyMemory<byte> json)
    {
        try
        {
            if (!Utf8.IsValid(json.Span)) throw new TensorFileException(source, "is no valid JSON: it is not UTF-8");
            using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 32, AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new TensorFileException(source, $"expected a JSON object, found {document.RootElement.ValueKind}");
            return new ModelConfigFile(source, document.RootElement.Clone());
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new TensorFileException(source, $"is no valid JSON: {error.Message}", error);
        }
    }

    /// <summary>A nested object, such as <c>backbone_config</c>; null if there is none.</summary>
    public ModelConfigFile? Section(string key) =>
        _root.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.Object
            ? new ModelConfigFile($"{Source} ({key})", value)
            : null;

    /// <summary>A text; null if absent.</summary>
    public string? Text(string key)
    {
        if (Find(key) is not { } value) return null;
        try
        {
            return value.ValueKind == JsonValueKind.String ? value.GetString() : throw Wrong(key, value, "a text");
        }
        catch (InvalidOperationException)
        {
            throw Wrong(key, value, "a text without half characters"); // an escaped surrogate without its partner
        }
    }

    /// <summary>True or false; null if absent.</summary>
    public bool? Flag(string key) =>
        Find(key) is { } value
            ? value.ValueKind switch { JsonValueKind.True => true, JsonValueKind.False => false, _ => throw Wrong(key, value, "true or false") }
            : null;

    /// <summary>A whole number within limits; null if absent.</summary>
    public int? Whole(string key, int least, int most) => Find(key) is { } value ? Whole(key, value, least, most) : null;

    /// <summary>A number within limits; null if absent.</summary>
    public double? Number(string key, double least, double most) => Find(key) is { } value ? Number(key, value, least, most) : null;

    /// <summary>Whole numbers; null if absent.</summary>
    public int[]? WholeNumbers(string key, int least, int most) =>
        List(key) is { } items ? [.. items.Select(item => Whole(key, item, least, most))] : null;

    /// <summary>Numbers; null if absent.</summary>
    public double[]? Numbers(string key, double least, double most) =>
        List(key) is { } items ? [.. items.Select(item => Number(key, item, least, most))] : null;

    /// <summary>Describes a network as Hugging Face does; what Hugging Face cannot say goes into keys of our own.</summary>
    /// <param name="config">The network.</param>
    /// <param name="keyBias">Whether the keys have a bias.</param>
    /// <param name="dtype">Name of the tensors' type; null: not said.</param>
    public static string Write(BackboneConfig config, bool keyBias, string? dtype)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            if (config is VisionTransformerConfig vit) WriteViT(json, vit, keyBias);
            else WriteConvNeXt(json, (ConvNeXtConfig)config);
            if (dtype is not null) json.WriteString("torch_dtype", dtype);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    private static void WriteViT(Utf8JsonWriter json, VisionTransformerConfig vit, bool keyBias)
    {
        bool gated = vit.FeedForward == FeedForwardKind.SwiGlu;
        WriteArray(json, "architectures", [(JsonElement)JsonSerializer.SerializeToElement("DINOv3ViTModel")]);
        json.WriteString("model_type", "dinov3_vit");
        json.WriteNumber("image_size", 224);
        json.WriteNumber("patch_size", vit.PatchSize);
        json.WriteNumber("num_channels", vit.InputChannels);
        json.WriteNumber("hidden_size", vit.Width);
        json.WriteNumber("intermediate_size", vit.FeedForwardWidth);
        json.WriteNumber("num_hidden_layers", vit.Depth);
        json.WriteNumber("num_attention_heads", vit.Heads);
        json.WriteNumber("num_register_tokens", vit.Registers);
        json.WriteBoolean("use_gated_mlp", gated);
        json.WriteString("hidden_act", gated ? "silu" : "gelu");
        json.WriteBoolean("query_bias", vit.QkvBias);
        json.WriteBoolean("key_bias", keyBias);
        json.WriteBoolean("value_bias", vit.QkvBias);
        json.WriteBoolean("proj_bias", vit.ProjectionBias);
        json.WriteBoolean("mlp_bias", vit.FeedForwardBias);
        json.WriteNumber("layer_norm_eps", vit.NormEpsilon);
        json.WriteNumber("layerscale_value", vit.LayerScale ?? 1.0);
        json.WriteNumber("drop_path_rate", vit.DropPathRate);
        json.WriteNumber("attention_dropout", 0.0);
        json.WriteNumber("initializer_range", 0.02);
        WriteNumber(json, "rope_theta", vit.Rotary.Base);
        WriteNumber(json, "pos_embed_shift", vit.Rotary.ShiftCoordinates);
        WriteNumber(json, "pos_embed_jitter", vit.Rotary.JitterCoordinates);
        WriteNumber(json, "pos_embed_rescale", vit.Rotary.RescaleCoordinates);
        if (vit.Rotary.Normalization != RotaryNormalization.Separate)
            json.WriteString("dinosharp_rope_normalization", vit.Rotary.Normalization.ToString());
        if (vit.Rotary.Precision != RotaryPrecision.Float32) json.WriteString("dinosharp_rope_precision", vit.Rotary.Precision.ToString());
        if (vit.Rotary.MinPeriod is not null) WriteNumber(json, "dinosharp_rope_min_period", vit.Rotary.MinPeriod);
        if (vit.Rotary.MaxPeriod is not null) WriteNumber(json, "dinosharp_rope_max_period", vit.Rotary.MaxPeriod);
    }

    private static void WriteConvNeXt(Utf8JsonWriter json, ConvNeXtConfig convNeXt)
    {
        (int, int, int, int) depths = convNeXt.Depths, dims = convNeXt.Dims;
        WriteArray(json, "architectures", [JsonSerializer.SerializeToElement("DINOv3ConvNextModel")]);
        json.WriteString("model_type", "dinov3_convnext");
        json.WriteNumber("image_size", 224);
        json.WriteNumber("num_channels", convNeXt.InputChannels);
        WriteArray(json, "depths", new[] { depths.Item1, depths.Item2, depths.Item3, depths.Item4 }.Select(value => JsonSerializer.SerializeToElement(value)));
        WriteArray(json, "hidden_sizes", new[] { dims.Item1, dims.Item2, dims.Item3, dims.Item4 }.Select(value => JsonSerializer.SerializeToElement(value)));
        json.WriteString("hidden_act", "gelu");
        json.WriteNumber("layer_norm_eps", 1e-6);
        json.WriteNumber("layer_scale_init_value", convNeXt.LayerScale);
        json.WriteNumber("drop_path_rate", convNeXt.DropPathRate);
        json.WriteNumber("initializer_range", 0.02);
        if (convNeXt.PatchSize is { } patch) json.WriteNumber("dinosharp_patch_size", patch);
    }

    private static void WriteArray(Utf8JsonWriter json, string key, IEnumerable<JsonElement> values)
    {
        json.WriteStartArray(key);
        foreach (JsonElement value in values) value.WriteTo(json);
        json.WriteEndArray();
    }

    private static void WriteNumber(Utf8JsonWriter json, string key, double? value)
    {
        if (value is { } number) json.WriteNumber(key, number);
        else json.WriteNull(key);
    }

    private JsonElement? Find(string key) => _root.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private IEnumerable<JsonElement>? List(string key)
    {
        if (Find(key) is not { } value) return null;
        return value.ValueKind == JsonValueKind.Array && value.GetArrayLength() <= 1000
            ? value.EnumerateArray()
            : throw Wrong(key, value, "a list of at most 1000 numbers");
    }

    private int Whole(string key, JsonElement value, int least, int most) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= least && number <= most
            ? number
            : throw Wrong(key, value, $"a whole number from {least} to {most}");

    private double Number(string key, JsonElement value, double least, double most) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && double.IsFinite(number)
            && number >= least && number <= most
            ? number
            : throw Wrong(key, value, string.Create(CultureInfo.InvariantCulture, $"a number from {least} to {most}"));

    private TensorFileException Wrong(string key, JsonElement value, string expected)
    {
        string found = value.GetRawText();
        return new TensorFileException(Source, $"'{key}' must be {expected}, found {(found.Length > 100 ? found[..100] + "…" : found)}");
    }
}
