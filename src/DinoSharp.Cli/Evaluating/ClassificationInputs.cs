using System.CommandLine;
using DinoSharp.Features;
using DinoSharp.Cli.Embedding;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary>The options that the classification protocols share, and the vectors that follow from them.</summary>
internal sealed class ClassificationInputs
{
    /// <summary>What <c>--model</c> can be besides a model.</summary>
    public const string Baselines = "; or baseline:hog or baseline:pixels, which need no model";

    private static readonly IReadOnlyDictionary<string, Pooling> Poolings = new Dictionary<string, Pooling>
    {
        ["class"] = Pooling.ClassToken,
        ["mean"] = Pooling.PatchMean,
        ["class+mean"] = Pooling.ClassTokenAndPatchMean,
    };

    private readonly Option<string> _train = new("--train") { Description = "Training images: a folder with a folder for each class, or a dataset such as ImageNet:split=TRAIN:root=DIR", HelpName = "TRAIN_DIR", Required = true };
    private readonly Option<string> _val;
    private readonly Option<string> _pooling;
    private readonly VectorizerInputs _vectorizer;

    /// <param name="verb">The protocol.</param>
    /// <param name="val">What the images of <c>--val</c> are for.</param>
    /// <param name="pooling">What a vector is made of unless the user says otherwise.</param>
    /// <param name="wholeShorterSide">See <see cref="VectorizerOptions"/>.</param>
    public ClassificationInputs(Command verb, string val, Pooling pooling, bool wholeShorterSide)
    {
        _val = new Option<string>("--val") { Description = val + "; the same classes", HelpName = "VAL_DIR", Required = true };
        _pooling = new Option<string>("--pooling") { Description = "What a vector is made of: the class token, the mean of the patches, or both", DefaultValueFactory = _ => Poolings.Single(p => p.Value == pooling).Key };
        _pooling.AcceptOnlyFromAmong([.. Poolings.Keys]);
        foreach (Option option in (Option[])[_train, _val, _pooling]) verb.Add(option);
        _vectorizer = new VectorizerInputs(verb, wholeShorterSide);
    }

    /// <summary>Reads the folders and computes a vector for each image.</summary>
    /// <param name="model">A model or baseline.</param>
    /// <param name="compute">Precision of the model.</param>
    /// <param name="arguments">The command line.</param>
    /// <param name="output">For progress and warnings.</param>
    /// <param name="cancel">Stops between batches.</param>
    /// <param name="keepVectorizer">Keep the model, for <see cref="ClassificationVectors.Augmented"/>.</param>
    public async Task<ClassificationVectors> ReadAsync(string model, ComputeType compute, ParseResult arguments, Output output, CancellationToken cancel, bool keepVectorizer = false)
    {
        (string trainName, string valName) = (arguments.GetValue(_train)!, arguments.GetValue(_val)!);
        (ImageDataset train, ImageDataset val) = (Open(trainName), Open(valName));
        ImageVectorizer vectorizer = ImageVectorizer.Open(model, _vectorizer.Read(arguments, compute, Poolings[arguments.GetValue(_pooling)!]), cancel);
        try
        {
            VectorSet trainVectors = await RunAsync("training images", train), valVectors = await RunAsync("validation images", val);
            SkippedInput[] skipped = [.. trainVectors.Skipped.Concat(valVectors.Skipped).Select(e => new SkippedInput(e.Name, e.Cause))];
            foreach (SkippedInput skip in skipped) output.Warn($"skipped {skip.Path}: {skip.Reason}");
            return new ClassificationVectors(
                trainVectors, valVectors, skipped, new Dictionary<string, string> { ["train"] = trainName, ["val"] = valName }, vectorizer.Settings, vectorizer.Computed, train, keepVectorizer ? vectorizer : null);
        }
        finally
        {
            if (!keepVectorizer) vectorizer.Dispose();
        }

        Task<VectorSet> RunAsync(string what, ImageDataset images) =>
            output.WithProgressAsync(what, images.Count, progress => Task.Run(() => vectorizer.Run(images, progress, cancel), CancellationToken.None));
    }

    /// <summary>Images with classes: a folder with a folder for each, or a dataset string.</summary>
    public static ImageDataset Open(string description)
    {
        ImageDataset images = Directory.Exists(description) ? ImageFolder.Open(description, labelled: true) : ImageDataset.Open(description);
        return images.Classes.Count >= 2 ? images : throw new DinoSharpException($"{description} holds {images.Classes.Count} classes; expected is a folder for each of two classes or more, with images inside: {Path.Combine(description, "CLASS", "IMAGE.jpg")}");
    }
}

/// <summary>The vectors of a classification protocol. Owns them.</summary>
internal sealed record ClassificationVectors(
    VectorSet Train, VectorSet Val, IReadOnlyList<SkippedInput> Skipped, IReadOnlyDictionary<string, string> Data, IReadOnlyDictionary<string, string> Settings, int Computed,
    ImageDataset TrainImages, ImageVectorizer? Vectorizer) : IDisposable
{
    /// <summary>Gives vectors of fresh random crops of training images.</summary>
    public Func<IReadOnlyList<int>, TorchSharp.torch.Tensor> Augmented()
    {
        // Rows of the vectors count only images that can be read.
        int[] readable = [.. Enumerable.Range(0, TrainImages.Count).Where(i => Train.Skipped.All(s => s.Name != TrainImages.PathOf(i)))];
        ulong step = 0;
        return rows => Vectorizer!.Augmented(TrainImages, [.. rows.Select(r => readable[r])], step++ << 32);
    }

    /// <summary>The result with what is known about its data.</summary>
    public EvaluationResult Complete(EvaluationResult result) => result with { Data = Data, Settings = Settings.Concat(result.Settings).ToDictionary() };

    public void Dispose()
    {
        Train.Dispose();
        Val.Dispose();
        Vectorizer?.Dispose();
    }
}
