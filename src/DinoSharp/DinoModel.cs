using DinoSharp.Backbones;
using DinoSharp.Features;
using DinoSharp.Features.HighResolution;
using DinoSharp.Images;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp;

/// <summary>
/// The front door: a backbone with its weights and the preprocessing that belongs to them. Pictures in, features out.
/// </summary>
/// <remarks>
/// <para>Every method may be called from any number of threads at once: the backbone keeps no state between calls, and the numbers do not depend on what other
/// threads do. Disposing while a call is running is not allowed.</para>
/// <para>The same call gives the same bits on the same machine with the same number of threads and the same <see cref="Engine"/>. Our own kernels give a picture the
/// same bits alone and in any batch. Where libtorch computes, which it also does if the memory that is free while loading has no room for packed weights, a picture
/// in a batch and alone differ in the last bits, as matrix products of other sizes are summed in another order: up to about 1e-5 of the largest number of the vector.</para>
/// </remarks>
public sealed class DinoModel : IDisposable
{
    private readonly Device _device;

    private DinoModel(string name, ModelLoader.Loaded loaded, Device? device) =>
        (Name, Backbone, Preprocessing, Route, Fingerprint, _device) = (name, loaded.Backbone, loaded.Preprocessing, loaded.Route, loaded.Fingerprint, device ?? CPU);

    /// <summary>What was asked for: the path, the name of published weights, or <c>random:…</c>.</summary>
    public string Name { get; }

    /// <summary>The network.</summary>
    public Backbone Backbone { get; }

    /// <summary>What makes a picture the network's input when an embedding is computed; the normalisation belongs to the weights.</summary>
    public Preprocessing Preprocessing { get; }

    /// <summary>What computes: the instruction set of our own kernels, or libtorch, and why.</summary>
    public string Engine => Route.Description;

    /// <summary>The precision in use; where <see cref="ComputeType.Auto"/> was asked for, what was chosen.</summary>
    public ComputeType Compute => Route.Compute;

    private InferenceRoute Route { get; }

    /// <summary>What the process held before the first picture, when there were no buffers of earlier ones: what every estimate starts from.</summary>
    internal long ResidentBytes { get; } = Environment.WorkingSet;

    /// <summary>Tells weights apart by their content, wherever the file lies.</summary>
    internal string Fingerprint { get; }

    /// <summary>Loads a model.</summary>
    /// <param name="model">
    /// <c>dino-tiny</c>, the small model that comes along (the default); a file (<c>.safetensors</c>, <c>.pth</c>) or folder of weights in the official, Hugging Face or timm layout; the name of published weights such as
    /// <c>dinov3-vits16</c>, looked up in <c>DINOSHARP_CACHE</c> and the caches of Hugging Face and torch.hub; or <c>random:vits16</c>, with <c>:SEED</c> behind it if
    /// wanted, for untrained weights that are the same on every call; or <c>baseline:hog</c> or <c>baseline:pixels</c>, patches described without any learning, to compare with.
    /// </param>
    /// <param name="options">Device and so on; null for the defaults.</param>
    /// <param name="cancel">Stops the loading.</param>
    /// <remarks>The file may stay open until the model is disposed: parameters that no picture needs are read when <see cref="Backbone"/> is asked for them. Replace it by renaming another
    /// onto it; what was written into it is refused then.</remarks>
    /// <exception cref="DinoSharpException">No such weights (the message says how to get them), or a file that does not hold exactly what the network needs.</exception>
    public static DinoModel Load(string model = Presets.DefaultModel, DinoModelOptions? options = null, CancellationToken cancel = default) =>
        new(model, ModelLoader.Load(model, options ?? new DinoModelOptions(), cancel), options?.Device);

    /// <summary>One vector for a picture.</summary>
    /// <param name="image">A path; or <see cref="ImageSource.FromBytes"/>, <see cref="ImageSource.FromStream"/>.</param>
    /// <param name="options">Pooling, size and length; null: the class token, of unit length.</param>
    /// <param name="cancel">Checked before decoding and before computing.</param>
    /// <returns>D numbers, or 2·D for <see cref="Pooling.ClassTokenAndPatchMean"/>; by default of unit length, so that a dot product is the cosine similarity.</returns>
    /// <exception cref="ImageException">The picture cannot be read.</exception>
    public float[] Embed(ImageSource image, EmbedOptions? options = null, CancellationToken cancel = default) => Embed(Read(image, cancel), options, cancel);

