using System.Globalization;
using System.Text.Json;
using DinoSharp.Images;

namespace DinoSharp.Weights;

/// <summary>What travels inside a converted file, as texts of the safetensors <c>__metadata__</c>.</summary>
internal static class WeightMetadata
{
    /// <summary>The network, in the words of a Hugging Face config.json.</summary>
    public const string ConfigKey = "dinosharp.config";

    /// <summary>Pixel normalisation: <c>{"mean": […], "std": […]}</c>.</summary>
    public const string NormalizationKey = "dinosharp.normalization";

    /// <summary>File and layout that the weights were converted from.</summary>
    public const string SourceKey = "dinosharp.source";

    /// <summary>What a user of the weights must know about their licence.</summary>
    public const string LicenseKey = "license";

    /// <summary>Rotary periods of the source, for layouts that do not store them.</summary>
    public const string PeriodsKey = "dinosharp.rope_periods";

    /// <summary>Values of the qkv bias mask of the source (query, key, value), for layouts that do not store it.</summary>
    public const string BiasMaskKey = "dinosharp.qkv_bias_mask";

    /// <summary>What holds for weights whose own file says nothing about a licence.</summary>
    public const string LicenseNotice =
        "If these are Meta's DINOv3 weights, or were derived from them, the DINOv3 License applies "
        + "(https://ai.meta.com/resources/models-and-libraries/dinov3-license/): pass them on only under its terms and together with its text.";

    public static string? Config(TensorFile file) => file.Metadata.GetValueOrDefault(ConfigKey);

    public static double[]? Periods(TensorFile file) =>
        Numbers(file, PeriodsKey) is { Length: > 0 and <= 65536 } numbers && numbers.All(number => double.IsFinite(number) && number > 0)
            ? numbers
            : null;

    public static float[]? BiasMask(TensorFile file) =>
        Numbers(file, BiasMaskKey) is { Length: 3 } numbers && numbers.All(double.IsFinite) ? [.. numbers.Select(number => (float)number)] : null;

    public static string Text(IEnumerable<float> numbers) =>
        string.Join(' ', numbers.Select(number => number.ToString("R", CultureInfo.InvariantCulture)));

    public static string Text(Normalization normalization) =>
        JsonSerializer.Serialize(new { mean = normalization.Mean, std = normalization.Std });

    private static double[]? Numbers(TensorFile file, string key)
    {
        if (!file.Metadata.TryGetValue(key, out string? text)) return null;
        string[] parts = text.Split(' ');
        var numbers = new double[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!double.TryParse(parts[i], NumberStyles.Float, CultureInfo.InvariantCulture, out numbers[i]))
                throw new TensorFileException(file.Path, $"its metadata '{key}' must be numbers, found '{parts[i]}'");
        }

        return numbers;
    }
}
