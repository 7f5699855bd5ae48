using System.Globalization;
using System.Text.Json;
using DinoSharp.Evaluation;
using DinoSharp.Training.Data;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols.Benchmarks;

/// <summary>A further set of pictures on which a trained classifier is scored: of its classes or some of them, damaged in known ways, or labelled anew.</summary>
/// <remarks>Where a set has fewer classes than the classifier, only those compete (ImageNet-A and -R have 200 of the 1000), as published.</remarks>
public sealed record ClassifierTest
{
    private const int Levels = 5;

    private const string Layouts = """
        one of these layouts:
          CLASS/NAME.jpg, with the training set's names of the class folders (ImageNet-A, -R, -Sketch: WNID/NAME.jpg)
          NUMBER/NAME.jpeg, numbers from 0 for all classes in the order of the training set (ImageNet-V2: 0 to 999)
          CORRUPTION/LEVEL/CLASS/NAME.JPEG, levels 1 to 5 (ImageNet-C), perhaps in a folder for each kind such as noise/
          a file real.json: a list of labels for each validation picture ILSVRC2012_val_NNNNNNNN.JPEG (ImageNet-ReaL)
        """;

    private ClassifierTest(string name, string path, IReadOnlyList<TestPart> parts) => (Name, Source, Parts) = (name, path, parts);

    /// <summary>What the user calls it; for example the name of a benchmark.</summary>
    public string Name { get; }

    /// <summary>Folder or file.</summary>
    public string Source { get; }

    /// <summary>The pictures: one part, or one for each corruption and level.</summary>
    internal IReadOnlyList<TestPart> Parts { get; }

    /// <summary>Several right classes for each picture, by the number in its name; null: the one of its folder.</summary>
    private IReadOnlyList<int[]>? RealLabels { get; init; }

    /// <summary>Finds the pictures; the layout is recognised.</summary>
    /// <param name="description"><c>PATH</c> or <c>NAME=PATH</c>; without a name that of the folder or file is taken.</param>
    /// <param name="train">The training pictures, which decide what the classes are.</param>
    /// <param name="val">The validation pictures, which <c>real.json</c> labels anew.</param>
    /// <exception cref="DinoSharpException">Something is missing or is not of these classes; the message names it and the layouts that are understood.</exception>
    public static ClassifierTest Open(string description, ImageDataset train, ImageDataset val)
    {
        int equals = description.IndexOf('=', StringComparison.Ordinal);
        (string? name, string path) = equals > 0 && !Path.Exists(description) ? (description[..equals], description[(equals + 1)..]) : (null, description);
        if (File.Exists(path)) return new ClassifierTest(name ?? Path.GetFileNameWithoutExtension(path), path, [new TestPart(val)]) { RealLabels = ReadReal(path, train, val) };
        if (!Directory.Exists(path)) throw new DinoSharpException($"test set {description}: there is no {path}; expected is {Layouts}");
        name ??= Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
        string[] corrupted = [.. Folders(path).Concat(Folders(path).SelectMany(Folders)).Where(f => ImageNetC.Corruptions.Contains(Path.GetFileName(f)))];
        return new ClassifierTest(name, path, corrupted.Length == 0 ? [new TestPart(OfClasses(path, train))] : [.. corrupted.SelectMany(Damaged)]);

        IEnumerable<TestPart> Damaged(string folder) => Enumerable.Range(1, Levels).Select(level =>
        {
            string part = Path.Combine(folder, level.ToString(CultureInfo.InvariantCulture));
            return Directory.Exists(part) ? new TestPart(OfClasses(part, train), Path.GetFileName(folder), level) : throw new DinoSharpException($"there is no folder {part}, which holds level {level} of 5; expected is {Layouts}");
        });
    }

