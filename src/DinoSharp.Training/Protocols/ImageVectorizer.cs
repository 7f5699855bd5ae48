using DinoSharp.Features;
using DinoSharp.Heads;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Features;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols;

/// <summary>How an <see cref="ImageVectorizer"/> looks at images.</summary>
public sealed record VectorizerOptions
{
    /// <summary>What a vector of a model is made of. <see cref="Pooling.GeM"/> needs every patch and is computed anew each time.</summary>
    public Pooling Pooling { get; init; } = Pooling.ClassToken;

    /// <summary>Side of the model's input, cut from the middle of a picture whose shorter side is 8/7 of it; 224 as published.</summary>
    public int CropPixels { get; init; } = 224;

    /// <summary>Bring the shorter side to the size of the crop itself, so that nothing of it is cut off: the protocol of logistic regression.</summary>
    public bool WholeShorterSide { get; init; }

    /// <summary>Images computed at once.</summary>
    public int BatchSize { get; init; } = 16;

    /// <summary>Precision of the model.</summary>
    public ComputeType Compute { get; init; }

    /// <summary>Where features are kept; null: <see cref="FeatureStore.DefaultFolder"/>.</summary>
    public string? CacheFolder { get; init; }
}

/// <summary>One vector for each image of a data set: from a frozen backbone, or from one of the baselines that a backbone has to beat.</summary>
public sealed class ImageVectorizer : IDisposable
{
    /// <summary>Names that stand for a baseline instead of a model.</summary>
    public static IReadOnlyList<string> Baselines { get; } = ["baseline:hog", "baseline:pixels"];

    private readonly DinoModel? _model;
    private readonly VectorizerOptions _options;
    private readonly Preprocessing _how;
    private readonly Func<IReadOnlyList<ImageTensor>, float[][]> _compute;

    private ImageVectorizer(string name, DinoModel? model, VectorizerOptions options, Preprocessing how, Func<IReadOnlyList<ImageTensor>, float[][]> compute) =>
        (Name, _model, _options, _how, _compute) = (name, model, options, how, compute);

    /// <summary>The model or baseline.</summary>
    public string Name { get; }

    /// <summary>How many images were computed so far; the others' features were in the store.</summary>
    public int Computed { get; private set; }

    /// <summary>What decides the vectors beside the weights: pooling, input size and precision; and the engine, of those that were not in the store.</summary>
    internal IReadOnlyDictionary<string, string> Settings
    {
        get
        {
            var settings = new Dictionary<string, string>
            {
                ["features"] = _model is null ? Name : _options.Pooling.ToString(),
                ["input"] = $"{_how.Size}, centre crop {_how.CenterCropPixels}",
                ["compute"] = (_model?.Compute ?? ComputeType.Float32).ToString(),
            };
            if (_model is not null && Computed > 0) settings["engine"] = _model.Engine;
            return settings;
        }
    }

    /// <summary>Opens a model, or a baseline: <c>baseline:hog</c> (histograms of gradients and colours), <c>baseline:pixels</c> (32 × 32 pixels).</summary>
    /// <param name="name">As for <see cref="DinoModel.Load"/>, or one of <see cref="Baselines"/>.</param>
    /// <param name="options">How a model looks; baselines have ways of their own. Null: the defaults.</param>
    /// <param name="cancel">Stops the loading.</param>
    /// <exception cref="DinoSharpException">There is no such model or baseline, or the size does not fit the network.</exception>
    public static ImageVectorizer Open(string name, VectorizerOptions? options = null, CancellationToken cancel = default)
    {
        options ??= new VectorizerOptions();
        if (name.StartsWith("baseline:", StringComparison.Ordinal))
        {
            return name switch
            {
                "baseline:hog" => new ImageVectorizer(name, null, options, PlainFeatures.GradientInput, PlainFeatures.GradientsAndColors),
                "baseline:pixels" => new ImageVectorizer(name, null, options, PlainFeatures.PixelInput, PlainFeatures.Pixels),
                _ => throw new DinoSharpException($"there is no {name}; known baselines are {string.Join(" and ", Baselines)}"),
            };
        }

        DinoModel model = DinoModel.Load(name, new DinoModelOptions { Compute = options.Compute }, cancel);
        (int patch, int crop) = (model.Preprocessing.PatchSizePixels, options.CropPixels);
        if (crop % patch != 0)
        {
            model.Dispose();
            throw new DinoSharpException($"an input of {crop} pixels does not fit the patches of {patch} pixels of {name}; take a multiple such as {Math.Max(1, crop / patch) * patch}");
        }

        Preprocessing how = Preprocessing.Evaluation with
        {
            Normalization = model.Preprocessing.Normalization,
            PatchSizePixels = patch,
            Size = SizePolicy.ShorterSide(options.WholeShorterSide ? crop : ((crop * 8) + 3) / 7),
            CenterCropPixels = crop,
        };
        var embed = new EmbedOptions { Pooling = options.Pooling, UnitLength = false, BatchSize = options.BatchSize };
        return new ImageVectorizer(name, model, options, how, inputs => model.Embed(inputs, embed));
    }