    /// <summary>One vector for a decoded picture.</summary>
    /// <param name="image">Any picture; it is converted to 8-bit RGB.</param>
    /// <param name="options">Pooling, size and length; null: the class token, of unit length.</param>
    /// <param name="cancel">Checked before computing.</param>
    /// <returns>As for a file.</returns>
    public float[] Embed(ImageBuffer image, EmbedOptions? options = null, CancellationToken cancel = default)
    {
        options ??= new EmbedOptions();
        using ImageTensor input = VectorPreprocessing(options).Apply(image);
        cancel.ThrowIfCancellationRequested();
        return Embed([input], options)[0];
    }

    /// <summary>One vector for a picture that is the network's input already.</summary>
    /// <param name="input">From <see cref="Preprocessing"/> or prepared elsewhere; stays the caller's.</param>
    /// <param name="options">Pooling and length; its size is of no account. Null: the class token, of unit length.</param>
    /// <returns>As for a file.</returns>
    /// <exception cref="DinoSharpException">It was normalised for other weights.</exception>
    public float[] Embed(ImageTensor input, EmbedOptions? options = null) => Embed([RequireOwnNormalization(input)], options ?? new EmbedOptions())[0];

    /// <summary>One vector for each of many pictures, computed in batches; the next batch is decoded meanwhile. Lazy: pictures are read as the results are taken.</summary>
    /// <param name="images">Paths, or other sources, of any number.</param>
    /// <param name="options">Pooling, size, length and batch size; null: the class token, of unit length.</param>
    /// <param name="cancel">Checked between batches.</param>
    /// <returns>In the order given. A picture that cannot be read has an error in place of the vector, and the rest goes on.</returns>
    /// <exception cref="DinoSharpException">The size does not fit the network.</exception>
    public IEnumerable<ImageEmbedding> Embed(IEnumerable<ImageSource> images, EmbedOptions? options = null, CancellationToken cancel = default)
    {
        options ??= new EmbedOptions();
        return EmbedBatches(images.Chunk(options.BatchSize), options, cancel).SelectMany(batch => batch);
    }

    /// <summary>Class token, registers and patch maps of chosen layers.</summary>
    /// <param name="image">A path; or <see cref="ImageSource.FromBytes"/>, <see cref="ImageSource.FromStream"/>.</param>
    /// <param name="options">Layers and size; null: the last layer at a height of 768 pixels.</param>
    /// <param name="cancel">Checked before decoding and before computing.</param>
    /// <returns>The features; dispose them.</returns>
    /// <exception cref="ImageException">The picture cannot be read.</exception>
    /// <exception cref="DinoSharpException">There is no such layer, the size does not fit the network, or the weights give numbers that are not finite.</exception>
    public ImageFeatures Extract(ImageSource image, ExtractOptions? options = null, CancellationToken cancel = default) => Extract(Read(image, cancel), options, cancel);

    /// <summary>Class token, registers and patch maps of chosen layers of a decoded picture.</summary>
    /// <param name="image">Any picture; it is converted to 8-bit RGB.</param>
    /// <param name="options">Layers and size; null: the last layer at a height of 768 pixels.</param>
    /// <param name="cancel">Checked before computing.</param>
    /// <returns>The features; dispose them.</returns>
    /// <exception cref="DinoSharpException">There is no such layer, the size does not fit the network, or the weights give numbers that are not finite.</exception>
    public ImageFeatures Extract(ImageBuffer image, ExtractOptions? options = null, CancellationToken cancel = default)
    {
        options ??= new ExtractOptions();
        PlanFor(image.Info.Name, image.Width, image.Height, options); // what cannot work is told before anything is computed
        using ImageTensor input = DensePreprocessing(image.Width, image.Height, options).Apply(image);
        cancel.ThrowIfCancellationRequested();
        return Extract(input, options, cancel);
    }

