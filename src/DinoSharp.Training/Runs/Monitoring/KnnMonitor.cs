using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Probes;
using DinoSharp.Training.Data;
using DinoSharp.Training.Recipes;
using static TorchSharp.torch;

namespace DinoSharp.Training.Runs.Monitoring;

/// <summary>How many images of known class their nearest neighbours name rightly, by the class token.</summary>
internal sealed class KnnMonitor
{
    private readonly ImageDataset _train;
    private readonly ImageDataset? _test;
    private readonly int _neighbors;
    private readonly int _sizePixels;
    private readonly Normalization _normalization;
    private readonly Device? _device;

    private KnnMonitor(ImageDataset train, ImageDataset? test, int neighbors, int sizePixels, Normalization normalization, Device? device) =>
        (_train, _test, _neighbors, _sizePixels, _normalization, _device) = (train, test, neighbors, sizePixels, normalization, device);

    /// <summary>Opens the labelled images; null if the recipe names none.</summary>
    /// <exception cref="DinoSharpException">They have no classes, or the two sets have not the same.</exception>
    public static KnnMonitor? Open(MonitorRecipe recipe, BackboneConfig backbone, Normalization normalization, Device? device)
    {
        if (recipe.Labelled is null) return null;
        ImageDataset train = OpenLabelled("labelled", recipe.Labelled);
        ImageDataset? test = recipe.LabelledTest is { } second ? OpenLabelled("labelledTest", second) : null;
        if (test is not null && !test.Classes.SequenceEqual(train.Classes))
        {
            string? stranger = test.Classes.Except(train.Classes).Concat(train.Classes.Except(test.Classes)).FirstOrDefault();
            throw new DinoSharpException($"monitor.labelled and monitor.labelledTest must have the same classes; {(stranger is null ? "their order differs" : $"'{stranger}' is on one side only")}");
        }

        return new KnnMonitor(train, test, recipe.Neighbors, recipe.ProbeSizeOf(backbone), normalization, device);
    }

    /// <summary>Share of images whose class was found, 0 … 1, and the class tokens of the labelled images. The tensor is the caller's. [N, D]</summary>
    public (double Top1, Tensor ClassTokens) Measure(Backbone backbone)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        (Tensor features, int[] labels) = Embed(backbone, _train);
        (Tensor questions, int[] answers) = _test is null ? (features, labels) : Embed(backbone, _test);
        using KnnClassifier classifier = KnnClassifier.Fit(features, labels, _train.Classes.Count);
        KnnVotes votes = classifier.Vote(questions, new KnnOptions { Neighbors = [_neighbors], SkipFirstNeighbor = _test is null })[0];
        double found = votes.Predict().Zip(answers).Count(pair => pair.First == pair.Second) / (double)answers.Length;
        return (found, features.MoveToOuterDisposeScope());
    }

    private static ImageDataset OpenLabelled(string key, string description)
    {
        ImageDataset data = ImageDataset.Open(description);
        return data.Classes.Count >= 2 ? data : throw new DinoSharpException($"monitor.{key}: {data.Name} has no classes; give a folder with one folder for each class, or a manifest with a column of classes");
    }

    private (Tensor Features, int[] Labels) Embed(Backbone backbone, ImageDataset data)
    {
        var tokens = new List<Tensor>();
        var labels = new List<int>();
        foreach ((int[] indices, Tensor images) in new ImageSample(data, _normalization, _sizePixels).Batches(Enumerable.Range(0, data.Count).Where(i => data.LabelOf(i) is not null)))
        {
            using var scope = NewDisposeScope();
            tokens.Add(backbone.ForwardFeatures(images.to(_device ?? CPU)).ClassToken.cpu().MoveToOuterDisposeScope()); // [B, D]
            labels.AddRange(indices.Select(i => data.LabelOf(i)!.Value));
        }

        return tokens.Count > 0 ? (cat(tokens), [.. labels]) : throw new DinoSharpException($"none of the images of {data.Name} can be read");
    }
}
