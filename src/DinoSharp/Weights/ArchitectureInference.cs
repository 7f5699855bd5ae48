using System.Collections.Immutable;
using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Diagnostics;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>
/// Reads the architecture off the tensors. What tensors cannot show (number of heads without stored periods, epsilons, training options)
/// comes from a description of the network if there is one, else the published value is taken; where both speak they must agree.
/// </summary>
internal sealed class ArchitectureInference
{
    private readonly string _path;
    private readonly IReadOnlyDictionary<string, FileSource> _tensors;
    private readonly ModelConfigFile? _config;

    private ArchitectureInference(string path, OfficialView view, ModelConfigFile? config) =>
        (_path, _tensors, _config) = (path, view.Tensors, config);

    /// <summary>The configuration of the network whose weights these are.</summary>
    /// <param name="path">The file, for messages.</param>
    /// <param name="view">The tensors.</param>
    /// <param name="config">The description that came with them, if any.</param>
    /// <exception cref="TensorFileException">A tensor that decides is missing or impossible, or the description contradicts the tensors.</exception>
    public static BackboneConfig Infer(string path, OfficialView view, ModelConfigFile? config)
    {
        string expected = view.Family == BackboneFamily.ConvNeXt ? "dinov3_convnext" : "dinov3_vit";
        if (config?.Text("model_type") is { } type && type != expected)
        {
            throw new TensorFileException(
                config.Source,
                $"the model_type is '{type}', but the tensors of {path} are those of a '{expected}'");
        }

        var inference = new ArchitectureInference(path, view, config);
        BackboneConfig result = view.Family == BackboneFamily.ConvNeXt ? inference.ConvNeXt() : inference.ViT(view.FeedForward);
        try
        {
            result.Validate();
            return result;
        }
        catch (ArgumentException error)
        {
            throw new TensorFileException(path, $"describes a network that cannot work: {error.Message}", error);
        }
    }

    private VisionTransformerConfig ViT(FeedForwardKind feedForward)
    {
        int width = Size("cls_token", 3, 2);
        int depth = Blocks("blocks.");
        string hidden = feedForward == FeedForwardKind.SwiGlu ? "blocks.0.mlp.w1" : "blocks.0.mlp.fc1";
        bool rms = !_tensors.ContainsKey("norm.bias");
        FileSource? bias = _tensors.GetValueOrDefault("blocks.0.attn.qkv.bias");
        var result = new VisionTransformerConfig
        {
            Width = width,
            Depth = depth,
            InputChannels = Size("patch_embed.proj.weight", 4, 1),
            PatchSize = Size("patch_embed.proj.weight", 4, 3),
            Registers = _tensors.ContainsKey("storage_tokens") ? Size("storage_tokens", 3, 1) : 0,
            FeedForward = feedForward,
            FeedForwardWidth = Size($"{hidden}.weight", 2, 0),
            QkvBias = bias is not null,
            MaskKeyBias = bias is not null
                && (_tensors.ContainsKey("blocks.0.attn.qkv.bias_mask") || (bias.Parts.Length == 3 && bias.Parts[1] is null)),
            ProjectionBias = _tensors.ContainsKey("blocks.0.attn.proj.bias"),
            FeedForwardBias = _tensors.ContainsKey($"{hidden}.bias"),
            LayerScale = _tensors.ContainsKey("blocks.0.ls1.gamma")
                ? _config?.Number("layerscale_value", 0, 10) is { } scale and not 0 ? scale : 1e-5
                : null,
            Norm = rms ? NormKind.RmsNorm : NormKind.LayerNorm,
            NormEpsilon = _config?.Number("layer_norm_eps", 1e-12, 0.1) ?? 1e-5,
            UntieClassAndPatchNorms = _tensors.ContainsKey("cls_norm.weight"),
            UntieGlobalAndLocalClassNorm = _tensors.ContainsKey("local_cls_norm.weight"),
            DropPathRate = _config?.Number("drop_path_rate", 0, 0.999) ?? 0,
        };
        result = result with { Heads = Heads(width) };
        CheckAgainst(result);
        return result with { Rotary = Rotary(result) };
    }