    /// <summary>Class token, registers and patch maps of chosen layers of a picture that is the network's input already.</summary>
    /// <param name="input">From <see cref="Preprocessing"/> or prepared elsewhere; stays the caller's.</param>
    /// <param name="options">Layers and tiles; its size is of no account. Null: the last layer.</param>
    /// <param name="cancel">Checked before each tile.</param>
    /// <returns>The features; dispose them.</returns>
    /// <exception cref="DinoSharpException">There is no such layer, the size does not fit the network or the memory, or it was normalised for other weights.</exception>
    public ImageFeatures Extract(ImageTensor input, ExtractOptions? options = null, CancellationToken cancel = default)
    {
        options ??= new ExtractOptions();
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor pixels = Batch([RequireOwnNormalization(input)]); // [1, C, H, W]
        ExtractionPlanner.Plan(Backbone, ResidentBytes + options.ReservedBytes, imageSamples: (long)input.Geometry.OriginalWidth * input.Geometry.OriginalHeight * 3, (int)pixels.shape[2], (int)pixels.shape[3], options, out TileGrid? grid);
        LayerFeatures[] layers = grid is null
            ? Backbone.GetLayers(pixels, options.Layers, options.Normalize)
            : TiledExtraction.Run(tile => Backbone.GetLayers(tile, options.Layers, options.Normalize), pixels, grid, Backbone.Config.LayerStride, cancel);
        foreach (LayerFeatures layer in layers) RequireFinite(layer.ClassToken, layer.Registers, layer.Patches);
        foreach (LayerFeatures layer in layers) layer.MoveToOuterDisposeScope();
        return new ImageFeatures(input.Name, layers, Backbone.Config.LayerCount, (int)pixels.shape[2], (int)pixels.shape[3], PatchGeometry.Of(input.Geometry));
    }

    /// <summary>How <see cref="Extract(ImageBuffer, ExtractOptions?, CancellationToken)"/> will compute a picture, and how much memory the process will hold at its peak.</summary>
    /// <param name="imageWidth">Width of the upright picture in pixels.</param>
    /// <param name="imageHeight">Height of the upright picture in pixels.</param>
    /// <param name="options">Layers, size, tiles and ceiling; null: the last layer at a height of 768 pixels, as a whole.</param>
    /// <remarks>The estimate counts what the process held when the model was loaded; what the caller allocates since then comes on top.</remarks>
    /// <exception cref="ImageException">No legal size results.</exception>
    /// <exception cref="DinoSharpException">There is no such layer, an impossible tile, or no tile is small enough for the ceiling.</exception>
    public ExtractionPlan Plan(int imageWidth, int imageHeight, ExtractOptions? options = null) => PlanFor("the picture", imageWidth, imageHeight, options ?? new ExtractOptions());

    /// <summary>The same for a picture with a name.</summary>
    internal ExtractionPlan PlanFor(string image, int imageWidth, int imageHeight, ExtractOptions options)
    {
        PixelWindow input = DensePreprocessing(imageWidth, imageHeight, options).Plan(imageWidth, imageHeight, image).Cut;
        return ExtractionPlanner.Plan(Backbone, ResidentBytes + options.ReservedBytes, (long)imageWidth * imageHeight * 3, input.Height, input.Width, options, out _);
    }

    /// <summary>How much the class token looks at each patch, for every attention head of a layer.</summary>
    /// <param name="image">A path; or <see cref="ImageSource.FromBytes"/>, <see cref="ImageSource.FromStream"/>.</param>
    /// <param name="layer">Index of the block, negative from the end.</param>
    /// <param name="options">Size; its layers are of no account. Null: a height of 768 pixels.</param>
    /// <param name="cancel">Checked before decoding and before computing.</param>
    /// <returns>One map per head. What is missing to a sum of one goes to the class token itself and the registers.</returns>
    /// <exception cref="ImageException">The picture cannot be read.</exception>
    /// <exception cref="DinoSharpException">The network has no attention (ConvNeXt), no such layer, or more memory is needed than the options allow.</exception>
    public HeatMap[] Attention(ImageSource image, int layer = -1, ExtractOptions? options = null, CancellationToken cancel = default) => Attention(Read(image, cancel), layer, options, cancel);

