using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Text;

/// <summary>dino.txt: pictures and texts in one space, so that a text can be a class (published for the ViT-L backbone; Jose et al. 2025).</summary>
/// <remarks>Safe for use from several threads. The model it was loaded on must live as long.</remarks>
public sealed class DinoText : IDisposable
{
    private const int TextBatch = 64;
    private readonly DinoTextConfig _config;

    internal DinoText(Backbone backbone, DinoTextHead network, DinoTextConfig config, Normalization? normalization = null, int? imageSizePixels = null)
    {
        (Backbone, Network, _config) = (backbone, network, config);
        int layers = backbone.Config.LayerCount;
        Normalization norm = normalization ?? Normalization.Lvd;
        Layers = [.. network.Vision.Layers.Resolve(layers)];
        Preprocessing classification = Preprocessing.Evaluation with { Normalization = norm };
        if (imageSizePixels is { } size)
        {
            int patch = backbone.Config.PatchSizePixels;
            if (size < patch || size % patch != 0) throw new DinoSharpException($"pictures of {size} pixels do not fit patches of {patch} pixels; take a multiple such as {Math.Max(1, size / patch) * patch}");
            classification = classification with { Size = SizePolicy.ShorterSide(size), CenterCropPixels = size };
        }

        ClassificationInput = new HeadInput { Layers = Layers, Preprocessing = classification };
        SegmentationInput = new HeadInput
        {
            Layers = Layers,
            Preprocessing = new Preprocessing { Size = SizePolicy.ShorterSide(512), Interpolation = Interpolation.Bicubic, Order = ResizeOrder.PillowThenScale, PatchSizePixels = 1, Normalization = norm },
            Fit = ImageFit.BicubicStretch,
            Windows = new HeadWindows(384, 192),
        };
    }

    /// <summary>Width E of the common space.</summary>
    public int EmbedDim => _config.EmbedDim;

    internal Backbone Backbone { get; }

    internal DinoTextHead Network { get; }

    internal IReadOnlyList<int> Layers { get; }

    internal HeadInput ClassificationInput { get; }

    internal HeadInput SegmentationInput { get; }

    /// <summary>The vector of a text, of unit length: a dot product with the vector of a picture is their cosine similarity.</summary>
    /// <param name="text">Any text; only the first 75 tokens count.</param>
    /// <returns>E numbers; the first half is comparable with class tokens, the second with patches</returns>
    public float[] EncodeText(string text) => EncodeTexts([text])[0];