    /// <summary>Computes the vectors, batch by batch; the next batch is decoded meanwhile. Features of a model are kept in a <see cref="FeatureStore"/> and taken from there the next time.</summary>
    /// <param name="images">The images, with classes.</param>
    /// <param name="progress">Told how many are done.</param>
    /// <param name="cancel">Checked between batches.</param>
    /// <returns>The vectors; images that cannot be read are left out and listed.</returns>
    /// <exception cref="DinoSharpException">No image can be read, the images have no classes, or the store cannot be written.</exception>
    public VectorSet Run(ImageDataset images, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        var skipped = new List<ImageException>();
        float[]?[] vectors = _model is not null && _options.Pooling != Pooling.GeM && images.FileOf(0) is not null ? Stored(_model, images, skipped, progress, cancel) : Fresh(images, skipped, progress, cancel);
        int[] rows = [.. Enumerable.Range(0, images.Count).Where(i => vectors[i] is not null)];
        if (rows.Length == 0) throw new DinoSharpException($"none of the {images.Count} images of {images.Name} can be read; the first says: {skipped[0].Message}");
        int width = vectors[rows[0]]!.Length;
        float[] numbers = new float[(long)rows.Length * width];
        for (int i = 0; i < rows.Length; i++) vectors[rows[i]]!.CopyTo(numbers, (long)i * width);
        return new VectorSet(
            tensor(numbers, [rows.Length, width]).DetachFromDisposeScope(), // [N, D]
            [.. rows.Select(i => images.LabelOf(i) ?? throw new DinoSharpException($"{images.PathOf(i)} has no class; a folder with a folder for each class is expected"))],
            [.. rows.Select(images.PathOf)],
            images.Classes,
            skipped);
    }

    // Null for an image that cannot be read.
    private float[]?[] Stored(DinoModel model, ImageDataset images, List<ImageException> skipped, IProgress<long>? progress, CancellationToken cancel)
    {
        var input = new HeadInput { Layers = [model.Backbone.Config.LayerCount - 1], Preprocessing = _how, MultiplePixels = _how.PatchSizePixels };
        var store = new FeatureStore(model, input, FeatureKind.Pooled, _options.CacheFolder, _options.BatchSize);
        (IReadOnlyList<StoredImage?> stored, IReadOnlyList<ImageException> errors) = store.Prepare(images.Count, i => images.FileOf(i)!, progress, cancel);
        skipped.AddRange(errors);
        Computed += store.Computed;
        return [.. stored.Select(image =>
        {
            if (image is null) return null;
            using var scope = NewDisposeScope();
            StoredFeatures features = store.Load(image);
            return _options.Pooling.Pool(features.Layers[0].ClassToken, features.Layers[0].Patches, unitLength: false).data<float>().ToArray(); // the one patch is the mean of all
        })];
    }