    /// <summary>How much the class token looks at each patch of a decoded picture, for every attention head of a layer.</summary>
    /// <param name="image">Any picture; it is converted to 8-bit RGB.</param>
    /// <param name="layer">Index of the block, negative from the end.</param>
    /// <param name="options">Size; its layers are of no account. Null: a height of 768 pixels.</param>
    /// <param name="cancel">Checked before computing.</param>
    /// <returns>As for a file.</returns>
    /// <exception cref="DinoSharpException">The network has no attention (ConvNeXt), no such layer, or more memory is needed than the options allow.</exception>
    public HeatMap[] Attention(ImageBuffer image, int layer = -1, ExtractOptions? options = null, CancellationToken cancel = default)
    {
        if (Backbone is not VisionTransformer vit) throw new DinoSharpException($"{Name} is a ConvNeXt, which has no attention; take a vision transformer such as dinov3-vits16");
        options ??= new ExtractOptions();
        PlanAttention(image.Info.Name, image.Width, image.Height, layer, options);
        using ImageTensor input = DensePreprocessing(image.Width, image.Height, options).Apply(image);
        cancel.ThrowIfCancellationRequested();
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor pixels = Batch([input]); // [1, C, H, W]
        int height = (int)pixels.shape[2] / vit.Config.PatchSizePixels, width = (int)pixels.shape[3] / vit.Config.PatchSizePixels;
        Tensor weights = vit.AttentionMaps(pixels, layer)[0].select(1, 0); // [A, N]
        RequireFinite(weights);
        Tensor patches = weights.narrow(1, weights.shape[1] - (height * width), height * width).cpu(); // [A, P]
        return [.. patches.unbind(0).Select(head => new HeatMap(height, width, head.contiguous().data<float>().ToArray(), PatchGeometry.Of(input.Geometry)))];
    }

    /// <summary>The same as <see cref="Plan"/> for attention maps, which know no tiles.</summary>
    internal ExtractionPlan PlanAttention(string image, int imageWidth, int imageHeight, int layer, ExtractOptions options)
    {
        PixelWindow input = DensePreprocessing(imageWidth, imageHeight, options).Plan(imageWidth, imageHeight, image).Cut;
        int index = LayerSelection.Create([layer]).Resolve(Backbone.Config.LayerCount)[0];
        long peak = ResidentBytes + options.ReservedBytes + NetworkMemory.Attention(Backbone, (long)imageWidth * imageHeight * 3, input.Height, input.Width, index);
        if (options.MaxMemoryBytes < peak)
            throw new DinoSharpException($"attention maps at {input.Width}x{input.Height} pixels take about {ExtractionPlan.Words(peak)}, the limit is {ExtractionPlan.Words(options.MaxMemoryBytes.Value)}; use a smaller size or a higher limit");
        return new ExtractionPlan(input.Width, input.Height, input.Width, input.Height, 0, 1, 1, peak, peak);
    }

    /// <summary>Frees the weights.</summary>
    public void Dispose() => Backbone.Dispose();

    /// <summary>The most pictures that can be embedded at once within a ceiling, at most those of the options, and the memory that the process then holds.</summary>
    /// <exception cref="DinoSharpException">Not even one fits.</exception>
    /// <param name="options">Size and batch.</param>
    /// <param name="imageWidth">Width in pixels of the largest picture.</param>
    /// <param name="imageHeight">Its height.</param>
    /// <param name="maxMemoryBytes">The ceiling; null: none.</param>
    internal (int Batch, long PeakBytes) PlanEmbedding(EmbedOptions options, int imageWidth, int imageHeight, long? maxMemoryBytes)
    {
        PixelWindow cut = Seen();
        int batch = options.NativeSize ? 1 : options.BatchSize;
        while (batch > 1 && Peak(batch) > maxMemoryBytes) batch--;
        return !(Peak(batch) > maxMemoryBytes) ? (batch, Peak(batch)) : throw new DinoSharpException(
            $"one picture of {cut.Width}x{cut.Height} pixels takes about {ExtractionPlan.Words(Peak(1))}, the limit is {ExtractionPlan.Words(maxMemoryBytes!.Value)}; use a smaller size or a higher limit");

        // A strip that no network sees is skipped when its turn comes.
        PixelWindow Seen()
        {
            try
            {
                return VectorPreprocessing(options).Plan(imageWidth, imageHeight, Name).Cut;
            }
            catch (ImageException)
            {
                return VectorPreprocessing(options).Plan(1 << 10, 1 << 10, Name).Cut;
            }
        }

        long Peak(int pictures) => ResidentBytes + NetworkMemory.Embedding(Backbone, (long)imageWidth * imageHeight * 3, (cut.Height, cut.Width), pictures);
    }

