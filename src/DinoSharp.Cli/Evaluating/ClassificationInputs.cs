using System.CommandLine;
using DinoSharp.Features;
using DinoSharp.Cli.Embedding;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;

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

    private readonly Option<string> _train = new("--train") { Description = "Training images: a folder with a folder for each class, a dataset such as ImageNet:split=TRAIN:root=DIR, or pictures with several labels: a table with the columns path and labels, CocoLabels:file=JSON:root=DIR, VocLabels:split=trainval:root=DIR", HelpName = "TRAIN_DIR", Required = true };
    private readonly Option<string> _val;
    private readonly Option<string> _pooling;
    private readonly Option<string[]> _tests = new("--test")
    {
        Description = "A further set of images for the same classifier, as often as wanted: folders of the same classes or some of them, ImageNet-V2, -A, -R, -Sketch, -C, or real.json (ReaL); NAME=PATH gives it a name, which --benchmark knows",
        HelpName = "NAME=PATH",
        DefaultValueFactory = _ => [],
    };

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
        foreach (Option option in (Option[])[_train, _val, _pooling, _tests]) verb.Add(option);
        _vectorizer = new VectorizerInputs(verb, wholeShorterSide);
    }

    /// <summary>Reads the folders and computes a vector for each image.</summary>
    /// <param name="model">A model or baseline.</param>
    /// <param name="compute">Precision of the model.</param>
    /// <param name="arguments">The command line.</param>
    /// <param name="output">For progress and warnings.</param>
    /// <param name="cancel">Stops between batches.</param>
    /// <param name="severalLabels">Whether the protocol knows pictures with several labels.</param>
    public async Task<ClassificationVectors> ReadAsync(string model, ComputeType compute, ParseResult arguments, Output output, CancellationToken cancel, bool severalLabels = false)
    {
        (string trainName, string valName) = (arguments.GetValue(_train)!, arguments.GetValue(_val)!);
        (MultiLabelImages? trainLabels, MultiLabelImages? valLabels) = (MultiLabelImages.TryOpen(trainName), MultiLabelImages.TryOpen(valName));
        if (trainLabels is null != valLabels is null) throw new DinoSharpException($"{(trainLabels is null ? valName : trainName)} has several labels for each picture and {(trainLabels is null ? trainName : valName)} one; give both in the same form: {MultiLabelImages.Forms}");
        if (trainLabels is not null && (!severalLabels || arguments.GetValue(_tests)!.Length > 0)) throw new DinoSharpException($"{trainName} has several labels for each picture, which 'eval logreg' and 'eval knn' score, without --test");
        (ImageDataset train, ImageDataset val) = trainLabels is null ? (Open(trainName), Open(valName, leastClasses: 1)) : (trainLabels.Pictures(), valLabels!.Pictures());
        ClassifierTest[] tests = [.. arguments.GetValue(_tests)!.Select(t => ClassifierTest.Open(t, train, val))];
        ImageVectorizer vectorizer = ImageVectorizer.Open(model, _vectorizer.Read(arguments, compute, Poolings[arguments.GetValue(_pooling)!]), cancel);
        try
        {
            VectorSet trainVectors = await RunAsync("training images", train), valVectors = await RunAsync("validation images", val);
            var vectors = new ClassificationVectors(trainVectors, valVectors, new Dictionary<string, string> { ["train"] = trainName, ["val"] = valName }, train, vectorizer, tests, output, cancel)
            {
                Leaked = SharedPictures.Find(trainVectors.Paths, valVectors.Paths),
                Labels = trainLabels is null ? null : (trainLabels, valLabels!),
            };
            vectors.Skip(trainVectors.Skipped.Concat(valVectors.Skipped));
            return vectors;
        }
        catch
        {
            vectorizer.Dispose();
            throw;
        }

        Task<VectorSet> RunAsync(string what, ImageDataset images) =>
            output.WithProgressAsync(what, images.Count, progress => Task.Run(() => vectorizer.Run(images, progress, cancel), CancellationToken.None));
    }

    /// <summary>Whether the pictures have several labels each.</summary>
    public bool IsMultiLabel(ParseResult arguments) => MultiLabelImages.TryOpen(arguments.GetValue(_train)!) is not null;

    /// <summary>Whether the size of the input is that of a benchmark such as <c>ImageNet-R@512</c>; those without a size fit every one.</summary>
    public bool HasSize(ParseResult arguments, string benchmark) => _vectorizer.HasSize(arguments, benchmark);

    /// <summary>Images with classes: a folder with a folder for each, or a dataset string.</summary>
    /// <param name="description">As the user wrote it.</param>
    /// <param name="leastClasses">How many classes there must be: what is only judged may show one of those that were learnt.</param>
    public static ImageDataset Open(string description, int leastClasses = 2)
    {
        ImageDataset images = Directory.Exists(description) ? ImageFolder.Open(description, labelled: true) : ImageDataset.Open(description);
        return images.Classes.Count >= leastClasses ? images : throw new DinoSharpException($"{description} holds {images.Classes.Count} classes; expected is a folder for each of {(leastClasses == 1 ? "one class" : "two classes")} or more, with images inside: {Path.Combine(description, "CLASS", "IMAGE.jpg")}");
    }
}