    private float[]?[] Fresh(ImageDataset images, List<ImageException> skipped, IProgress<long>? progress, CancellationToken cancel)
    {
        float[]?[] vectors = new float[]?[images.Count];
        var pipeline = new EmbeddingPipeline<int>(images.PathOf, i => _how.Apply(images.Read(i)), _compute);
        int next = 0;
        foreach (IReadOnlyList<ImageEmbedding> batch in pipeline.Run(Enumerable.Range(0, images.Count).Chunk(_options.BatchSize), cancel))
        {
            foreach (ImageEmbedding image in batch)
            {
                if (image.Vector is null) skipped.Add(image.Error!);
                vectors[next++] = image.Vector;
            }

            progress?.Report(next);
        }

        Computed += next;
        return vectors;
    }

    /// <summary>Vectors of random crops, perhaps mirrored, as linear classifiers are trained on (scale 0.08 to 1, aspect ¾ to 4⁄3). [B, D]</summary>
    /// <param name="images">The training images.</param>
    /// <param name="rows">Which.</param>
    /// <param name="seed">With the step and the place in the batch it decides every draw.</param>
    /// <param name="step">Number of the batch.</param>
    internal Tensor Augmented(ImageDataset images, IReadOnlyList<int> rows, ulong seed, ulong step)
    {
        if (_model is null) throw new DinoSharpException($"random crops are for models; {Name} has none");
        int side = _how.CenterCropPixels!.Value;
        var inputs = new ImageTensor[rows.Count];
        try
        {
            Parallel.For(0, rows.Count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, Environment.ProcessorCount / 2) }, i =>
            {
                var random = new TorchRandom(TorchRandom.SeedOf(seed, step, (ulong)i));
                using RgbRaster image = RgbRaster.From(images.Read(rows[i]), null);
                using Raster crop = image.Cut(CropWindow.Draw(image.Height, image.Width, (0.08, 1), random), side);
                if (random.NextSingle() < 0.5f) crop.Flip();
                float[] values = new float[3 * side * side];
                crop.Normalize(_how.Normalization, values);
                inputs[i] = ImageTensor.FromNormalized(tensor(values, [3, side, side]).DetachFromDisposeScope(), _how.Normalization, images.PathOf(rows[i]));
            });
            float[] vectors = [.. inputs.Chunk(_options.BatchSize).SelectMany(batch => _compute(batch)).SelectMany(vector => vector)];
            return tensor(vectors, [rows.Count, vectors.Length / rows.Count]); // [B, D]
        }
        finally
        {
            foreach (ImageTensor? input in inputs) input?.Dispose();
        }
    }

    /// <summary>Frees the weights.</summary>
    public void Dispose() => _model?.Dispose();
}

/// <summary>Vectors of the images of a data set. Owns its tensor.</summary>
/// <param name="Vectors">float32, not normalised. [N, D]</param>
/// <param name="Labels">Class of each. [N]</param>
/// <param name="Paths">Path or name of each. [N]</param>
/// <param name="Classes">Names of the classes. [K]</param>
/// <param name="Skipped">Images that could not be read.</param>
public sealed record VectorSet(Tensor Vectors, int[] Labels, string[] Paths, IReadOnlyList<string> Classes, IReadOnlyList<ImageException> Skipped) : IDisposable
{
    /// <summary>The same vectors with classes counted as in another set, by name.</summary>
    /// <param name="classes">Names of the classes of the other set.</param>
    /// <exception cref="DinoSharpException">A class is not among them.</exception>
    public VectorSet WithClassesOf(IReadOnlyList<string> classes)
    {
        if (Classes.SequenceEqual(classes)) return this;
        int[] number = new int[Classes.Count];
        for (int i = 0; i < number.Length; i++)
        {
            number[i] = classes.ToList().IndexOf(Classes[i]);
            if (number[i] < 0 && Labels.Contains(i))
                throw new DinoSharpException($"class '{Classes[i]}' is in the validation set but not in the training set{(NearestName.Find(Classes[i], classes) is { } near ? $" (the nearest there is '{near}')" : "")}; both need the same class folders");
        }

        return this with { Labels = [.. Labels.Select(l => number[l])], Classes = classes };
    }

    /// <inheritdoc/>
    public void Dispose() => Vectors.Dispose();
}