    /// <summary>One vector for each picture, batch by batch as the caller cuts them.</summary>
    internal IEnumerable<IReadOnlyList<ImageEmbedding>> EmbedBatches(IEnumerable<IReadOnlyList<ImageSource>> batches, EmbedOptions options, CancellationToken cancel, StageTimes? times = null)
    {
        Preprocessing how = VectorPreprocessing(options);
        how.RequireLegalSize();
        Func<IReadOnlyList<ImageTensor>, float[][]> embed = options.NativeSize ? inputs => [.. inputs.Select(input => Embed([input], options)[0])] : inputs => Embed(inputs, options);
        return new EmbeddingPipeline<ImageSource>(image => image.Name, image => how.Apply(ImageFile.Read(image)), embed, times).Run(batches, cancel);
    }

    /// <summary>One vector for each input; the inputs are of one size and stay the caller's.</summary>
    internal float[][] Embed(IReadOnlyList<ImageTensor> inputs, EmbedOptions options)
    {
        if (inputs.Count == 0) return [];
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        BackboneOutput output = Backbone.ForwardFeatures(Batch(inputs));
        Tensor vectors = options.Pooling.Pool(output.ClassToken, output.Patches, options.UnitLength).cpu().contiguous(); // [B, D] or [B, 2·D]
        RequireFinite(vectors);
        return [.. vectors.data<float>().ToArray().Chunk((int)vectors.shape[1])];
    }

    // A sum is finite only if all its numbers are, and needs no second copy of a large map.
    private void RequireFinite(params ReadOnlySpan<Tensor> features)
    {
        foreach (Tensor part in features)
        {
            using Tensor sum = part.sum(); // []
            if (!float.IsFinite(sum.item<float>())) throw new DinoSharpException($"{Name} gives numbers that are not finite (NaN or infinity); the weights may be damaged: try 'dino info' on them");
        }
    }

    private static ImageBuffer Read(ImageSource image, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        return ImageFile.Read(image);
    }

    private ImageTensor RequireOwnNormalization(ImageTensor input) => input.Normalization.Equals(Preprocessing.Normalization)
        ? input
        : throw new DinoSharpException($"{input.Name} was normalised with {input.Normalization}, but {Name} needs {Preprocessing.Normalization}; prepare it with the model's Preprocessing");

    private Tensor Batch(IReadOnlyList<ImageTensor> inputs) =>
        (inputs is [var only] ? only.Tensor.unsqueeze(0) : stack(inputs.Select(input => input.Tensor))).to(_device); // [B, C, H, W]

    private Preprocessing VectorPreprocessing(EmbedOptions options) => options.NativeSize ? Preprocessing with { Size = SizePolicy.Native, CenterCropPixels = null } : Square(options.ImageSizePixels);

    private Preprocessing Square(int? side) => side is { } pixels ? Preprocessing with { Size = SizePolicy.Square(pixels), CenterCropPixels = null } : Preprocessing;

    // Dense features are computed as in the official notebooks, whatever the weights say about pictures to classify.
    private Preprocessing DensePreprocessing(int width, int height, ExtractOptions options)
    {
        int patch = Preprocessing.PatchSizePixels;
        if (options.ImageSizePixels is int asked && asked % patch != 0) // no fault of the picture
            throw new DinoSharpException($"a size of {asked} pixels is no multiple of the patch size {patch}; the nearest are {(asked < patch ? "" : $"{asked / patch * patch} and ")}{((asked / patch) + 1) * patch}");
        if (options.Square) return Square(options.ImageSizePixels);
        SizePolicy size = options.ImageSizePixels switch
        {
            null => SizePolicy.Native,
            int side when (long)width * side < (long)height * patch => SizePolicy.Exact(patch, side), // a strip: one column, not none
            int side when SizePolicy.FixedHeight(side).Target(width, height, patch) is var (w, _) && (w > Preprocessing.MaxSide || w * side > Preprocessing.MaxInputPixels) =>
                SizePolicy.Exact(Math.Max(patch, width / patch * patch), patch), // lying: one row, as no network sees so many pixels
            int side => SizePolicy.FixedHeight(side),
        };
        return Preprocessing.Notebook with { Normalization = Preprocessing.Normalization, PatchSizePixels = patch, Size = size };
    }
}