    /// <summary>Scores a classifier.</summary>
    /// <param name="task">The protocol that made it.</param>
    /// <param name="model">What makes the vectors.</param>
    /// <param name="vectors">Makes the vectors of a part.</param>
    /// <param name="classify">Scores [N, K] of vectors [N, D].</param>
    /// <returns>The numbers, and the pictures that could not be read.</returns>
    internal (EvaluationResult Result, IReadOnlyList<DinoSharp.Images.ImageException> Skipped) Score(string task, string model, Func<ImageDataset, VectorSet> vectors, Func<Tensor, Tensor> classify)
    {
        int[] classes = RealLabels is null ? [.. Parts.SelectMany(p => Enumerable.Range(0, p.Images.Count).Select(i => p.Images.LabelOf(i)!.Value)).Distinct().Order()] : [];
        var skipped = new List<DinoSharp.Images.ImageException>();
        var items = new List<(string Path, int Part, bool Hit, bool HitOfFive)>();
        for (int part = 0; part < Parts.Count; part++)
        {
            using var scope = NewDisposeScope();
            using VectorSet set = vectors(Parts[part].Images);
            skipped.AddRange(set.Skipped);
            Tensor scores = classify(set.Vectors); // [N, K]
            IReadOnlyList<int>[] right = [.. set.Paths.Select((path, i) => RealLabels is { } real ? real[NumberOf(path)!.Value] : (IReadOnlyList<int>)[set.Labels[i]])];
            if (classes.Length > 0 && classes.Length < scores.shape[1])
            {
                scores = scores.index_select(1, tensor(Array.ConvertAll(classes, c => (long)c))); // [N, classes of the set]
                right = [.. right.Select(r => (IReadOnlyList<int>)[Array.BinarySearch(classes, r[0])])];
            }

            bool[] hits = ClassificationMetrics.AmongBest(scores, right, 1), five = ClassificationMetrics.AmongBest(scores, right, 5);
            items.AddRange(Enumerable.Range(0, hits.Length).Where(i => right[i].Count > 0).Select(i => (set.Paths[i], part, hits[i], five[i]))); // ReaL leaves pictures without a label out
        }

        if (items.Count == 0) throw new DinoSharpException($"test set {Source}: no picture has a label");
        double[] hit = [.. items.Select(i => i.Hit ? 1.0 : 0)];
        var metrics = new Dictionary<string, double> { ["top1"] = hit.Average() };
        bool corrupted = Parts[0].Corruption is not null;
        if (corrupted)
        {
            foreach (IGrouping<string, int> corruption in Enumerable.Range(0, Parts.Count).GroupBy(p => Parts[p].Corruption!))
                metrics["error " + corruption.Key] = 1 - items.Where(i => corruption.Contains(i.Part)).Average(i => i.Hit ? 1.0 : 0);
            metrics = new Dictionary<string, double> { ["mce"] = CorruptionError([.. Enumerable.Range(0, items.Count)]) }.Concat(metrics).ToDictionary();
        }
        else if (classes.Length is 0 or > 5)
        {
            metrics["top5"] = items.Average(i => i.HitOfFive ? 1.0 : 0);
        }

        return (new EvaluationResult
        {
            Task = task,
            Model = model,
            Data = new Dictionary<string, string> { ["test"] = Source },
            Settings = new Dictionary<string, string> { ["classes"] = classes.Length == 0 ? "all" : classes.Length.ToString(CultureInfo.InvariantCulture) },
            Metrics = metrics,
            Headline = corrupted ? "mce" : "top1",
            HigherIsBetter = !corrupted,
            Items = [.. items.Select(i => i.Path)],
            Groups = corrupted ? [.. items.Select(i => Picture(i.Path))] : null, // one photograph, damaged in every way, is one draw
            Score = corrupted ? CorruptionError : EvaluationResult.MeanOf(hit),
        }, skipped);

        double CorruptionError(IReadOnlyList<int> chosen)
        {
            (int[] right, int[] count) = (new int[Parts.Count], new int[Parts.Count]);
            foreach (int i in chosen)
            {
                if (items[i].Hit) right[items[i].Part]++;
                count[items[i].Part]++;
            }

            return ImageNetC.MeanCorruptionError(Enumerable.Range(0, Parts.Count).GroupBy(p => Parts[p].Corruption!)
                .ToDictionary(c => c.Key, c => (IReadOnlyList<double>)[.. c.Select(p => (double)right[p] / count[p])]));
        }
    }