    private void CheckAgainst(VisionTransformerConfig found)
    {
        Agree("hidden_size", found.Width);
        Agree("num_hidden_layers", found.Depth);
        Agree("intermediate_size", found.FeedForwardWidth);
        Agree("num_register_tokens", found.Registers);
        Agree("patch_size", found.PatchSize);
        Agree("num_channels", found.InputChannels);
        Agree("num_attention_heads", found.Heads);
        bool gated = found.FeedForward == FeedForwardKind.SwiGlu;
        if (_config?.Flag("use_gated_mlp") is { } said && said != gated) throw Contradiction("use_gated_mlp", said, gated);
        string activation = gated ? "silu" : "gelu";
        if (_config?.Text("hidden_act") is { } act && act != activation)
            throw new TensorFileException(_config.Source, $"'hidden_act' is '{act}'; this kind of network uses '{activation}', others are not supported");
    }

    // Without stored periods and without a description: every published model has heads 64 wide, but for the 7B one.
    private int Heads(int width)
    {
        int? described = _config?.Whole("num_attention_heads", 1, 4096);
        if (!_tensors.ContainsKey("rope_embed.periods"))
        {
            if (described is { } heads) return heads;
            int usual = width == 4096 ? 128 : 64;
            return width % usual == 0
                ? width / usual
                : throw new TensorFileException(
                    _path,
                    $"the number of attention heads cannot be told: the width {width} is no multiple of {usual}, "
                    + "and there is no config.json that says num_attention_heads");
        }

        int headWidth = checked(4 * Size("rope_embed.periods", 1, 0));
        return width % headWidth == 0
            ? width / headWidth
            : throw new TensorFileException(_path, $"rope_embed.periods says that a head is {headWidth} wide, which does not divide the width {width}");
    }

    private RotaryConfig Rotary(VisionTransformerConfig found)
    {
        RotaryConfig rotary = new()
        {
            Base = _config?.Number("rope_theta", 1e-3, 1e12) ?? _config?.Section("rope_parameters")?.Number("rope_theta", 1e-3, 1e12) ?? 100,
            Normalization = Choice<RotaryNormalization>("dinosharp_rope_normalization"),
            Precision = Choice<RotaryPrecision>("dinosharp_rope_precision"),
        };
        if (_config is not null)
        {
            rotary = rotary with
            {
                ShiftCoordinates = _config.Number("pos_embed_shift", 0, 1000),
                JitterCoordinates = _config.Number("pos_embed_jitter", 1, 1000),
                RescaleCoordinates = _config.Number("pos_embed_rescale", 1, 1000),
            };
            if (_config.Number("dinosharp_rope_min_period", 1e-9, 1e12) is { } shortest)
                rotary = rotary with { Base = null, MinPeriod = shortest, MaxPeriod = _config.Number("dinosharp_rope_max_period", 1e-9, 1e12) };
        }

        return _tensors.TryGetValue("rope_embed.periods", out FileSource? periods) && periods.Shape is [> 0 and <= 65536]
            ? Explain(periods, rotary)
            : rotary;
    }

    // The stored periods are what is used; the parametrisation only has to say the same, up to their rounding to bfloat16.
    private static RotaryConfig Explain(FileSource source, RotaryConfig described)
    {
        Libtorch.Require();
        using var scope = NewDisposeScope();
        double[] stored = source.Read().to(ScalarType.Float64).data<double>().ToArray();
        if (!stored.All(period => period is >= 1e-9 and <= 1e12)) return described; // named when they are loaded
        double fitted = stored.Length == 1 ? 100 : Math.Pow(stored[^1], stored.Length / (stored.Length - 1.0));
        foreach (double candidate in new[] { described.Base ?? 100, Math.Round(fitted), fitted })
        {
            if (candidate is > 0 and <= 1e12 && stored.Index().All(item => IsNear(Math.Pow(candidate, (double)item.Index / stored.Length), item.Item)))
                return described with { Base = candidate, MinPeriod = null, MaxPeriod = null };
        }

        return described with { Base = null, MinPeriod = stored[0], MaxPeriod = stored[^1] };

        static bool IsNear(double computed, double period) => Math.Abs((computed / period) - 1) < 0.005;
    }

