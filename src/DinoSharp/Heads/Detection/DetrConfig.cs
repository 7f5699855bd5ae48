namespace DinoSharp.Heads.Detection;

/// <summary>Position embedding of the cells of the feature map.</summary>
public enum DetrPositions
{
    /// <summary>Sines, each image scaled to 2π (the published detector).</summary>
    Sine,

    /// <summary>Sines, one cell is 2π.</summary>
    SineUnnormalized,

    /// <summary>Two learned tables of 50 rows and 50 columns.</summary>
    Learned,
}

/// <summary>How the distance between a box edge and a cell enters the relative position bias.</summary>
public enum BoxDistance
{
    /// <summary>Pixels (the published detector).</summary>
    Linear,

    /// <summary>sign(Δ)·log₂(|Δ| + 1) / 3, Δ in pixels.</summary>
    Log,
}

/// <summary>Shape and options of the plain DETR detector (Lin et al. 2023). The defaults are the published COCO model on the 7B backbone.</summary>
public sealed record DetrConfig
{
    /// <summary>Width of the backbone's tokens.</summary>
    public int BackboneWidth { get; init; } = 4096;

    /// <summary>Backbone layers whose features are concatenated.</summary>
    public IReadOnlyList<int> Layers { get; init; } = [9, 19, 29, 39];

    /// <summary>The image is cut into this many windows per side, and also seen whole in the size of one; 0: it is seen once, as it is.</summary>
    public int WindowsPerSide { get; init; } = 3;

    /// <summary>A norm of its own for each backbone layer.</summary>
    public bool LayerNorms { get; init; }

    /// <summary>Position embedding.</summary>
    public DetrPositions Positions { get; init; } = DetrPositions.Sine;

    /// <summary>Width D of the transformer.</summary>
    public int Width { get; init; } = 768;

    /// <summary>Attention heads.</summary>
    public int Heads { get; init; } = 8;

    /// <summary>Encoder layers; 0: none. Their feed-forward width is always 2048.</summary>
    public int EncoderLayers { get; init; } = 6;

    /// <summary>Decoder layers.</summary>
    public int DecoderLayers { get; init; } = 6;

    /// <summary>Hidden width of the decoder's feed-forward networks.</summary>
    public int FeedForwardWidth { get; init; } = 2048;

    /// <summary>Decoder with norms before its parts and one final norm; otherwise norms after them.</summary>
    public bool PreNorm { get; init; } = true;

    /// <summary>Queries Q that answer at inference.</summary>
    public int Queries { get; init; } = 1500;

    /// <summary>Further queries that only training uses; the file holds their embeddings.</summary>
    public int TrainingQueries { get; init; } = 1500;

    /// <summary>Queries have a learned content; otherwise it is made from their box.</summary>
    public bool MixedSelection { get; init; } = true;

    /// <summary>Classes. COCO category ids run from 0 to 90.</summary>
    public int Classes { get; init; } = 91;

    /// <summary>Strides in pixels of the maps that propose boxes; one stride: the map as it is.</summary>
    public IReadOnlyList<int> ProposalStrides { get; init; } = [8, 16, 32, 64];

    /// <summary>Side in pixels of the boxes proposed by the finest map; each coarser one doubles it.</summary>
    public int ProposalSizePixels { get; init; } = 50;

    /// <summary>Boxes in absolute pixels, refined by shift and scale; otherwise normalised and refined in logit space.</summary>
    public bool PixelBoxes { get; init; } = true;

    /// <summary>Hidden width of the relative position bias; 0: none, the boxes do not enter the attention to the cells.</summary>
    public int BiasWidth { get; init; } = 512;

    /// <summary>Distances in the relative position bias.</summary>
    public BoxDistance BiasDistance { get; init; } = BoxDistance.Linear;

    /// <summary>Stride of the feature map: the patch size.</summary>
    internal const int Stride = 16;

    internal int InputChannels => BackboneWidth * Layers.Count * (WindowsPerSide > 0 ? 2 : 1);

    internal void Validate()
    {
        if (Width % Heads != 0 || Width % 32 != 0) throw new ArgumentException($"Width {Width} must be a multiple of 32 and of the {Heads} heads");
        if (WindowsPerSide < 0) throw new ArgumentException($"WindowsPerSide must not be negative, found {WindowsPerSide}");
        if (BiasWidth == 0 && PixelBoxes) throw new ArgumentException("a decoder without relative position bias refines in logit space; it needs PixelBoxes = false");
        if (Layers.Count == 0 || ProposalStrides.Count == 0 || DecoderLayers < 1 || Queries < 1 || Classes < 1) throw new ArgumentException("a detector needs backbone layers, proposal strides, decoder layers, queries and classes");
        if (ProposalStrides.Any(s => s < 1 || (s & (s - 1)) != 0)) throw new ArgumentException($"proposal strides must be powers of two, found {string.Join(", ", ProposalStrides)}");
    }
}
