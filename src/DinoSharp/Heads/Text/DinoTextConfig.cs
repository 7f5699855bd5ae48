namespace DinoSharp.Heads.Text;

/// <summary>How patch tokens become one vector.</summary>
public enum PatchPooling
{
    /// <summary>Their mean.</summary>
    Mean,

    /// <summary>The largest value of each channel.</summary>
    Max,
}

/// <summary>Which text token stands for the text.</summary>
public enum TextPooling
{
    /// <summary>The one with the largest id: the end of the text.</summary>
    EndOfText,

    /// <summary>The first.</summary>
    First,

    /// <summary>The last.</summary>
    Last,
}

/// <summary>Shape and options of dino.txt (Jose et al. 2025). The defaults are the published model on the ViT-L backbone.</summary>
public sealed record DinoTextConfig
{
    /// <summary>Width of the common space of images and texts.</summary>
    public int EmbedDim { get; init; } = 2048;

    /// <summary>Width D of the backbone's tokens.</summary>
    public int VisionWidth { get; init; } = 1024;

    /// <summary>Attention heads of the backbone, also used by the blocks on top of either tower.</summary>
    public int VisionHeads { get; init; } = 16;

    /// <summary>Transformer blocks on top of the frozen backbone; 0: none.</summary>
    public int VisionBlocks { get; init; } = 2;

    /// <summary>The image vector contains the class token.</summary>
    public bool UseClassToken { get; init; } = true;

    /// <summary>The image vector contains the pooled patch tokens.</summary>
    public bool UsePatchTokens { get; init; } = true;

    /// <summary>Pooling of the patch tokens.</summary>
    public PatchPooling PatchPooling { get; init; } = PatchPooling.Mean;

    /// <summary>Patch and register tokens come from this layer, counted from the end: 1 is the last. The class token is always that of the last.</summary>
    public int PatchTokenLayer { get; init; } = 1;

    /// <summary>A linear projection of the image tokens even where their width fits.</summary>
    public bool VisionProjection { get; init; }

    /// <summary>Longest text in tokens.</summary>
    public int ContextLength { get; init; } = 77;

    /// <summary>Tokens of the vocabulary.</summary>
    public int VocabularySize { get; init; } = 49408;

    /// <summary>Width of the text tower.</summary>
    public int TextWidth { get; init; } = 1280;

    /// <summary>Attention heads of the text tower.</summary>
    public int TextHeads { get; init; } = 20;

    /// <summary>Blocks of the text tower.</summary>
    public int TextLayers { get; init; } = 24;

    /// <summary>Hidden width of its feed-forward networks as a multiple of its width.</summary>
    public double TextFeedForwardRatio { get; init; } = 4;

    /// <summary>A token sees only those before it.</summary>
    public bool TextCausal { get; init; } = true;

    /// <summary>Learned scales on the branches of the text blocks.</summary>
    public bool TextLayerScale { get; init; }

    /// <summary>Further blocks after the text tower.</summary>
    public int TextHeadBlocks { get; init; }

    /// <summary>In those, a token sees only those before it.</summary>
    public bool TextHeadCausal { get; init; } = true;

    /// <summary>Which token stands for the text.</summary>
    public TextPooling TextPooling { get; init; } = TextPooling.EndOfText;

    /// <summary>A linear projection of the text even where its width fits.</summary>
    public bool TextProjection { get; init; } = true;

    internal int VisionOutputWidth => UseClassToken && UsePatchTokens ? EmbedDim / 2 : EmbedDim;

    internal void Validate()
    {
        if (!UseClassToken && !UsePatchTokens) throw new ArgumentException("the image vector needs the class token, the patch tokens or both");
        if (TextWidth % TextHeads != 0 || VisionWidth % VisionHeads != 0) throw new ArgumentException($"widths {TextWidth} and {VisionWidth} must be multiples of their heads, {TextHeads} and {VisionHeads}");
        if (TextHeadBlocks > 0 && TextWidth % VisionHeads != 0) throw new ArgumentException($"the blocks on the text tower use {VisionHeads} heads, which must divide its width {TextWidth}");
        if (PatchTokenLayer < 1) throw new ArgumentException($"PatchTokenLayer counts from the end, 1 is the last layer; found {PatchTokenLayer}");
    }
}
