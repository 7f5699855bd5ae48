using DinoSharp.Heads.Segmentation;
using DinoSharp.Layers;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Text;

/// <summary>Patch tokens that are compared with texts.</summary>
public enum TextPatchTokens
{
    /// <summary>Those after the head, whose mean the texts were trained to match.</summary>
    Head,

    /// <summary>Those of the frozen backbone, which the published notebook takes by the name of the others.</summary>
    Backbone,
}

/// <summary>A text for each pixel (published procedure: shorter side 512, windows of 384 every 192 pixels, softmax of the cosine similarities in each; seen whole, the similarities themselves).</summary>
public sealed class OpenVocabularySegmentor : DenseHead<SemanticSegmentation>
{
    private readonly DinoText _text;
    private readonly TextPatchTokens _tokens;

    internal OpenVocabularySegmentor(DinoText text, ClassNames classes, Tensor vectors, TextPatchTokens tokens)
        : base(text.Backbone, text.SegmentationInput, new ClassVectors(vectors), classes.Count <= byte.MaxValue ? classes : throw new DinoSharpException($"label maps hold up to {byte.MaxValue} classes, {classes.Count} were given")) =>
        (_text, _tokens) = (text, tokens);

    /// <inheritdoc/>
    public override HeadKind Kind => HeadKind.DinoText;

    internal override int Channels => Classes!.Count;

    internal override long ScoringBytes(long pixels) => (long)(sizeof(float) * pixels * 12 * GatheredPerPixel); // tokens in the blocks of the head; not measured

    internal override Tensor Score(HeadFeatures features)
    {
        using var scope = NewDisposeScope();
        TextAlignedImage image = _text.Network.Vision.Forward(features.Layers);
        Tensor patches = DinoTextHead.Unit(_tokens == TextPatchTokens.Head ? image.Patches : image.BackbonePatches); // [B, P, E/2]
        Tensor cosine = patches.matmul(((ClassVectors)Network).Values.t()).transpose(1, 2); // [B, classes, P]
        return cosine.reshape(cosine.shape[0], cosine.shape[1], features.Layers[0].GridHeight, features.Layers[0].GridWidth).MoveToOuterDisposeScope(); // [B, classes, h, w]
    }

    internal override HeadDescription Describe(HeadDescription description) =>
        throw new NotSupportedException("an open-vocabulary segmentor is made from texts each time; keep the names of the classes and the prompt templates instead");

    internal override Tensor Activate(Tensor scores, int passes) => scores;

    internal override Tensor ActivateWindow(Tensor scores) => scores.softmax(1);

    internal override SemanticSegmentation Finish(Tensor scores, MapRegion region, int width, int height) => new(LargestScore.Of(scores, region, width, height), Classes!);

    /// <summary>The vectors of the classes, as the network of this head.</summary>
    private sealed class ClassVectors : nn.Module
    {
        private readonly Tensor _values;

        public ClassVectors(Tensor values)
            : base(nameof(ClassVectors))
        {
            _values = values;
            RegisterComponents();
        }

        public Tensor Values => _values;
    }
}
