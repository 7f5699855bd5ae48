using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Classification;

/// <summary>One class for a picture: the published linear classifier of the 7B model (ImageNet-1k), or one of your own, linear or of nearest neighbours.</summary>
public sealed class ImageClassifier : Head<Classification>
{
    private readonly bool _meanPatch;

    internal ImageClassifier(Backbone backbone, HeadInput input, Linear network, ClassNames classes, bool meanPatch = true)
        : base(backbone, input, network, classes) => (Kind, _meanPatch) = (HeadKind.LinearClassifier, meanPatch);

    internal ImageClassifier(Backbone backbone, HeadInput input, NeighborHead network, ClassNames classes, bool meanPatch)
        : base(backbone, input, network, classes) => (Kind, _meanPatch) = (HeadKind.NearestNeighbors, meanPatch);

    /// <summary>Loads a classifier from its file, official or our own.</summary>
    /// <param name="model">The loaded backbone; it must live as long as the head.</param>
    /// <param name="path">A file or folder of head weights.</param>
    /// <param name="options">Class names or input in place of those of the file; null: none.</param>
    /// <param name="cancel">Stops the loading.</param>
    /// <exception cref="DinoSharpException">The head belongs to another backbone (named in the message), or the file holds something else.</exception>
    public static new ImageClassifier Load(DinoModel model, string path, HeadOptions? options = null, CancellationToken cancel = default) => Load<ImageClassifier>(model, path, options, cancel);

    /// <inheritdoc/>
    public override HeadKind Kind { get; }

    /// <summary>Cosine similarity to the nearest enrolled picture below which a picture is unknown; null: it always has a class.</summary>
    public double? UnknownBelow => (Network as NeighborHead)?.Rule.UnknownBelow;

    /// <summary>Input of the published classifier: shorter side 256, centre 224, as in the official evaluation.</summary>
    internal static HeadInput PublishedInput(int layerCount) => new() { Layers = [layerCount - 1], Preprocessing = Preprocessing.Evaluation };

    /// <inheritdoc/>
    public override Classification Predict(ImageBuffer image, CancellationToken cancel = default) => Predict(image, flip: false, cancel);

    /// <summary>The answer for a decoded picture, with test-time augmentation.</summary>
    /// <param name="image">Any picture; it is converted to 8-bit RGB.</param>
    /// <param name="flip">Also look at the mirrored picture and average the probabilities.</param>
    /// <param name="cancel">Checked before the pass of the backbone.</param>
    public Classification Predict(ImageBuffer image, bool flip, CancellationToken cancel = default)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using ImageTensor prepared = Prepare(image, Input.Preprocessing);
        cancel.ThrowIfCancellationRequested();
        Tensor pixels = prepared.Tensor.unsqueeze(0); // [1, C, H, W]
        if (flip) pixels = cat([pixels, pixels.flip(3)], 0); // [2, C, H, W]
        return Answer(HeadFeatures.Compute(Backbone, pixels, Input, Input.Layers), prepared.Geometry);
    }

    internal override HeadDescription Describe(HeadDescription description) => description with { MeanPatch = _meanPatch, Neighbors = (Network as NeighborHead)?.Rule };

    /// <summary>Probabilities of vectors that were gathered before. [B, classes]</summary>
    /// <param name="vectors">Of <see cref="LinearInput"/> [B, D'].</param>
    internal Tensor Scores(Tensor vectors)
    {
        using var scope = NewDisposeScope();
        Tensor scores = Network is NeighborHead neighbors ? neighbors.Vote(vectors).Votes : ((Linear)Network).call(vectors).softmax(-1); // [B, classes]
        return scores.MoveToOuterDisposeScope();
    }

    internal override Classification Answer(HeadFeatures features, ImageGeometry geometry)
    {
        using var scope = NewDisposeScope();
        Tensor vectors = LinearInput.Gather(features.Layers, _meanPatch); // [B, D']
        float[] probabilities = [.. Scores(vectors).mean([0]).cpu().contiguous().data<float>()]; // [classes]
        double? similarity = Network is NeighborHead neighbors ? neighbors.Vote(vectors).Similarity.mean().item<float>() : null;
        return new Classification(probabilities, Classes!) { Similarity = similarity, UnknownBelow = UnknownBelow };
    }
}
