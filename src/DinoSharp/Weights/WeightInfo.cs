using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>How much of a file has one element type.</summary>
/// <param name="Type">The element type.</param>
/// <param name="Tensors">Number of tensors.</param>
/// <param name="Bytes">Their size.</param>
public sealed record ElementTypeShare(ElementType Type, int Tensors, long Bytes);

/// <summary>What a file of weights is: container, layout, architecture, size, normalisation, licence. Reads headers only.</summary>
public sealed record WeightInfo
{
    /// <summary>The file, or the index of a sharded one.</summary>
    public required string Path { get; init; }

    /// <summary>How the tensors are stored.</summary>
    public required TensorFileFormat Format { get; init; }

    /// <summary>Number of tensors in the file.</summary>
    public required int Tensors { get; init; }

    /// <summary>Size of all tensors in bytes.</summary>
    public required long Bytes { get; init; }

    /// <summary>Element types, the largest share first.</summary>
    public required IReadOnlyList<ElementTypeShare> ElementTypes { get; init; }

    /// <summary>Whose names the file uses; null if it holds no DINOv3 backbone, and then all of the following but the licence are null or empty.</summary>
    public WeightLayout? Layout { get; init; }

    /// <summary>What stands before each name of the backbone, such as <c>teacher.backbone.</c>.</summary>
    public string? Prefix { get; init; }

    /// <summary>The network.</summary>
    public BackboneConfig? Architecture { get; init; }

    /// <summary>Named networks with this architecture; several where tensors cannot tell them apart.</summary>
    public IReadOnlyList<string> Presets { get; init; } = [];

    /// <summary>Parameters of the network, buffers not counted.</summary>
    public long? Parameters { get; init; }

    /// <summary>How pixels must be normalised.</summary>
    public WeightNormalization? Normalization { get; init; }

    /// <summary>What loading would do; tells whether the file is complete.</summary>
    public LoadReport? Check { get; init; }

    /// <summary>Where the weights were converted from, if the file says it.</summary>
    public string? Source { get; init; }

    /// <summary>What the file says about its licence, or what holds for DINOv3 weights in general.</summary>
    public required string License { get; init; }

    /// <summary>Reads the description of a file or folder.</summary>
    /// <param name="path">Anything that <see cref="TensorFile.Open"/> takes.</param>
    /// <exception cref="TensorFileException">The file is damaged or contradicts itself.</exception>
    public static WeightInfo Read(string path)
    {
        using TensorFile file = TensorFile.Open(path);
        var info = new WeightInfo
        {
            Path = file.Path,
            Format = file.Format,
            Tensors = file.Entries.Count,
            Bytes = file.Entries.Values.Sum(entry => entry.ByteCount),
            ElementTypes =
            [
                .. file.Entries.Values.GroupBy(entry => entry.Type)
                    .Select(group => new ElementTypeShare(group.Key, group.Count(), group.Sum(entry => entry.ByteCount)))
                    .OrderByDescending(share => share.Bytes),
            ],
            License = file.Metadata.GetValueOrDefault(WeightMetadata.LicenseKey) ?? WeightMetadata.LicenseNotice,
            Source = file.Metadata.GetValueOrDefault(WeightMetadata.SourceKey),
        };
        return BackboneWeights.TryRecognize(file) is { } weights ? Describe(info, weights) : info;
    }

    private static WeightInfo Describe(WeightInfo info, BackboneWeights weights)
    {
        using Backbone shapes = Backbone.Create(weights.Config, META);
        return info with
        {
            Layout = weights.Layout,
            Prefix = weights.Prefix,
            Architecture = weights.Config,
            Presets = [.. NamesOf(weights).Select(preset => preset.Name)],
            Parameters = shapes.parameters().Sum(parameter => parameter.numel()),
            Normalization = weights.Normalization,
            Check = weights.Check(shapes),
        };
    }

    /// <summary>The presets that weights can belong to: same shapes, and the same data set where that is known.</summary>
    internal static IEnumerable<Preset> NamesOf(BackboneWeights weights)
    {
        PretrainingData? data = weights.Normalization switch
        {
            { IsGuess: true } => null,
            { Values: var values } when values.Equals(Images.Normalization.Sat) || values.Equals(Images.Normalization.Chmv2) => PretrainingData.Sat493M,
            { Values: var values } when values.Equals(Images.Normalization.Lvd) => PretrainingData.Lvd1689M,
            _ => null,
        };
        BackboneConfig shape = Shape(weights.Config, weights.Layout);
        return Backbones.Presets.All
            .Where(preset => Shape(preset.Config, weights.Layout) == shape)
            .Where(preset => data is null || preset.Data is null || preset.Data == data);
    }

    // Leaves what the tensors of a layout show. timm files go without the qkv bias that is zero in the published ones.
    private static BackboneConfig Shape(BackboneConfig config, WeightLayout layout) => config switch
    {
        VisionTransformerConfig vit => vit with
        {
            Rotary = new RotaryConfig(),
            NormEpsilon = 0,
            DropPathRate = 0,
            LayerScale = vit.LayerScale is null ? null : 1,
            QkvBias = layout != WeightLayout.Timm && vit.QkvBias,
            MaskKeyBias = layout != WeightLayout.Timm && vit.QkvBias && vit.MaskKeyBias,
            UntieGlobalAndLocalClassNorm = layout == WeightLayout.Official && vit.UntieGlobalAndLocalClassNorm,
        },
        ConvNeXtConfig convNeXt => convNeXt with { DropPathRate = 0, LayerScale = convNeXt.LayerScale > 0 ? 1 : 0, PatchSize = null },
        _ => config,
    };
}
