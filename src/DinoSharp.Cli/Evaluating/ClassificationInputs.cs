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
    private readonly Option<string> _val = new("--val") { Description = "Images to classify, with the same classes", HelpName = "VAL_DIR", Required = true };
    private readonly Option<string> _pooling = new("--pooling") { Description = "What a vector is made of: the class token (as published), the mean of the patches, or both", DefaultValueFactory = _ => "class" };
    private readonly Option<int?> _size = SharedOptions.Size("Side of the model's input, cut from the middle after the shorter side was brought to 8/7 of it [default: 224, as published]");
    private readonly Option<int> _batch = new("--batch") { Description = "Pictures computed at once", HelpName = "N", DefaultValueFactory = _ => 16 };

    public ClassificationInputs(Command verb)
    {
        _pooling.AcceptOnlyFromAmong([.. Poolings.Keys]);
        _batch.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError("--batch must be at least 1");
        });
        foreach (Option option in (Option[])[_train, _val, _pooling, _size, _batch]) verb.Add(option);
    }

    /// <summary>Reads the folders and computes a vector for each image.</summary>
    public async Task<ClassificationVectors> ReadAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        (string trainName, string valName) = (arguments.GetValue(_train)!, arguments.GetValue(_val)!);
        (ImageDataset train, ImageDataset val) = (Open(trainName), Open(valName));
        using ImageVectorizer vectorizer = ImageVectorizer.Open(model, Poolings[arguments.GetValue(_pooling)!], arguments.GetValue(_size), arguments.GetValue(_batch), cancel);
        VectorSet trainVectors = await RunAsync("training images", train);
        VectorSet valVectors = await RunAsync("validation images", val);
        SkippedInput[] skipped = [.. trainVectors.Skipped.Concat(valVectors.Skipped).Select(e => new SkippedInput(e.Name, e.Cause))];
        foreach (SkippedInput skip in skipped) output.Warn($"skipped {skip.Path}: {skip.Reason}");
        return new ClassificationVectors(
            trainVectors, valVectors, skipped, new Dictionary<string, string> { ["train"] = trainName, ["val"] = valName }, vectorizer.Settings);

        Task<VectorSet> RunAsync(string what, ImageDataset images) =>
            output.WithProgressAsync(what, images.Count, progress => Task.Run(() => vectorizer.Run(images, progress, cancel), CancellationToken.None));
    }

    private static ImageDataset Open(string description)
    {
        ImageDataset images = Directory.Exists(description) ? ImageFolder.Open(description, labelled: true) : ImageDataset.Open(description);
        return images.Classes.Count >= 2 ? images : throw new DinoSharpException($"{description} holds {images.Classes.Count} classes; expected is a folder for each of two classes or more, with images inside: {Path.Combine(description, "CLASS", "IMAGE.jpg")}");
    }
}

/// <summary>The vectors of a classification protocol. Owns them.</summary>
internal sealed record ClassificationVectors(
    VectorSet Train, VectorSet Val, IReadOnlyList<SkippedInput> Skipped, IReadOnlyDictionary<string, string> Data, IReadOnlyDictionary<string, string> Settings) : IDisposable
{
    /// <summary>The result with what is known about its data.</summary>
    public EvaluationResult Complete(EvaluationResult result) => result with { Data = Data, Settings = Settings.Concat(result.Settings).ToDictionary() };

    public void Dispose()
    {
        Train.Dispose();
        Val.Dispose();
    }
}
