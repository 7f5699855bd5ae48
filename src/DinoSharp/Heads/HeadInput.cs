using DinoSharp.Backbones;
using DinoSharp.Images;

namespace DinoSharp.Heads;

/// <summary>What a head wants to see: which layers of the backbone, of a picture prepared in which way.</summary>
/// <remarks>Heads whose <see cref="Preprocessing"/>, <see cref="Fit"/> and <see cref="MultiplePixels"/> are equal share one pass of the backbone in a
/// <see cref="MultiTaskModel"/>, whatever layers they read.</remarks>
public sealed record HeadInput
{
    /// <summary>Indices of the backbone's layers, rising; their features carry the final norm.</summary>
    public required IReadOnlyList<int> Layers { get; init; }

    /// <summary>Size and normalisation of the picture.</summary>
    public required Preprocessing Preprocessing { get; init; }

    /// <summary>How a picture that is no multiple of the patch size is made to fit, after normalisation.</summary>
    public ImageFit Fit { get; init; } = ImageFit.Crop;

    /// <summary>Both sides are made multiples of this many pixels: the patch size, or more where the head itself needs more.</summary>
    public int MultiplePixels { get; init; } = 16;

    /// <summary>Dense heads only: how a large picture is cut; null: never.</summary>
    public HeadWindows? Windows { get; init; }

    internal void Validate(Backbone backbone)
    {
        int[] layers = LayerSelection.Create([.. Layers]).Resolve(backbone.Config.LayerCount);
        if (!layers.SequenceEqual(Layers)) throw new ArgumentException($"layers must be given as rising indices from 0, found {string.Join(", ", Layers)}");
        if (Preprocessing.Normalization.Channels != backbone.Config.InputChannels) throw new DinoSharpException($"the head normalises {Preprocessing.Normalization.Channels} channels, the backbone takes {backbone.Config.InputChannels}");
        if (Windows is { } w && (w.StridePixels < 1 || w.StridePixels > w.SizePixels)) throw new ArgumentException($"windows of {w.SizePixels} pixels need a stride from 1 to {w.SizePixels}, found {w.StridePixels}");
    }
}

/// <summary>Overlapping square windows in which a dense head looks at a picture that is larger.</summary>
/// <param name="SizePixels">Side of a window.</param>
/// <param name="StridePixels">From one window to the next, at most <paramref name="SizePixels"/>.</param>
/// <param name="AbovePixels">Windows are used for pictures (after resizing) of more than this many pixels; smaller ones are seen whole.</param>
public sealed record HeadWindows(int SizePixels, int StridePixels, long AbovePixels = 0);
