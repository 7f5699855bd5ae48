namespace DinoSharp.Features.Propagation;

/// <summary>Shape of the area around a patch in which its counterpart is looked for.</summary>
public enum NeighborhoodShape
{
    /// <summary>Patches within a straight distance.</summary>
    Circle,

    /// <summary>Patches within a number of rows and of columns.</summary>
    Square,
}

/// <summary>How patch probabilities become a mask of pixels.</summary>
public enum MaskUpsampling
{
    /// <summary>Nearest patch, each object stretched to 0 … 1 over the frame first; as the original example does.</summary>
    NearestStretched,

    /// <summary>Bilinear between patch centres; as the paper does.</summary>
    Bilinear,
}

/// <summary>How the sides of the network's input become whole patches.</summary>
public enum FrameRounding
{
    /// <summary>Up; as the original example does.</summary>
    Up,

    /// <summary>To the nearest; as the paper does.</summary>
    Nearest,
}

/// <summary>How masks are carried from frame to frame. The defaults are the published ones (paper appendix D.5).</summary>
public sealed record PropagationOptions
{
    /// <summary>Number of recent frames that vote, besides the first one, which always does.</summary>
    public int ContextLength { get; init; } = 7;

    /// <summary>Radius of the neighbourhood in patches; null: no limit.</summary>
    public double? Radius { get; init; } = 12;

    /// <summary>Shape of the neighbourhood.</summary>
    public NeighborhoodShape Shape { get; init; }

    /// <summary>How many of the most similar patches vote; of equals at the limit all do.</summary>
    public int TopK { get; init; } = 5;

    /// <summary>Temperature of the softmax over similarities.</summary>
    public double Temperature { get; init; } = 0.2;

    /// <summary>How patch probabilities become pixels.</summary>
    public MaskUpsampling Upsampling { get; init; }

    /// <summary>How the sides of the network's input become whole patches.</summary>
    public FrameRounding Rounding { get; init; }

    /// <summary>The paper's evaluation: sides to the nearest patch, probabilities enlarged bilinearly. The defaults are the original example's.</summary>
    public static PropagationOptions Paper { get; } = new() { Upsampling = MaskUpsampling.Bilinear, Rounding = FrameRounding.Nearest };

    internal void Validate()
    {
        if (ContextLength < 0) throw new DinoSharpException($"the number of context frames must be 0 or more, found {ContextLength}");
        if (Radius is double radius && !(radius >= 0)) throw new DinoSharpException($"the radius of the neighbourhood must be 0 or more, found {radius}");
        if (TopK < 1) throw new DinoSharpException($"at least one patch must vote, found {TopK}");
        if (!(Temperature > 0)) throw new DinoSharpException($"the temperature must be above 0, found {Temperature}");
    }
}