/// <summary>The vectors of a classification protocol, and what makes more of them. Owns both.</summary>
internal sealed class ClassificationVectors(
    VectorSet train, VectorSet val, IReadOnlyDictionary<string, string> data, ImageDataset trainImages, ImageVectorizer vectorizer, IReadOnlyList<ClassifierTest> tests, Output output, CancellationToken cancel) : IDisposable
{
    private readonly List<SkippedInput> _skipped = [];
    private readonly List<(string Name, EvaluationResult Result)> _scored = [];

    /// <summary>Pictures that are on both sides.</summary>
    public required IReadOnlyList<string> Leaked { get; init; }

    /// <summary>What the pictures show, where they have several labels each; the label of a vector is then its row here.</summary>
    public (MultiLabelImages Train, MultiLabelImages Val)? Labels { get; init; }

    public VectorSet Train => train;

    public VectorSet Val => val;

    /// <summary>Tells of pictures that could not be read.</summary>
    public void Skip(IEnumerable<ImageException> errors)
    {
        foreach (ImageException error in errors)
        {
            output.Warn($"skipped {error.Name}: {error.Cause}");
            _skipped.Add(new SkippedInput(error.Name, error.Cause));
        }
    }

    /// <summary>Gives vectors of fresh random crops of training images.</summary>
    public Func<IReadOnlyList<int>, TorchSharp.torch.Tensor> Augmented()
    {
        // Rows of the vectors count only images that can be read.
        int[] readable = [.. Enumerable.Range(0, trainImages.Count).Where(i => train.Skipped.All(s => s.Name != trainImages.PathOf(i)))];
        ulong step = 0;
        return rows => vectorizer.Augmented(trainImages, [.. rows.Select(r => readable[r])], seed: 0, step++);
    }

    /// <summary>Scores the classifier of a protocol on the further sets, one after another, as they may be large.</summary>
    /// <param name="task">The protocol.</param>
    public Action<Func<TorchSharp.torch.Tensor, TorchSharp.torch.Tensor>> Tests(string task) => classify =>
    {
        foreach (ClassifierTest test in tests)
        {
            output.Note($"scoring {test.Name}");
            (EvaluationResult result, IReadOnlyList<ImageException> skipped) = test.Score(task, vectorizer.Name, images => vectorizer.Run(images, null, cancel), classify);
            Skip(skipped);
            _scored.Add((test.Name, result));
        }
    };

    /// <summary>All that was measured.</summary>
    /// <param name="result">What the protocol gave.</param>
    /// <param name="rows">See <see cref="Evaluation"/>.</param>
    /// <param name="picture">See <see cref="Evaluation"/>.</param>
    public Evaluation Complete(EvaluationResult result, IReadOnlyList<string[]> rows, Func<ImageBuffer>? picture = null) =>
        new(result with { Data = data, Settings = vectorizer.Settings.Concat(result.Settings).ToDictionary() }, rows, _skipped, picture, vectorizer.Computed, _scored, Leaked);

    public void Dispose()
    {
        train.Dispose();
        val.Dispose();
        vectorizer.Dispose();
    }
}
