using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Protocols;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Protocols;

/// <summary>Pictures with several labels: their readers, and scores counted by hand.</summary>
public sealed class MultiLabelTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ATableGivesSeveralLabels()
    {
        File.WriteAllText(_folder.File("t.csv"), "path,labels\na.png,cat; dog\nb.png,\nc.png,dog|fox\n");
        MultiLabelImages images = MultiLabelImages.TryOpen(_folder.File("t.csv"))!;
        Assert.Equal(["cat", "dog", "fox"], images.Classes);
        Assert.Equal([true, true, false], images.Labels[0]);
        Assert.Equal([false, false, false], images.Labels[1]);
        Assert.Equal([_folder.File("a.png"), _folder.File("b.png"), _folder.File("c.png")], images.Paths);
        Assert.Equal([2], Enumerable.Range(0, 3).Where(i => images.WithClassesOf(images with { Classes = ["fox", "dog", "cat"] }).Labels[i][0] == true)); // fox comes first now
        Assert.Contains("the class 'cat' is not among", Assert.Throws<DinoSharpException>(() => images.WithClassesOf(images with { Classes = ["dog", "fox"] })).Message);
        File.WriteAllText(_folder.File("one.csv"), "path,label\na.png,cat\n");
        Assert.Null(MultiLabelImages.TryOpen(_folder.File("one.csv"))); // one label for each
        Assert.Null(MultiLabelImages.TryOpen(_folder.Path));
        File.WriteAllText(_folder.File("none.csv"), "labels\ncat\n");
        Assert.Contains("must name the picture", Assert.Throws<DinoSharpException>(() => MultiLabelImages.TryOpen(_folder.File("none.csv"))).Message);
    }

    [Fact]
    public void BoxesGiveTheClassesThatAreShown()
    {
        foreach (string folder in (string[])["Annotations", "JPEGImages", "ImageSets/Main"]) Directory.CreateDirectory(_folder.File("voc", folder));
        File.WriteAllText(_folder.File("voc/ImageSets/Main/trainval.txt"), "000001\n");
        TinyModel.Picture(32, 32).Save(_folder.File("voc/JPEGImages/000001.png"));
        static string Object(string name, int difficult) => $"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>";
        File.WriteAllText(_folder.File("voc/Annotations/000001.xml"), $"<annotation><filename>000001.png</filename>{Object("cat", 0)}{Object("cat", 1)}{Object("dog", 1)}</annotation>");
        string description = $"VocLabels:split=trainval:root={_folder.File("voc")}";
        MultiLabelImages images = MultiLabelImages.TryOpen(description)!;
        Assert.Equal(["cat", "dog"], images.Classes);
        Assert.Equal([true, null], images.Labels[0]); // of the dog there is a difficult one only
        Assert.Contains("ImageSets/Main/test.txt", Assert.Throws<DinoSharpException>(() => MultiLabelImages.TryOpen(description.Replace("trainval", "test", StringComparison.Ordinal))).Message);
        Assert.Contains("the key split is missing", Assert.Throws<DinoSharpException>(() => MultiLabelImages.TryOpen("VocLabels:root=x")).Message);

        File.WriteAllText(_folder.File("i.json"), """{"images":[{"id":1,"file_name":"000001.png"}],"categories":[{"id":3,"name":"fox"},{"id":9,"name":"owl"}],"annotations":[{"image_id":1,"category_id":9,"bbox":[0,0,4,4]},{"image_id":1,"category_id":9,"bbox":[0,0,2,2]}]}""");
        MultiLabelImages coco = MultiLabelImages.TryOpen($"CocoLabels:file={_folder.File("i.json")}:root={_folder.File("voc/JPEGImages")}")!;
        Assert.Equal(["fox", "owl"], coco.Classes);
        Assert.Equal([false, true], coco.Labels[0]);
    }

    [Fact]
    public void PrecisionIsCountedByHandAndWhatDoesNotCountIsLeftOut()
    {
        // Two training pictures at 0° (a) and 90° (a and b). Pictures to score at 0, 30, 60 and 90°: by the nearest one, b scores 0, 0, 1, 1 and a always 1.
        using VectorSet train = Vectors(0, 90), val = Vectors(0, 30, 60, 90);
        MultiLabelImages learnt = Labels([true, false], [true, true]);
        // b is shown at 30 and 90°: of the two that score 1 one is right, then the other two tie: AP = ½·½ + ½·½.
        MultiLabelImages truth = Labels([true, false], [true, true], [true, false], [true, true]);
        EvaluationResult result = MultiLabelProtocol.Knn(train, learnt, val, truth, "by hand", new() { Neighbors = [1] });
        Assert.Equal((1, 0.5), (result.Metrics["ap a"], result.Metrics["ap b"]));
        Assert.Equal(0.75, result.Metrics["map"], 12);
        Assert.Equal(0.5, result.Metrics["auroc"], 12); // of b; a is shown by all
        Assert.Equal(0.75, result.Score([0, 1, 2, 3]), 12);
        Assert.Equal(1, result.Score([0, 3]), 12);
        // Were the pictures at 30 and 60° of difficult objects only, nothing would be wrong.
        MultiLabelImages difficult = Labels([true, false], [true, null], [true, null], [true, true]);
        Assert.Equal(1, MultiLabelProtocol.Knn(train, learnt, val, difficult, "", new() { Neighbors = [1] }).Metrics["map"], 12);
        Assert.Contains("shows any class", Assert.Throws<DinoSharpException>(() => MultiLabelProtocol.Knn(train, learnt, val, Labels([false, false], [false, false], [false, false], [false, false]), "")).Message);
    }

    [Fact]
    public void LogisticRegressionTellsEachClassFromItsDirection()
    {
        double[] angles = [.. Enumerable.Range(0, 40).Select(i => i * 9.0)];
        using VectorSet vectors = Vectors(angles);
        MultiLabelImages labels = Labels([.. angles.Select(a => (bool?[])[Math.Cos(a * Math.PI / 180) > 0.05, Math.Sin(a * Math.PI / 180) > 0.05])]); // right, and above
        (EvaluationResult result, IReadOnlyList<(double C, double Precision)> sweep) = MultiLabelProtocol.Logistic(vectors, labels, vectors, labels, "by hand", [1e-3, 1e3]);
        Assert.Equal(2, sweep.Count);
        Assert.InRange(result.Metrics["map"], 0.99, 1);
        Assert.Equal("logreg", result.Task);
        LiveTensors.AssertUnchangedBy(() => MultiLabelProtocol.Logistic(vectors, labels, vectors, labels, "", [1]));
    }

    private static MultiLabelImages Labels(params bool?[][] labels) => new("made up", [.. labels.Select((_, i) => $"{i}.png")], labels, ["a", "b"]);

    private static VectorSet Vectors(params double[] degrees) =>
        new(tensor(KnnProtocolTests.Directions(degrees)).DetachFromDisposeScope(), [.. degrees.Select((_, i) => i)], [.. degrees.Select((_, i) => $"{i}.png")], [.. degrees.Select((_, i) => $"{i}.png")], []);
}