    private static FileDataset OfClasses(string folder, ImageDataset train)
    {
        FileDataset images = ImageFolder.Open(folder, labelled: true);
        int[]? number = Numbered(images.Classes, train) ?? Named(images.Classes, train, folder);
        return new FileDataset(folder, [.. Enumerable.Range(0, images.Count).Select(images.PathOf)], [.. Enumerable.Range(0, images.Count).Select(i => number[images.LabelOf(i)!.Value])], train.Classes);
    }

    // Numbers say nothing about which classes they mean unless they stand for all of them.
    private static int[]? Numbered(IReadOnlyList<string> folders, ImageDataset train)
    {
        int[] numbers = [.. folders.Select(f => int.TryParse(f, NumberStyles.None, CultureInfo.InvariantCulture, out int n) ? n : -1)];
        return numbers.Length == train.Classes.Count && numbers.Order().SequenceEqual(Enumerable.Range(0, numbers.Length)) ? numbers : null;
    }

    private static int[] Named(IReadOnlyList<string> folders, ImageDataset train, string where)
    {
        // Classes of ImageNet carry words; their folders are in the paths.
        Dictionary<string, int> known = [];
        for (int c = 0; c < train.Classes.Count; c++) known.TryAdd(train.Classes[c], c);
        for (int i = 0; i < train.Count; i++) known.TryAdd(Path.GetFileName(Path.GetDirectoryName(train.PathOf(i))!), train.LabelOf(i)!.Value);
        return [.. folders.Select(f => known.TryGetValue(f, out int c) ? c : throw new DinoSharpException(
            $"test set {where}: the folder {f} is no class of {train.Name}, which has {train.Classes.Count}{(NearestName.Find(f, known.Keys) is { } near ? $" (the nearest is '{near}')" : "")}; expected is {Layouts}"))];
    }

    private static int[][] ReadReal(string path, ImageDataset train, ImageDataset val)
    {
        int[][] labels;
        try
        {
            labels = JsonSerializer.Deserialize<int[][]>(File.ReadAllBytes(path)) ?? [];
        }
        catch (JsonException error)
        {
            throw new DinoSharpException($"{path} is no list of labels for each picture: {error.Message} Expected is {Layouts}", error);
        }

        int most = labels.SelectMany(l => l).DefaultIfEmpty(-1).Max();
        if (most >= train.Classes.Count || labels.Any(l => l.Any(c => c < 0))) throw new DinoSharpException($"{path} has labels up to {most}, but the training set has {train.Classes.Count} classes; ReaL needs all 1000 classes of ImageNet");
        for (int i = 0; i < val.Count; i++)
        {
            if (NumberOf(val.PathOf(i)) is not int number || number >= labels.Length)
                throw new DinoSharpException($"{val.PathOf(i)}: its name has no number from 1 to {labels.Length}, the pictures that {path} labels; expected are names such as ILSVRC2012_val_00000001.JPEG");
        }

        return labels;
    }

    private static int? NumberOf(string path)
    {
        string bare = Path.GetFileNameWithoutExtension(path);
        return int.TryParse(bare[(bare.LastIndexOf('_') + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= 1 ? number - 1 : null;
    }

    private static string Picture(string path) => Path.Combine(Path.GetFileName(Path.GetDirectoryName(path))!, Path.GetFileName(path));

    private static IEnumerable<string> Folders(string path) => Directory.EnumerateDirectories(path).Order(StringComparer.Ordinal);
}

/// <summary>A part of a test set.</summary>
/// <param name="Images">Its pictures; their labels count the classes of the training set.</param>
/// <param name="Corruption">How they were damaged; null: not at all.</param>
/// <param name="Level">How much, 1 to 5.</param>
internal sealed record TestPart(ImageDataset Images, string? Corruption = null, int Level = 0);
