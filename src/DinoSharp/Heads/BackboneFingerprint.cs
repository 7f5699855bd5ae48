using System.Globalization;
using System.Text.Json.Nodes;
using DinoSharp.Backbones;

namespace DinoSharp.Heads;

/// <summary>Tells backbones apart: architecture and a few of the weights. The same weights in another layout or in bfloat16 have the same fingerprint.</summary>
/// <param name="Name">What the backbone was called when the head was made.</param>
/// <param name="Architecture">Kind, width and depth.</param>
/// <param name="Samples">Some weights, taken at fixed places.</param>
public sealed record BackboneFingerprint(string Name, string Architecture, IReadOnlyList<float> Samples)
{
    private const int Tensors = 24;
    private const int PerTensor = 4;

    // Rounding to bfloat16 moves a value by up to 1/256 of itself.
    private const double Tolerance = 1.0 / 128;

    /// <summary>The fingerprint of a backbone; reads a few numbers of it.</summary>
    /// <param name="backbone">With its weights.</param>
    /// <param name="name">What to call it in messages.</param>
    public static BackboneFingerprint Of(Backbone backbone, string name)
    {
        ParameterOutline[] parameters = [.. backbone.Outline().OrderBy(p => p.Name, StringComparer.Ordinal)];
        var samples = new List<float>();
        for (int i = 0; i < Tensors; i++)
        {
            ParameterOutline parameter = parameters[(long)i * parameters.Length / Tensors];
            samples.AddRange(parameter.Sample(1, Math.Min(PerTensor, parameter.Unfilled.numel())));
        }

        return new BackboneFingerprint(name, Describe(backbone.Config), samples);
    }

    /// <summary>Whether these are the same weights.</summary>
    /// <param name="other">Another fingerprint.</param>
    public bool Matches(BackboneFingerprint other) => Architecture == other.Architecture && Samples.Count == other.Samples.Count
        && Samples.Zip(other.Samples).All(pair => Math.Abs(pair.First - pair.Second) <= Tolerance * Math.Max(Math.Abs(pair.First), Math.Abs(pair.Second)) + 1e-6);

    internal JsonObject ToJson() => new()
    {
        ["name"] = Name,
        ["architecture"] = Architecture,
        ["samples"] = new JsonArray([.. Samples.Select(s => (JsonNode)JsonValue.Create(s.ToString("R", CultureInfo.InvariantCulture)))]),
    };

    internal static BackboneFingerprint FromJson(JsonNode json) => new(
        json["name"]!.GetValue<string>(),
        json["architecture"]!.GetValue<string>(),
        [.. json["samples"]!.AsArray().Select(s => float.Parse(s!.GetValue<string>(), NumberStyles.Float, CultureInfo.InvariantCulture))]);

    private static string Describe(BackboneConfig config) => config switch
    {
        VisionTransformerConfig v => $"vision transformer, width {v.Width}, {v.Depth} blocks, patch {v.PatchSize}",
        ConvNeXtConfig c => $"ConvNeXt, widths {c.Dims.Stage0} to {c.Dims.Stage3}, {c.Depths.Stage0}-{c.Depths.Stage1}-{c.Depths.Stage2}-{c.Depths.Stage3} blocks",
        _ => config.GetType().Name,
    };
}
