using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Images;

namespace DinoSharp.Training.Fitting;

/// <summary>What turns patch features into an answer for each pixel.</summary>
public enum DenseDecoder
{
    /// <summary>Batch norm and one linear layer at each patch: quick, and a fair measure of the features.</summary>
    Linear,

    /// <summary>A small dense prediction transformer decoder on four layers: better and with sharper edges, several times slower to fit.</summary>
    Dpt,
}

/// <summary>How to fit a head that answers for each pixel.</summary>
public sealed record DenseFitOptions
{
    /// <summary>What is trained.</summary>
    public DenseDecoder Decoder { get; init; } = DenseDecoder.Linear;

    /// <summary>Layers that are read; null: the last with <see cref="DenseDecoder.Linear"/>, four spread over the network with <see cref="DenseDecoder.Dpt"/>, which needs four.</summary>
    public LayerSelection? Layers { get; init; }

    /// <summary>Length of the shorter side at which the network sees a picture.</summary>
    public int ImageSizePixels { get; init; } = 512;

    /// <summary>Steps of the optimizer.</summary>
    public int Steps { get; init; } = 600;

    /// <summary>Pictures in a step.</summary>
    public int BatchSize { get; init; } = 8;

    /// <summary>Largest learning rate of AdamW, reached after a twentieth of the steps and then lowered to nothing along a cosine.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>Decoupled weight decay.</summary>
    public double WeightDecay { get; init; } = 1e-3;

    /// <summary>Whether each training picture is learnt in a mirror as well. Not for scenes in which left and right differ, such as text or traffic that keeps to one side.</summary>
    public bool Flip { get; init; }

    /// <summary>Share of the pictures that is held out where no validation pictures are given.</summary>
    public double HeldOutShare { get; init; } = 0.2;

    /// <summary>Of every random choice.</summary>
    public int Seed { get; init; }

    /// <summary>Where features are kept; null: the usual folder.</summary>
    public string? CacheFolder { get; init; }

    internal HeadInput InputOf(DinoModel model)
    {
        int count = model.Backbone.Config.LayerCount;
        if (Decoder == DenseDecoder.Dpt && Layers is null && count < 4) throw new DinoSharpException($"{model.Name} has {count} layers, the DPT decoder reads four; take the linear decoder");
        LayerSelection layers = Layers ?? (Decoder == DenseDecoder.Dpt ? HeadLayers.FourEvenIntervals(count) : LayerSelection.Final);
        int[] resolved = layers.Resolve(count);
        if (Decoder == DenseDecoder.Dpt && resolved.Length != 4) throw new DinoSharpException($"the DPT decoder reads four layers, not {resolved.Length}; name four, or take the linear decoder");
        if (Steps < 1 || BatchSize < 1) throw new DinoSharpException($"a fit needs a step and a picture in it at least, found {Steps} steps of {BatchSize} pictures");
        return new HeadInput
        {
            Layers = resolved,
            Preprocessing = new Preprocessing { Size = SizePolicy.ShorterSide(ImageSizePixels), PatchSizePixels = 1, Normalization = model.Preprocessing.Normalization },
            Fit = ImageFit.CenterPadding,
            MultiplePixels = model.Backbone.Config.PatchSizePixels,
        };
    }
}
