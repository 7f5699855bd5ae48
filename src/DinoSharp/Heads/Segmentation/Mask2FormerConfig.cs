namespace DinoSharp.Heads.Segmentation;

/// <summary>Shape of the Mask2Former segmentor with its ViT adapter. The defaults are the published ADE20K model on the 7B backbone.</summary>
public sealed record Mask2FormerConfig
{
    /// <summary>Width of the backbone's tokens.</summary>
    public int BackboneWidth { get; init; } = 4096;

    /// <summary>Channels of the adapter's convolution stem.</summary>
    public int StemChannels { get; init; } = 64;

    /// <summary>Heads of the adapter's deformable attention.</summary>
    public int AdapterHeads { get; init; } = 16;

    /// <summary>Points that a query of the adapter looks at, per head.</summary>
    public int AdapterPoints { get; init; } = 4;

    /// <summary>Hidden width of the adapter's feed-forward networks as a part of the backbone width.</summary>
    public double AdapterFeedForwardRatio { get; init; } = 0.25;

    /// <summary>Width of the adapter's attention values as a part of the backbone width.</summary>
    public double AdapterValueRatio { get; init; } = 0.5;

    /// <summary>Width of the pixel decoder and of the queries.</summary>
    public int Width { get; init; } = 2048;

    /// <summary>Width of the mask embeddings.</summary>
    public int MaskWidth { get; init; } = 2048;

    /// <summary>Attention heads of the mask decoder.</summary>
    public int Heads { get; init; } = 16;

    /// <summary>Attention heads of the pixel decoder.</summary>
    public int PixelHeads { get; init; } = 16;

    /// <summary>Hidden width of the mask decoder's feed-forward networks.</summary>
    public int FeedForwardWidth { get; init; } = 4096;

    /// <summary>Hidden width of the pixel decoder's feed-forward networks.</summary>
    public int PixelFeedForwardWidth { get; init; } = 4096;

    /// <summary>Layers of the pixel decoder.</summary>
    public int EncoderLayers { get; init; } = 6;

    /// <summary>Layers of the mask decoder.</summary>
    public int DecoderLayers { get; init; } = 9;

    /// <summary>Mask queries Q.</summary>
    public int Queries { get; init; } = 100;

    /// <summary>Classes; one more score means "no object".</summary>
    public int Classes { get; init; } = 150;

    internal void Validate()
    {
        if (BackboneWidth % AdapterHeads != 0 || (int)(BackboneWidth * AdapterValueRatio) % AdapterHeads != 0) throw new ArgumentException($"the adapter's {AdapterHeads} heads must divide the backbone width {BackboneWidth} and its part {AdapterValueRatio}");
        if (Width % Heads != 0 || Width % PixelHeads != 0 || Width % 32 != 0) throw new ArgumentException($"Width {Width} must be a multiple of 32, of the {Heads} heads and of the {PixelHeads} of the pixel decoder");
        if (Math.Min(Math.Min(EncoderLayers, DecoderLayers), Math.Min(Queries, Classes)) < 1) throw new ArgumentException("layers, queries and classes must be positive");
    }
}
