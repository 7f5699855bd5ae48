using System.Text;
using DinoSharp.Backbones;
using DinoSharp.Diagnostics;
using DinoSharp.Layers;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>
/// An open file or folder of backbone weights of any layout: recognised by its content, described, and ready to be loaded into a network.
/// Nothing is read but headers and descriptions until then.
/// </summary>
public sealed class BackboneWeights : IDisposable
{
    private readonly OfficialView _view;
    private bool _givenAway;

    private BackboneWeights(TensorFile file, DetectedBackbone backbone)
    {
        File = file;
        Prefix = backbone.Prefix;
        _view = new OfficialView(file, backbone);
        Description = Describe(file, _view.Layout);
        Config = ArchitectureInference.Infer(file.Path, _view, Description);
        Normalization = WeightNormalization.Find(this);
    }

    /// <summary>The open file.</summary>
    public TensorFile File { get; }

    /// <summary>Whose names the file uses.</summary>
    public WeightLayout Layout => _view.Layout;

    /// <summary>What stands before each name, such as <c>teacher.backbone.</c>; often empty.</summary>
    public string Prefix { get; }

    /// <summary>The network whose weights these are.</summary>
    public BackboneConfig Config { get; }

    /// <summary>How pixels must be normalised for these weights, and how that is known.</summary>
    public WeightNormalization Normalization { get; }

    /// <summary>The config.json that belongs to the weights, or the description inside the file; null if there is none.</summary>
    internal ModelConfigFile? Description { get; }

    internal OfficialView View => _view;

    /// <summary>Opens a file or folder and recognises the backbone in it.</summary>
    /// <param name="path">Anything that <see cref="TensorFile.Open"/> takes.</param>
    /// <returns>The open weights; dispose them.</returns>
    /// <exception cref="TensorFileException">The file is damaged or holds no DINOv3 backbone.</exception>
    public static BackboneWeights Open(string path)
    {
        TensorFile file = TensorFile.Open(path);
        try
        {
            return TryRecognize(file)
                ?? throw new TensorFileException(
                    path,
                    $"holds no DINOv3 backbone in the official, Hugging Face or timm layout; it has {file.Entries.Count} tensors{Example(file)}");
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Builds the network and loads it.</summary>
    /// <param name="device">Where the weights will live; null: CPU.</param>
    /// <param name="cancel">Stops the loading.</param>
    /// <returns>The backbone, owned by the caller.</returns>
    /// <exception cref="WeightLoadException">Something is missing, unexpected or of another shape; nothing was read then.</exception>
    public Backbone CreateBackbone(Device? device = null, CancellationToken cancel = default)
    {
        return CreateBackbone(device, _ => false, cancel);
    }

    /// <summary>The same for a network that may leave the weights of its linear layers in the file until they are asked for. It owns the file then.</summary>
    /// <param name="device">Where the weights will live; null: CPU.</param>
    /// <param name="defers">Whether a network, which has no weights yet, does.</param>
    /// <param name="cancel">Stops the loading.</param>
    internal Backbone CreateBackbone(Device? device, Func<Backbone, bool> defers, CancellationToken cancel)
    {
        Libtorch.Require();
        Backbone backbone = Backbone.Create(Config, device);
        try
        {
            if (defers(backbone))
            {
                backbone.Deferred = Plan(backbone).CopyAllButWeightsInto(backbone, File, cancel);
                _givenAway = true;
            }
            else
            {
                LoadInto(backbone, cancel);
            }

            return backbone;
        }
        catch
        {
            backbone.Dispose();
            throw;
        }
    }

    /// <summary>Fills every parameter and buffer of a network, converting types, with at most one tensor in memory beside it.</summary>
    /// <param name="network">A module whose state dict has the official names.</param>
    /// <param name="cancel">Stops the loading; the network is then partly filled.</param>
    /// <returns>What became of every tensor.</returns>
    /// <exception cref="WeightLoadException">Something is missing, unexpected or of another shape; the network is untouched then.</exception>
    public LoadReport LoadInto(nn.Module network, CancellationToken cancel = default) => Plan(network).CopyInto(network.state_dict(), cancel);

    /// <summary>What loading into a network would do, without doing it; the network may live on the meta device.</summary>
    /// <param name="network">A module whose state dict has the official names.</param>
    public LoadReport Check(nn.Module network) => Plan(network).Report;

    /// <summary>Closes the file.</summary>
    public void Dispose()
    {
        if (!_givenAway) File.Dispose();
    }

    /// <summary>Recognises the backbone in an open file, which stays the caller's if there is none.</summary>
    internal static BackboneWeights? TryRecognize(TensorFile file) =>
        LayoutDetection.Find(file) is { } backbone ? new BackboneWeights(file, backbone) : null;

    internal LoadPlan Plan(nn.Module network) =>
        new(File.Path, network.state_dict().Select(pair => (pair.Key, pair.Value.shape)), _view.Tensors, Compute, _view);

    // Only what a layout does not store by design is computed; anything else that is absent is missing.
    private ComputedSource? Compute(string name, long[] shape)
    {
        if (name == "rope_embed.periods" && Config is VisionTransformerConfig vit)
        {
            double[]? periods = WeightMetadata.Periods(File);
            return periods?.Length == shape[0]
                ? new ComputedSource([.. shape], "periods recorded when the file was converted", () => tensor(periods, ScalarType.Float32))
                : new ComputedSource(
                    [.. shape],
                    "not stored in this layout; recomputed in float32 from the rotary base",
                    () => new RotaryPositions(vit.HeadWidth, vit.Rotary with { Precision = RotaryPrecision.Float32 }).Periods);
        }

        if (Layout == WeightLayout.Official) return null;
        if (NameMap.Fits("blocks.#.attn.qkv.bias_mask", name))
        {
            float[] thirds = WeightMetadata.BiasMask(File) ?? [1, 0, 1];
            return new ComputedSource([.. shape], "not stored in this layout; the key third is masked", () => tensor(thirds).repeat_interleave(shape[0] / 3));
        }

        return name == "mask_token" && Layout == WeightLayout.Timm
            ? new ComputedSource([.. shape], "not stored in this layout; zeros, used only with masks", () => zeros(shape))
            : null;
    }

    private static ModelConfigFile? Describe(TensorFile file, WeightLayout layout)
    {
        ModelConfigFile? config = layout == WeightLayout.HuggingFace ? ModelConfigFile.ReadBeside(file.Path, "config.json") : null;
        if (config is not null) return config.Section("backbone_config") ?? config;
        return WeightMetadata.Config(file) is { } text
            ? ModelConfigFile.Parse($"{file.Path} ({WeightMetadata.ConfigKey})", Encoding.UTF8.GetBytes(text))
            : null;
    }

    private static string Example(TensorFile file) =>
        file.Entries.Count == 0 ? "" : $": {string.Join(", ", file.Entries.Keys.Take(5))}{(file.Entries.Count > 5 ? ", …" : "")}";
}
