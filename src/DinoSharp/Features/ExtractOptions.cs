using DinoSharp.Backbones;

namespace DinoSharp.Features;

/// <summary>Which features of a picture are wanted, and at what size the network sees it.</summary>
public sealed record ExtractOptions
{
    /// <summary>
    /// Height of the network's input in pixels; the width follows from the picture's aspect, both in whole patches. Null: the picture's own size,
    /// without the rim that fills no patch.
    /// </summary>
    public int? ImageSizePixels { get; init; } = 768;

    /// <summary>Resize to a square of that side instead, whatever the aspect, exactly as <see cref="DinoModel.Embed(Images.ImageSource, EmbedOptions?, CancellationToken)"/> does.</summary>
    public bool Square { get; init; }

    /// <summary>The layers to take features from: blocks of a ViT, stages of a ConvNeXt.</summary>
    public LayerSelection Layers { get; init; } = LayerSelection.Final;

    /// <summary>Whether the final norm is applied to each layer.</summary>
    public bool Normalize { get; init; } = true;
}
