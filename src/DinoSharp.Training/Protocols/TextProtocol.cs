using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Heads.Text;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Protocols.Benchmarks;
using static TorchSharp.torch;
using ClassNames = DinoSharp.Heads.ClassNames;

namespace DinoSharp.Training.Protocols;

/// <summary>What dino.txt can do without training on the classes (paper, section 7.3): classification and segmentation by the names of the classes, and finding captions and pictures by each other.</summary>
public static class TextProtocol
{
    private const int ShownCaptions = 3;

    /// <summary>Zero-shot classification.</summary>
    /// <param name="text">dino.txt.</param>
    /// <param name="images">Images with classes.</param>
    /// <param name="model">What to call it in the report.</param>
    /// <param name="names">Words for each class of the images, in their order; null: the names themselves, with spaces for underscores.</param>
    /// <param name="templates">Sentences around the names; null: a short list of our own.</param>
    /// <param name="progress">Told how many images are done.</param>
    /// <param name="cancel">Checked between images.</param>
    /// <returns>The numbers, and the images that could not be read.</returns>
    /// <exception cref="DinoSharpException">The images have no classes, the number of names differs, or no image can be read.</exception>
    public static (EvaluationResult Result, IReadOnlyList<ImageException> Skipped) Classify(
        DinoText text, ImageDataset images, string model, ClassNames? names = null, PromptTemplates? templates = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        templates ??= PromptTemplates.Default;
        names ??= new ClassNames(images.Classes.Select(c => c.Replace('_', ' ')));
        if (names.Count != images.Classes.Count) throw new DinoSharpException($"{names.Count} names are given for {images.Classes.Count} classes of {images.Name}; one for each is needed, in the order {string.Join(", ", images.Classes.Take(5))} …");
        using ZeroShotClassifier classifier = text.CreateClassifier(names, templates, cancel);
        var hits = new List<(string Path, int Label, int Rank, int Predicted)>();
        (_, IReadOnlyList<ImageException> skipped) = ReadablePictures.ForEach(images.Count, i =>
        {
            int label = images.LabelOf(i) ?? throw new DinoSharpException($"{images.PathOf(i)} has no class");
            Heads.Classification.Classification answer = classifier.Predict(images.Read(i), cancel);
            hits.Add((images.PathOf(i), label, answer.Ranked.TakeWhile(c => c.Index != label).Count(), answer.Top.Index));
        }, progress, cancel);

        if (hits.Count == 0) throw new DinoSharpException($"none of the {images.Count} images of {images.Name} can be read; the first says: {skipped[0].Message}");
        double[] first = [.. hits.Select(h => h.Rank == 0 ? 1.0 : 0)];
        var metrics = new Dictionary<string, double> { ["top1"] = first.Average() };
        if (names.Count >= 5) metrics["top5"] = hits.Average(h => h.Rank < 5 ? 1.0 : 0);
        metrics["meanPerClass"] = hits.GroupBy(h => h.Label).Average(c => c.Average(h => h.Rank == 0 ? 1.0 : 0));
        return (new EvaluationResult
        {
            Task = "text",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = Settings(names.Count, templates),
            Metrics = metrics,
            Headline = "top1",
            Items = [.. hits.Select(h => h.Path)],
            Score = EvaluationResult.MeanOf(first),
            Classes = names,
            Confusion = new ConfusionMatrix([.. hits.Select(h => h.Label)], [.. hits.Select(h => h.Predicted)], names.Count),
        }, skipped);
    }

