using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols;

/// <summary>One vector for each image of a data set: from a frozen backbone, or from one of the baselines that a backbone has to beat.</summary>
public sealed class ImageVectorizer : IDisposable
{
    /// <summary>Names that stand for a baseline instead of a model.</summary>
    public static IReadOnlyList<string> Baselines { get; } = ["baseline:hog", "baseline:pixels"];

    private readonly DinoModel? _model;
    private readonly EmbedOptions _options;
    private readonly Preprocessing _how;
    private readonly Func<IReadOnlyList<ImageTensor>, float[][]> _compute;

    private ImageVectorizer(string name, DinoModel? model, EmbedOptions options, Preprocessing how, Func<IReadOnlyList<ImageTensor>, float[][]> compute) =>
        (Name, _model, _options, _how, _compute) = (name, model, options, how, compute);

    /// <summary>The model or baseline.</summary>
    public string Name { get; }

    /// <summary>What decides the vectors beside the weights: pooling and input size.</summary>
    internal IReadOnlyDictionary<string, string> Settings => new Dictionary<string, string>
    {
        ["features"] = _model is null ? Name : _options.Pooling.ToString(),
        ["input"] = $"{_how.Size}, centre crop {_how.CenterCropPixels}",
    };

    /// <summary>Opens a model, or a baseline: <c>baseline:hog</c> (histograms of gradients and colours), <c>baseline:pixels</c> (32 × 32 pixels).</summary>
    /// <param name="name">As for <see cref="DinoModel.Load"/>, or one of <see cref="Baselines"/>.</param>
    /// <param name="pooling">What a vector of a model is made of.</param>
    /// <param name="cropPixels">Side of the model's input, cut from the middle of a picture whose shorter side is 8/7 of it; null: 224, as published. Baselines have a size of their own.</param>
    /// <param name="wholeShorterSide">Bring the shorter side to the size of the crop itself, so that nothing of it is cut off: the protocol of logistic regression.</param>
    /// <param name="batchSize">Images computed at once.</param>
    /// <param name="cancel">Stops the loading.</param>
    /// <exception cref="DinoSharpException">There is no such model or baseline, or the size does not fit the network.</exception>
    public static ImageVectorizer Open(string name, Pooling pooling = Pooling.ClassToken, int? cropPixels = null, bool wholeShorterSide = false, int batchSize = 16, CancellationToken cancel = default)
    {
        var options = new EmbedOptions { Pooling = pooling, UnitLength = false, BatchSize = batchSize };
        if (name.StartsWith("baseline:", StringComparison.Ordinal))
        {
            return name switch
            {
                "baseline:hog" => new ImageVectorizer(name, null, options, PlainFeatures.GradientInput, PlainFeatures.GradientsAndColors),
                "baseline:pixels" => new ImageVectorizer(name, null, options, PlainFeatures.PixelInput, PlainFeatures.Pixels),
                _ => throw new DinoSharpException($"there is no {name}; known baselines are {string.Join(" and ", Baselines)}"),
            };
        }

        DinoModel model = DinoModel.Load(name, cancel: cancel);
        int patch = model.Preprocessing.PatchSizePixels, crop = cropPixels ?? 224;
        if (crop % patch != 0)
        {
            model.Dispose();
            throw new DinoSharpException($"an input of {crop} pixels does not fit the patches of {patch} pixels of {name}; take a multiple such as {Math.Max(1, crop / patch) * patch}");
        }

        Preprocessing how = Preprocessing.Evaluation with
        {
            Normalization = model.Preprocessing.Normalization,
            PatchSizePixels = patch,
            Size = SizePolicy.ShorterSide(wholeShorterSide ? crop : ((crop * 8) + 3) / 7),
            CenterCropPixels = crop,
        };
        return new ImageVectorizer(name, model, options, how, inputs => model.Embed(inputs, options));
    }

    /// <summary>Computes the vectors, batch by batch; the next batch is decoded meanwhile.</summary>
    /// <param name="images">The images, with classes.</param>
    /// <param name="progress">Told how many are done.</param>
    /// <param name="cancel">Checked between batches.</param>
    /// <returns>The vectors; images that cannot be read are left out and listed.</returns>
    /// <exception cref="DinoSharpException">No image can be read, or the images have no classes.</exception>
    public VectorSet Run(ImageDataset images, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        var vectors = new List<float[]>();
        var rows = new List<int>();
        var skipped = new List<ImageException>();
        var pipeline = new EmbeddingPipeline<int>(images.PathOf, i => _how.Apply(images.Read(i)), _compute);
        int next = 0;
        foreach (IReadOnlyList<ImageEmbedding> batch in pipeline.Run(Enumerable.Range(0, images.Count).Chunk(_options.BatchSize), cancel))
        {
            foreach (ImageEmbedding image in batch)
            {
                if (image.Vector is null)
                {
                    skipped.Add(image.Error!);
                }
                else
                {
                    vectors.Add(image.Vector);
                    rows.Add(next);
                }

                next++;
            }

            progress?.Report(next);
        }

        if (rows.Count == 0) throw new DinoSharpException($"none of the {images.Count} images of {images.Name} can be read; the first says: {skipped[0].Message}");
        int width = vectors[0].Length;
        float[] numbers = new float[(long)rows.Count * width];
        for (int i = 0; i < rows.Count; i++) vectors[i].CopyTo(numbers, (long)i * width);
        return new VectorSet(
            tensor(numbers, [rows.Count, width]).DetachFromDisposeScope(), // [N, D]
            [.. rows.Select(i => images.LabelOf(i) ?? throw new DinoSharpException($"{images.PathOf(i)} has no class; a folder with a folder for each class is expected"))],
            [.. rows.Select(images.PathOf)],
            images.Classes,
            skipped);
    }

    /// <summary>Vectors of random crops, perhaps mirrored, as linear classifiers are trained on (scale 0.08 to 1, aspect ¾ to 4⁄3). [B, D]</summary>
    /// <param name="images">The training images.</param>
    /// <param name="rows">Which.</param>
    /// <param name="seed">Decides every draw.</param>
    internal Tensor Augmented(ImageDataset images, IReadOnlyList<int> rows, ulong seed)
    {
        if (_model is null) throw new DinoSharpException($"random crops are for models; {Name} has none");
        int side = _how.CenterCropPixels!.Value;
        var inputs = new ImageTensor[rows.Count];
        try
        {
            Parallel.For(0, rows.Count, new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, Environment.ProcessorCount / 2) }, i =>
            {
                var random = new TorchRandom(seed + (ulong)i);
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
