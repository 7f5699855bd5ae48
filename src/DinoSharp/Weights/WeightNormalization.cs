using System.Text;
using DinoSharp.Backbones;
using DinoSharp.Images;

namespace DinoSharp.Weights;

/// <summary>How pixels must be normalised for a file of weights, and how that is known.</summary>
/// <param name="Values">Mean and standard deviation per channel.</param>
/// <param name="Evidence">Where the values are from.</param>
/// <param name="IsGuess">True if nothing says it and the usual values were taken; check before relying on them.</param>
public sealed record WeightNormalization(Normalization Values, string Evidence, bool IsGuess)
{
    private const string Processor = "preprocessor_config.json";

    internal static WeightNormalization Find(BackboneWeights weights)
    {
        WeightNormalization found = Stated(weights) ?? Infer(weights);
        int channels = weights.Config.InputChannels;
        if (found.Values.Channels == channels) return found;
        string problem = $"the network takes {channels} channels, the normalisation of {found.Evidence} has {found.Values.Channels}";
        throw new TensorFileException(weights.File.Path, problem);
    }

    private static WeightNormalization? Stated(BackboneWeights weights)
    {
        string path = weights.File.Path;
        if (weights.File.Metadata.TryGetValue(WeightMetadata.NormalizationKey, out string? text))
        {
            ModelConfigFile metadata = ModelConfigFile.Parse($"{path} ({WeightMetadata.NormalizationKey})", Encoding.UTF8.GetBytes(text));
            return Read(metadata, "mean", "std", "the metadata of the file")
                ?? throw new TensorFileException(path, $"its metadata '{WeightMetadata.NormalizationKey}' must have mean and std");
        }

        return weights.Layout switch
        {
            WeightLayout.HuggingFace => Read(ModelConfigFile.ReadBeside(path, Processor), "image_mean", "image_std", Processor),
            WeightLayout.Timm => Read(ModelConfigFile.ReadBeside(path, "config.json")?.Section("pretrained_cfg"), "mean", "std", "config.json"),
            _ => null,
        };
    }

    private static WeightNormalization? Read(ModelConfigFile? file, string meanKey, string stdKey, string evidence)
    {
        if (file?.Numbers(meanKey, -10, 10) is not { } mean || file.Numbers(stdKey, 1e-6, 10) is not { } std) return null;
        if (mean.Length != std.Length || mean.Length == 0)
            throw new TensorFileException(file.Source, $"'{meanKey}' has {mean.Length} channels and '{stdKey}' {std.Length}");
        return new WeightNormalization(Normalization.Of([.. mean.Select(v => (float)v)], [.. std.Select(v => (float)v)]), evidence, IsGuess: false);
    }

    private static WeightNormalization Infer(BackboneWeights weights)
    {
        // Of the published ViT-L files only the satellite one has a norm for local class tokens. The two 7B files look alike.
        if (weights.Config is VisionTransformerConfig { Width: 1024, Depth: 24, UntieGlobalAndLocalClassNorm: true })
            return new WeightNormalization(Normalization.Sat, "local_cls_norm, which only the satellite ViT-L has", IsGuess: false);
        int channels = weights.Config.InputChannels;
        if (channels != 3)
            return new WeightNormalization(
                Normalization.Of([.. Enumerable.Repeat(0f, channels)], [.. Enumerable.Repeat(1f, channels)]),
                $"nothing in the file says it; pixels stay as they are, as there are {channels} channels",
                IsGuess: true);
        return Named(Path.GetFileName(weights.File.Path)) switch
        {
            PretrainingData.Sat493M => new WeightNormalization(Normalization.Sat, "the name of the file", IsGuess: true),
            PretrainingData.Lvd1689M => new WeightNormalization(Normalization.Lvd, "the name of the file", IsGuess: true),
            _ => new WeightNormalization(Normalization.Lvd, "nothing in the file says it; the values of most published models", IsGuess: true),
        };
    }

    // Official file names carry the data set and the first digits of the content's hash.
    private static PretrainingData? Named(string file)
    {
        if (file.Contains("sat493m", StringComparison.OrdinalIgnoreCase)) return PretrainingData.Sat493M;
        if (file.Contains("lvd1689m", StringComparison.OrdinalIgnoreCase)) return PretrainingData.Lvd1689M;
        return Presets.All.FirstOrDefault(preset => preset.OfficialHash is { } hash && file.Contains(hash, StringComparison.OrdinalIgnoreCase))?.Data;
    }
}
