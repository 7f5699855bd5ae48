using System.Text;
using System.Text.Json;
using DinoSharp.Backbones;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>Where a conversion writes: one file of tensors, or a folder as the other projects expect it.</summary>
internal sealed class ModelFolder(string output, bool isFile)
{
    // timm's names of the published networks.
    private static readonly Dictionary<string, string> TimmNames = new(StringComparer.Ordinal)
    {
        ["dinov3-vits16"] = "vit_small_patch16_dinov3",
        ["dinov3-vits16plus"] = "vit_small_plus_patch16_dinov3",
        ["dinov3-vitb16"] = "vit_base_patch16_dinov3",
        ["dinov3-vitl16"] = "vit_large_patch16_dinov3",
        ["dinov3-vitl16-sat493m"] = "vit_large_patch16_dinov3",
        ["dinov3-vith16plus"] = "vit_huge_plus_patch16_dinov3",
        ["dinov3-vit7b16"] = "vit_7b_patch16_dinov3",
        ["dinov3-vit7b16-sat493m"] = "vit_7b_patch16_dinov3",
        ["dinov3-convnext-tiny"] = "convnext_tiny",
        ["dinov3-convnext-small"] = "convnext_small",
        ["dinov3-convnext-base"] = "convnext_base",
        ["dinov3-convnext-large"] = "convnext_large",
    };

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>Throws if something would be replaced that may not be.</summary>
    public void RequireFree(bool overwrite)
    {
        if (isFile ? Directory.Exists(output) : File.Exists(output))
            throw new TensorFileException(output, isFile ? "is a folder, a file was expected" : "is a file, a folder was expected");
        if (overwrite) return;
        if (isFile && File.Exists(output)) throw new TensorFileException(output, "is there already; choose another name or allow overwriting");
        if (!isFile && Models().FirstOrDefault() is { } other)
            throw new TensorFileException(output, $"holds a model already ({Path.GetFileName(other)}); choose another folder or allow overwriting");
    }

    /// <summary>Writes the tensors; the first file returned opens them.</summary>
    public IReadOnlyList<string> WriteTensors(
        IReadOnlyList<TensorEntry> entries,
        Func<TensorEntry,
        Tensor> read,
        long? shardBytes,
        IEnumerable<KeyValuePair<string,
        string>> metadata)
    {
        if (!isFile) return SafetensorsWriter.WriteFolder(output, entries, read, shardBytes, metadata);
        SafetensorsWriter.Write(output, entries, read, metadata);
        return [output];
    }

    /// <summary>Writes what the other project needs beside the tensors, and keeps a licence that lay beside the source.</summary>
    public List<string> WriteDescription(BackboneWeights weights, WeightLayout layout, bool keyBias, IReadOnlyList<TensorEntry> entries)
    {
        var files = new List<string>();
        if (layout == WeightLayout.HuggingFace)
        {
            Write("config.json", ModelConfigFile.Write(weights.Config, keyBias, TypeName(entries)));
            Write("preprocessor_config.json", Preprocessor(weights.Normalization.Values));
        }

        bool split = entries.Any(entry => entry.Name.EndsWith(".q_bias", StringComparison.Ordinal));
        if (layout == WeightLayout.Timm && WeightInfo.NamesOf(weights).FirstOrDefault() is { } preset && TimmNames.TryGetValue(preset.Name, out string? name))
            Write("config.json", TimmConfig(weights, split ? $"{name}_qkvb" : name));
        string source = Path.GetDirectoryName(Path.GetFullPath(weights.File.Path))!;
        if (!File.Exists(Path.Combine(source, "config.json")) || source == Path.GetFullPath(output)) return files;
        foreach (FileInfo license in new DirectoryInfo(source).EnumerateFiles("LICENSE*").Where(file => file.Length < 1 << 20))
            Write(license.Name, File.ReadAllText(license.FullName));
        return files;

        void Write(string file, string text)
        {
            files.Add(Path.Combine(output, file));
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            SafetensorsWriter.WriteBeside(files[^1], bytes.Length, stream => stream.Write(bytes));
        }
    }

    /// <summary>Removes files of tensors that an earlier model left in the folder: they would be opened instead of, or mixed with, the new ones.</summary>
    public void RemoveOthers(IReadOnlyList<string> written)
    {
        if (isFile) return;
        foreach (string other in Models().Except(written).ToList()) File.Delete(other);
    }

    private IEnumerable<string> Models() =>
        Directory.Exists(output)
            ? new[] { "model*.safetensors", "model*.safetensors.index.json" }.SelectMany(pattern => Directory.EnumerateFiles(output, pattern)).Order(StringComparer.Ordinal)
            : [];

    // Of the type that most bytes have.
    private static string TypeName(IReadOnlyList<TensorEntry> entries)
    {
        return entries.GroupBy(entry => entry.Type).MaxBy(group => group.Sum(entry => entry.ByteCount))!.Key switch
        {
            ElementType.BFloat16 => "bfloat16",
            ElementType.Float16 => "float16",
            ElementType.Float64 => "float64",
            _ => "float32",
        };
    }

    private static string Preprocessor(Normalization normalization) => JsonSerializer.Serialize(
        new
        {
            image_processor_type = "DINOv3ViTImageProcessorFast",
            do_resize = true,
            size = new { height = 224, width = 224 },
            resample = 2,
            default_to_square = true,
            do_rescale = true,
            rescale_factor = 1 / 255.0,
            do_normalize = true,
            image_mean = normalization.Mean,
            image_std = normalization.Std,
            data_format = "channels_first",
        },
        Indented);

    private static string TimmConfig(BackboneWeights weights, string architecture)
    {
        int side = weights.Config is VisionTransformerConfig ? 256 : 224;
        return JsonSerializer.Serialize(
            new
            {
                architecture,
                num_classes = 0,
                num_features = weights.Config.EmbedDim,
                pretrained_cfg = new
                {
                    num_classes = 0,
                    input_size = new[] { 3, side, side },
                    interpolation = "bicubic",
                    crop_pct = 1.0,
                    mean = weights.Normalization.Values.Mean,
                    std = weights.Normalization.Values.Std,
                },
            },
            Indented);
    }
}
