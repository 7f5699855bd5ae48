namespace DinoSharp.Weights;

/// <summary>Which project's names and shapes a file of backbone weights uses.</summary>
public enum WeightLayout
{
    /// <summary>The official names, which are also those of this library's modules.</summary>
    Official,

    /// <summary>Hugging Face transformers: query, key and value apart, positions recomputed.</summary>
    HuggingFace,

    /// <summary>PyTorch image models (timm).</summary>
    Timm,
}

/// <summary>The two kinds of backbones.</summary>
internal enum BackboneFamily
{
    VisionTransformer,
    ConvNeXt,
}