    /// <summary>Zero-shot retrieval: which captions belong to a picture, and which picture to a caption, by the cosine of their vectors.</summary>
    /// <param name="text">dino.txt.</param>
    /// <param name="images">Pictures with captions.</param>
    /// <param name="model">What to call it in the report.</param>
    /// <param name="templates">Sentences around the captions; null: the captions themselves.</param>
    /// <param name="progress">Told how many pictures are done.</param>
    /// <param name="cancel">Checked between pictures.</param>
    /// <param name="onPicture">Given the file of every picture with its nearest captions, and whether they are its own.</param>
    /// <returns>The recall of both directions (the share of pictures with one of their captions among the k nearest, of captions with their picture among the k nearest), first with pictures as items, then with captions; and the pictures that could not be read, which are left out with their captions.</returns>
    /// <exception cref="DinoSharpException">Fewer than two pictures can be read.</exception>
    public static (EvaluationResult ImageToText, EvaluationResult TextToImage, IReadOnlyList<ImageException> Skipped) Retrieve(
        DinoText text, CaptionedImages images, string model, PromptTemplates? templates = null, IProgress<long>? progress = null, CancellationToken cancel = default, Action<string, IReadOnlyList<(string Caption, bool Own)>>? onPicture = null)
    {
        templates ??= PromptTemplates.None;
        var vectors = new List<float[]>();
        (IReadOnlyList<int> read, IReadOnlyList<ImageException> skipped) =
            ReadablePictures.ForEach(images.Images.Count, i => vectors.Add(text.EncodeImage(images.Images[i], cancel)), progress, cancel);

        if (read.Count < 2) throw new DinoSharpException($"{read.Count} of {images.Images.Count} pictures can be read; retrieval needs two or more{(skipped.Count > 0 ? $". The first error: {skipped[0].Message}" : "")}");
        (string Caption, int Image)[] captions = [.. read.SelectMany((i, place) => images.Captions[i].Select(c => (c, place)))];
        using var scope = NewDisposeScope();
        Tensor pictures = tensor(vectors.SelectMany(v => v).ToArray(), [read.Count, text.EmbedDim]); // [N, E]
        Tensor sentences = text.DescribeTexts([.. captions.Select(c => c.Caption)], templates, cancel).cpu(); // [M, E]
        (int[] ofImages, int[] ofCaptions) = CaptionRetrieval.Rank(pictures, sentences, [.. captions.Select(c => c.Image)]);
        for (int place = 0; onPicture is not null && place < read.Count; place++)
        {
            using var piece = NewDisposeScope();
            long[] nearest = sentences.matmul(pictures[place]).topk(Math.Min(ShownCaptions, captions.Length)).indexes.data<long>().ToArray();
            onPicture(images.Images[read[place]], [.. nearest.Select(c => (captions[c].Caption, captions[c].Image == place))]);
        }

        var metrics = new Dictionary<string, double>();
        foreach (int k in (int[])[1, 5, 10])
        {
            metrics[FormattableString.Invariant($"imageToTextRecallAt{k}")] = ofImages.Average(r => r < k ? 1.0 : 0);
            metrics[FormattableString.Invariant($"textToImageRecallAt{k}")] = ofCaptions.Average(r => r < k ? 1.0 : 0);
        }

        var imageToText = new EvaluationResult
        {
            Task = "text",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = new Dictionary<string, string>
            {
                ["captions"] = captions.Length.ToString(CultureInfo.InvariantCulture),
                ["templates"] = string.Join(" | ", templates.Templates),
            },
            Metrics = metrics,
            Headline = "imageToTextRecallAt1",
            Items = [.. read.Select(i => images.Images[i])],
            Score = EvaluationResult.MeanOf([.. ofImages.Select(r => r == 0 ? 1.0 : 0)]),
        };
        return (imageToText, imageToText with
        {
            Headline = "textToImageRecallAt1",
            Items = [.. captions.Select(c => c.Caption)],
            Groups = [.. captions.Select(c => images.Images[read[c.Image]])], // the captions of a picture are alike
            Score = EvaluationResult.MeanOf([.. ofCaptions.Select(r => r == 0 ? 1.0 : 0)]),
        }, skipped);
    }

    /// <summary>Open-vocabulary segmentation.</summary>
    /// <param name="text">dino.txt.</param>
    /// <param name="images">Pictures with label maps.</param>
    /// <param name="model">What to call it in the report.</param>
    /// <param name="names">Words for each class, in their order; null: the names of the data set.</param>
    /// <param name="templates">Sentences around the names; null: a short list of our own.</param>
    /// <param name="progress">Told how many pictures are done.</param>
    /// <param name="cancel">Checked between pictures.</param>
    /// <param name="onPicture">Given every picture with its predicted class indices.</param>
    /// <exception cref="DinoSharpException">The number of names differs, or pictures cannot be read or differ in size from their label maps.</exception>
    public static EvaluationResult Segment(
        DinoText text, SegmentationImages images, string model, ClassNames? names = null, PromptTemplates? templates = null, IProgress<long>? progress = null, CancellationToken cancel = default, Action<int, ImageBuffer, SemanticSegmentation>? onPicture = null)
    {
        templates ??= PromptTemplates.Default;
        names ??= images.Classes;
        if (names.Count != images.Classes.Count) throw new DinoSharpException($"{names.Count} names are given for {images.Classes.Count} classes; one for each is needed, in the order {string.Join(", ", images.Classes.Take(5))} …");
        PictureSizes.Require(images.Images, images.Labels);
        using OpenVocabularySegmentor segmentor = text.CreateSegmentor(names, templates, cancel: cancel);
        var areas = new List<SegmentationAreas>();
        (IReadOnlyList<int> scored, IReadOnlyList<ImageException> skipped) = ReadablePictures.ForEach(images.Images.Count, i =>
        {
            ImageBuffer picture = ImageFile.Read(ImageSource.Stored(images.Images[i]));
            LabelMap truth = images.Read(i);
            SemanticSegmentation predicted = segmentor.Predict(picture, cancel);
            areas.Add(SegmentationAreas.Measure(predicted.Labels.Values, truth.Values, names.Count, SegmentationImages.Ignored));
            onPicture?.Invoke(i, picture, predicted);
        }, progress, cancel);

        if (areas.Count == 0) throw new DinoSharpException($"none of the {images.Images.Count} pictures can be read; the first says: {skipped[0].Message}");
        SegmentationScores scores = SegmentationAreas.Sum(areas).Score();
        return new EvaluationResult
        {
            Task = "text",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = Settings(names.Count, templates),
            Metrics = new Dictionary<string, double> { ["miou"] = scores.MeanIou, ["pixelAccuracy"] = scores.PixelAccuracy },
            Headline = "miou",
            Items = [.. scored.Select(i => images.Images[i])],
            Skipped = skipped,
            Score = items => SegmentationAreas.Sum(items.Select(i => areas[i])).Score().MeanIou,
        };
    }

    private static Dictionary<string, string> Settings(int classes, PromptTemplates templates) => new()
    {
        ["classes"] = classes.ToString(CultureInfo.InvariantCulture),
        ["templates"] = string.Join(" | ", templates.Templates),
    };
}
