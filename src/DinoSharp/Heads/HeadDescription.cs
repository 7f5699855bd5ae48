using System.Text.Json;
using System.Text.Json.Nodes;
using DinoSharp.Heads.Classification;
using DinoSharp.Heads.Depth;
using DinoSharp.Images;
using DinoSharp.Weights;

namespace DinoSharp.Heads;

/// <summary>What a head file says about itself, as JSON in the metadata of the safetensors file. The network's shape is read off the tensors.</summary>
internal sealed record HeadDescription
{
    /// <summary>Key of the metadata.</summary>
    public const string Key = "dinosharp.head";

    private const int Format = 1;

    public required HeadKind Kind { get; init; }

    public required BackboneFingerprint Backbone { get; init; }

    public required HeadInput Input { get; init; }

    public IReadOnlyList<string>? Classes { get; init; }

    public DepthBins? Bins { get; init; }

    public DptReadout Readout { get; init; }

    public bool MeanPatch { get; init; } = true;

    public NeighborRule? Neighbors { get; init; }

    public double? Threshold { get; init; }

    public IReadOnlyDictionary<string, double> Metrics { get; init; } = new Dictionary<string, double>();

    public string ToJson()
    {
        Preprocessing p = Input.Preprocessing;
        var json = new JsonObject
        {
            ["format"] = Format,
            ["kind"] = Kind.ToString(),
            ["backbone"] = Backbone.ToJson(),
            ["layers"] = new JsonArray([.. Input.Layers.Select(l => (JsonNode)l)]),
            ["fit"] = Input.Fit.ToString(),
            ["multiple"] = Input.MultiplePixels,
            ["preprocessing"] = new JsonObject
            {
                ["mean"] = new JsonArray([.. p.Normalization.Mean.Select(m => (JsonNode)m)]),
                ["std"] = new JsonArray([.. p.Normalization.Std.Select(s => (JsonNode)s)]),
                ["order"] = p.Order.ToString(),
                ["interpolation"] = p.Interpolation.ToString(),
                ["size"] = p.Size.How.ToString(),
                ["width"] = p.Size.Width,
                ["height"] = p.Size.Height,
                ["center_crop"] = p.CenterCropPixels,
                ["patch"] = p.PatchSizePixels,
                ["max_pixels"] = p.MaxInputPixels,
            },
            ["metrics"] = new JsonObject(Metrics.Where(m => double.IsFinite(m.Value)).Select(m => KeyValuePair.Create(m.Key, (JsonNode?)m.Value))),
        };
        if (Input.Windows is { } w) json["windows"] = new JsonObject { ["size"] = w.SizePixels, ["stride"] = w.StridePixels, ["above"] = w.AbovePixels };
        if (Classes is not null) json["classes"] = new JsonArray([.. Classes.Select(c => (JsonNode)c)]);
        if (Bins is not null) json["bins"] = new JsonObject { ["min"] = Bins.MinMeters, ["max"] = Bins.MaxMeters, ["spacing"] = Bins.Spacing.ToString(), ["weighting"] = Bins.Weighting.ToString() };
        if (Kind is HeadKind.DptDepth or HeadKind.DptSegmentation) json["readout"] = Readout.ToString();
        if (Kind is HeadKind.LinearClassifier or HeadKind.NearestNeighbors) json["mean_patch"] = MeanPatch;
        if (Threshold is not null) json["threshold"] = Threshold;
        if (Neighbors is not null) json["neighbors"] = new JsonObject { ["count"] = Neighbors.Count, ["temperature"] = Neighbors.Temperature, ["unknown_below"] = Neighbors.UnknownBelow };
        return json.ToJsonString();
    }

    /// <summary>Reads the description of a file; null if it has none (an official file).</summary>
    /// <exception cref="TensorFileException">There is one, but it is damaged or of a later version.</exception>
    public static HeadDescription? Read(TensorFile file)
    {
        if (!file.Metadata.TryGetValue(Key, out string? text)) return null;
        try
        {
            JsonNode json = JsonNode.Parse(text) ?? throw new JsonException("it is empty");
            int format = Value<int>(json, "format");
            if (format != Format) throw new JsonException($"it has format {format}, this version reads {Format}; use a newer version");
            HeadKind kind = Choice<HeadKind>(json, "kind");
            JsonNode p = json["preprocessing"] ?? throw new JsonException("'preprocessing' is missing");
            return new HeadDescription
            {
                Kind = kind,
                Backbone = BackboneFingerprint.FromJson(json["backbone"] ?? throw new JsonException("'backbone' is missing")),
                Input = new HeadInput
                {
                    Layers = Numbers<int>(json, "layers"),
                    Fit = Choice<ImageFit>(json, "fit"),
                    MultiplePixels = Value<int>(json, "multiple"),
                    Windows = json["windows"] is { } w ? new HeadWindows(Value<int>(w, "size"), Value<int>(w, "stride"), Value<long>(w, "above")) : null,
                    Preprocessing = new Preprocessing
                    {
                        Normalization = Normalization.Of(Numbers<float>(p, "mean"), Numbers<float>(p, "std")),
                        Order = Choice<ResizeOrder>(p, "order"),
                        Interpolation = Choice<Interpolation>(p, "interpolation"),
                        Size = SizePolicy.Of(Choice<SizePolicy.Rule>(p, "size"), Value<int>(p, "width"), Value<int>(p, "height")),
                        CenterCropPixels = p["center_crop"]?.GetValue<int>(),
                        PatchSizePixels = Value<int>(p, "patch"),
                        MaxInputPixels = Value<long>(p, "max_pixels"),
                    },
                },
                Classes = json["classes"]?.AsArray().Select(c => c!.GetValue<string>()).ToList(),
                Bins = json["bins"] is { } b ? new DepthBins(Value<double>(b, "min"), Value<double>(b, "max"), Choice<BinSpacing>(b, "spacing"), Choice<BinWeighting>(b, "weighting")) : null,
                Readout = json["readout"] is null ? DptReadout.Ignore : Choice<DptReadout>(json, "readout"),
                MeanPatch = json["mean_patch"]?.GetValue<bool>() ?? true,
                Neighbors = json["neighbors"] is { } n ? new NeighborRule(Value<int>(n, "count"), Value<double>(n, "temperature"), n["unknown_below"]?.GetValue<double>()) : null,
                Threshold = json["threshold"]?.GetValue<double>(),
                Metrics = json["metrics"] is JsonObject m ? m.ToDictionary(e => e.Key, e => e.Value!.GetValue<double>()) : new Dictionary<string, double>(),
            };
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException or NullReferenceException or ArgumentException or DinoSharpException)
        {
            throw new TensorFileException(file.Path, $"its description of the head ('{Key}' in the metadata) cannot be read: {error.Message}", error);
        }
    }

    private static T Value<T>(JsonNode json, string key) => (json[key] ?? throw new JsonException($"'{key}' is missing")).GetValue<T>();

    private static T[] Numbers<T>(JsonNode json, string key) => [.. (json[key] ?? throw new JsonException($"'{key}' is missing")).AsArray().Select(n => n!.GetValue<T>())];

    private static T Choice<T>(JsonNode json, string key)
        where T : struct, Enum => Enum.TryParse(Value<string>(json, key), out T value) && Enum.IsDefined(value) ? value : throw new JsonException($"'{key}' must be one of {string.Join(", ", Enum.GetNames<T>())}, found '{Value<string>(json, key)}'");
}