    /// <summary>The vectors of several texts, of unit length, computed in batches.</summary>
    /// <param name="texts">Any texts.</param>
    /// <param name="cancel">Checked before each batch.</param>
    public float[][] EncodeTexts(IReadOnlyList<string> texts, CancellationToken cancel = default)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor vectors = Encode(texts, cancel).cpu().contiguous(); // [n, E]
        return [.. vectors.data<float>().ToArray().Chunk(EmbedDim)];
    }

    /// <summary>The vector of a picture, of unit length.</summary>
    /// <param name="image">A path; or <see cref="ImageSource.FromBytes"/>, <see cref="ImageSource.FromStream"/>.</param>
    /// <param name="cancel">Checked before the pass of the backbone.</param>
    /// <exception cref="ImageException">The picture cannot be read.</exception>
    public float[] EncodeImage(ImageSource image, CancellationToken cancel = default) => EncodeImage(ImageFile.Read(image), cancel);

    /// <summary>The vector of a decoded picture, of unit length.</summary>
    /// <param name="image">Any picture; it is converted to 8-bit RGB.</param>
    /// <param name="cancel">Checked before the pass of the backbone.</param>
    public float[] EncodeImage(ImageBuffer image, CancellationToken cancel = default)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using ImageTensor prepared = Head.Prepare(image, ClassificationInput.Preprocessing);
        cancel.ThrowIfCancellationRequested();
        HeadFeatures features = HeadFeatures.Compute(Backbone, prepared.Tensor.unsqueeze(0), ClassificationInput, Layers);
        Tensor vector = DinoTextHead.Unit(Network.Vision.Forward(features.Layers).Embedding).cpu().contiguous(); // [1, E]
        return [.. vector.data<float>()];
    }

    /// <summary>A classifier whose classes are texts.</summary>
    /// <param name="classes">Names of the classes, such as "tabby cat".</param>
    /// <param name="templates">Sentences around the names; null: <see cref="PromptTemplates.Default"/>.</param>
    /// <param name="cancel">Checked before each batch of texts.</param>
    /// <returns>The caller disposes it; this object must live as long.</returns>
    public ZeroShotClassifier CreateClassifier(ClassNames classes, PromptTemplates? templates = null, CancellationToken cancel = default) =>
        new(this, classes, DescribeClasses(classes, templates ?? PromptTemplates.Default, patchesOnly: false, cancel));

    /// <summary>A segmentor whose classes are texts.</summary>
    /// <param name="classes">Names of the classes, such as "sky".</param>
    /// <param name="templates">Sentences around the names; null: <see cref="PromptTemplates.Default"/>.</param>
    /// <param name="tokens">Which patch tokens are compared with the texts.</param>
    /// <param name="cancel">Checked before each batch of texts.</param>
    /// <returns>The caller disposes it; this object must live as long.</returns>
    public OpenVocabularySegmentor CreateSegmentor(ClassNames classes, PromptTemplates? templates = null, TextPatchTokens tokens = TextPatchTokens.Head, CancellationToken cancel = default) =>
        new(this, classes, DescribeClasses(classes, templates ?? PromptTemplates.Default, patchesOnly: true, cancel), tokens);

    /// <summary>Frees the text tower and the head.</summary>
    public void Dispose() => Network.Dispose();

    /// <summary>Loads the text tower and the head that belongs to it.</summary>
    /// <param name="model">The loaded backbone (published: dinov3-vitl16); it must live as long.</param>
    /// <param name="path">The official file.</param>
    /// <param name="options">Size of pictures, heads of the text tower; null: as published.</param>
    /// <param name="cancel">Stops the loading.</param>
    /// <exception cref="DinoSharpException">The file holds something else, or belongs to a backbone of another width.</exception>
    public static DinoText Load(DinoModel model, string path, DinoTextOptions? options = null, CancellationToken cancel = default) => Load(model.Backbone, path, options, model.Preprocessing.Normalization, cancel);

    /// <summary>Loads dino.txt on a backbone.</summary>
    internal static DinoText Load(Backbone backbone, string path, DinoTextOptions? options = null, Normalization? normalization = null, CancellationToken cancel = default)
    {
        using HeadWeights weights = HeadWeights.Open(path);
        if (weights.Kind != HeadKind.DinoText) throw new DinoSharpException($"{path}: holds a {weights.Kind} head, not dino.txt");
        if (backbone.Config is not VisionTransformerConfig vit) throw new DinoSharpException($"{path}: dino.txt needs a vision transformer, not a ConvNeXt");
        DinoTextConfig config = InferredConfig.DinoText(weights, vit, options?.TextHeads);
        const string norm = "visual_model.head.ln_final.weight", projection = "visual_model.head.linear_projection.weight";
        int width = weights.Has(norm) ? weights.Axis(norm, 0) : weights.Has(projection) ? weights.Axis(projection, 1) : config.VisionOutputWidth; // without blocks there is no norm
        if (width != vit.Width) throw new DinoSharpException($"{path}: this dino.txt reads features of width {width}, the backbone has {vit.Width}; load the backbone that it was made for (published: dinov3-vitl16)");
        var network = new DinoTextHead(config, backbone.parameters().First().device);
        try
        {
            weights.LoadInto(network, cancel);
            return new DinoText(backbone, network, config, normalization, options?.ImageSizePixels);
        }
        catch
        {
            network.Dispose();
            throw;
        }
    }

    // Unit vectors of all texts, in the current dispose scope. [n, E]
    private Tensor Encode(IReadOnlyList<string> texts, CancellationToken cancel)
    {
        if (texts.Count == 0) throw new ArgumentException("at least one text is needed", nameof(texts));
        var parts = new List<Tensor>();
        foreach (string[] batch in texts.Chunk(TextBatch))
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            Tensor ids = stack([.. batch.Select(t => tensor(ClipTokenizer.Default.Tokenize(t, _config.ContextLength)))]).to(Network.LogitScale.device); // [n, N]
            parts.Add(DinoTextHead.Unit(Network.Text.Forward(ids)).MoveToOuterDisposeScope()); // [n, E]
        }

        return cat(parts, 0);
    }

    /// <summary>A vector of unit length for each text: the mean of the unit vectors of its sentences, of unit length again. The caller owns it. [n, E]</summary>
    internal Tensor DescribeTexts(IReadOnlyList<string> texts, PromptTemplates templates, CancellationToken cancel)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor vectors = Encode([.. texts.SelectMany(templates.Fill)], cancel).view(texts.Count, templates.Templates.Count, EmbedDim); // [n, templates, E]
        return DinoTextHead.Unit(vectors.mean([1])).MoveToOuterDisposeScope(); // [n, E]
    }

    // For patches only the second half of the vectors counts, before the first normalisation.
    private Tensor DescribeClasses(ClassNames classes, PromptTemplates templates, bool patchesOnly, CancellationToken cancel)
    {
        if (classes.Count == 0) throw new ArgumentException("at least one class is needed", nameof(classes));
        if (patchesOnly && !(_config.UseClassToken && _config.UsePatchTokens)) throw new DinoSharpException("this dino.txt has no part of its text vectors that belongs to patches");
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        if (!patchesOnly) return DescribeTexts([.. classes], templates, cancel).DetachFromDisposeScope(); // [classes, E]
        Tensor vectors = Encode([.. classes.SelectMany(templates.Fill)], cancel).view(classes.Count, templates.Templates.Count, EmbedDim); // [classes, templates, E]
        vectors = DinoTextHead.Unit(vectors.narrow(2, EmbedDim / 2, EmbedDim / 2)); // [classes, templates, E/2]
        return DinoTextHead.Unit(vectors.mean([1])).DetachFromDisposeScope(); // [classes, E/2]
    }
}