    private ConvNeXtConfig ConvNeXt()
    {
        int[] depths = [.. Enumerable.Range(0, 4).Select(stage => Blocks($"stages.{stage}."))];
        int[] dims = [.. Enumerable.Range(0, 4).Select(stage => Size($"stages.{stage}.0.dwconv.weight", 4, 0))];
        Agree("depths", depths);
        Agree("hidden_sizes", dims);
        int channels = Size("downsample_layers.0.0.weight", 4, 1);
        Agree("num_channels", channels);
        if (_config?.Text("hidden_act") is { } act && act != "gelu")
            throw new TensorFileException(_config.Source, $"'hidden_act' is '{act}'; a DINOv3 ConvNeXt uses 'gelu', others are not supported");
        if (_config?.Number("layer_norm_eps", 1e-12, 0.1) is { } epsilon && epsilon != 1e-6)
            throw new TensorFileException(
                _config.Source,
                $"'layer_norm_eps' is {epsilon.ToString(CultureInfo.InvariantCulture)}; a DINOv3 ConvNeXt uses 1e-06, others are not supported");
        return new ConvNeXtConfig
        {
            Depths = (depths[0], depths[1], depths[2], depths[3]),
            Dims = (dims[0], dims[1], dims[2], dims[3]),
            InputChannels = channels,
            LayerScale = _tensors.ContainsKey("stages.0.0.gamma") ? _config?.Number("layer_scale_init_value", 1e-12, 10) ?? 1e-6 : 0,
            DropPathRate = _config?.Number("drop_path_rate", 0, 0.999) ?? 0,
            PatchSize = _config?.Whole("dinosharp_patch_size", 1, 4096),
        };
    }

    // Indices without a gap, and not too many, bound the size of the network whatever the names in the file are.
    private int Blocks(string prefix)
    {
        var indices = new HashSet<int>();
        foreach (string name in _tensors.Keys.Where(name => name.StartsWith(prefix, StringComparison.Ordinal)))
        {
            if (int.TryParse(name[prefix.Length..].Split('.')[0], NumberStyles.None, CultureInfo.InvariantCulture, out int index)) indices.Add(index);
        }

        if (indices.Count == 0) throw new TensorFileException(_path, $"the architecture cannot be told: there is no tensor '{prefix}0.…'");
        if (indices.Count > 1000) throw new TensorFileException(_path, $"{indices.Count} blocks '{prefix}0.…' are more than any network has");
        int missing = Enumerable.Range(0, indices.Count).FirstOrDefault(index => !indices.Contains(index), -1);
        return missing < 0
            ? indices.Count
            : throw new TensorFileException(
                _path,
                $"block {missing} is missing: there are tensors of '{prefix}{indices.Max()}.…' but none of '{prefix}{missing}.…'");
    }

    private int Size(string name, int axes, int axis)
    {
        if (!_tensors.TryGetValue(name, out FileSource? tensor))
            throw new TensorFileException(_path, $"the architecture cannot be told: the tensor '{name}' is missing");
        ImmutableArray<long> shape = tensor.Shape;
        if (shape.Length != axes || shape[axis] is < 1 or > int.MaxValue / 4)
            throw new TensorFileException(
                _path,
                $"the architecture cannot be told: '{name}' has the shape {tensor.ShapeText}, expected {axes} axes with at least one element each");
        return (int)shape[axis];
    }

    private T Choice<T>(string key)
        where T : struct, Enum
    {
        if (_config?.Text(key) is not { } text) return default;
        return Enum.TryParse(text, out T value) && Enum.IsDefined(value)
            ? value
            : throw new TensorFileException(_config.Source, $"'{key}' is '{text}', expected one of {string.Join(", ", Enum.GetNames<T>())}");
    }

    private void Agree(string key, int found)
    {
        if (_config?.Whole(key, 0, int.MaxValue) is { } said && said != found) throw Contradiction(key, said, found);
    }

    private void Agree(string key, int[] found)
    {
        if (_config?.WholeNumbers(key, 0, int.MaxValue) is { } said && !said.SequenceEqual(found))
            throw Contradiction(key, $"[{string.Join(", ", said)}]", $"[{string.Join(", ", found)}]");
    }

    private TensorFileException Contradiction(string key, object said, object found) =>
        new(_config!.Source, $"'{key}' is {said}, but the tensors of {_path} say {found}");
}
