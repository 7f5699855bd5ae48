using DinoSharp.Evaluation;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Protocols;

/// <summary>The standard test sets of ImageNet, each as a tree of a few files.</summary>
public sealed class ClassifierTestTests : IDisposable
{
    private static readonly string[] Wnids = ["n01", "n02", "n03"];
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private void Pictures(params string[] names)
    {
        foreach (string name in names)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_folder.File(name))!);
            TinyModel.Picture(8, 8).Save(_folder.File(name));
        }
    }

    // Three classes whose names do not tell them apart, as happens in ImageNet.
    private (ImageDataset Train, ImageDataset Val) ImageNet()
    {
        Pictures([.. Wnids.Select(w => $"in/train/{w}/{w}_1.JPEG"), .. Wnids.Select((w, i) => $"in/val/{w}/ILSVRC2012_val_0000000{i + 1}.JPEG")]);
        File.WriteAllText(_folder.File("in/labels.txt"), "n01,crane\nn02,crane\nn03,tench\n");
        return (ImageDataset.Open($"ImageNet:split=TRAIN:root={_folder.File("in")}"), ImageDataset.Open($"ImageNet:split=VAL:root={_folder.File("in")}"));
    }

    // A classifier that always prefers class 1, then 0, then 2; its vectors are of no account.
    private static EvaluationResult Score(ClassifierTest test) => test.Score("linear", "by hand",
        images => new VectorSet(zeros(images.Count, 2).DetachFromDisposeScope(), [.. Enumerable.Range(0, images.Count).Select(i => images.LabelOf(i)!.Value)], [.. Enumerable.Range(0, images.Count).Select(images.PathOf)], images.Classes, []),
        vectors => tensor(new float[] { 2, 3, 1 }).expand(vectors.shape[0], 3)).Result;

    [Fact]
    public void FoldersAreMatchedByWnidAndOnlyTheirClassesCompete()
    {
        (ImageDataset train, ImageDataset val) = ImageNet();
        Pictures("a/n01/x.jpg", "a/n03/y.jpg", "a/n03/z.jpg");
        ClassifierTest test = ClassifierTest.Open($"ImageNet-A={_folder.File("a")}", train, val);
        Assert.Equal(("ImageNet-A", _folder.File("a")), (test.Name, test.Source));
        EvaluationResult result = Score(test);
        Assert.Equal(1.0 / 3, result.Metrics["top1"], 12); // class 1 has no picture here, so class 0 wins
        Assert.Equal(("2", 3), (result.Settings["classes"], result.Items.Count));
        Assert.Equal("a", ClassifierTest.Open(_folder.File("a") + "/", train, val).Name);
        Pictures("a/n04/q.jpg");
        Assert.Contains("the folder n04 is no class", Assert.Throws<DinoSharpException>(() => ClassifierTest.Open(_folder.File("a"), train, val)).Message);
        string missing = Assert.Throws<DinoSharpException>(() => ClassifierTest.Open("R=" + _folder.File("gone"), train, val)).Message;
        Assert.Contains(_folder.File("gone"), missing);
        Assert.Contains("CORRUPTION/LEVEL/CLASS", missing);
        LiveTensors.AssertUnchangedBy(() => Score(test));
    }

    [Fact]
    public void NumbersStandForAllClassesInOrder()
    {
        (ImageDataset train, ImageDataset val) = ImageNet();
        Pictures("v2/0/a.jpeg", "v2/1/a.jpeg", "v2/1/b.jpeg", "v2/2/a.jpeg");
        Assert.Equal(0.5, Score(ClassifierTest.Open(_folder.File("v2"), train, val)).Metrics["top1"]);
        Directory.Delete(_folder.File("v2/2"), recursive: true);
        Assert.Contains("the folder 0 is no class", Assert.Throws<DinoSharpException>(() => ClassifierTest.Open(_folder.File("v2"), train, val)).Message);
    }

    [Fact]
    public void CorruptionsGiveTheMeanCorruptionError()
    {
        (ImageDataset train, ImageDataset val) = ImageNet();
        foreach (string corruption in (string[])["noise/shot_noise", "fog"])
        {
            for (int level = 1; level <= 5; level++) Pictures([.. Wnids.Select(w => $"c/{corruption}/{level}/{w}/p.JPEG")]);
        }

        ClassifierTest test = ClassifierTest.Open(_folder.File("c"), train, val);
        EvaluationResult result = Score(test);
        Assert.Equal(("mce", false, 30), (result.Headline, result.HigherIsBetter, result.Items.Count));
        Assert.Equal(1.0 / 3, result.Metrics["top1"], 12);
        Assert.Equal(2.0 / 3, result.Metrics["error fog"], 12);
        // Two of three are wrong at every level: 0.667 over the mean error of AlexNet.
        Assert.Equal((2.0 / 3 / 0.894468 + (2.0 / 3 / 0.819324)) / 2, result.Metrics["mce"], 5);
        Assert.Equal(result.Metrics["mce"], result.Score([.. Enumerable.Range(0, 30)]), 12);
        ConfidenceInterval interval = result.Interval; // a photograph is drawn in all its versions, so that no level is empty
        Assert.True(double.IsFinite(interval.Low) && interval.Low <= result.Metrics["mce"] && interval.High >= result.Metrics["mce"]);
        Directory.Delete(_folder.File("c/fog/4"), recursive: true);
        Assert.Contains(Path.Combine("fog", "4"), Assert.Throws<DinoSharpException>(() => ClassifierTest.Open(_folder.File("c"), train, val)).Message);
    }

    [Fact]
    public void RealLabelsComeByNumberAndMayBeSeveralOrNone()
    {
        (ImageDataset train, ImageDataset val) = ImageNet();
        File.WriteAllText(_folder.File("real.json"), "[[0, 1], [], [2]]");
        EvaluationResult result = Score(ClassifierTest.Open("ImageNet-ReaL=" + _folder.File("real.json"), train, val));
        Assert.Equal((0.5, 2), (result.Metrics["top1"], result.Items.Count)); // the first has class 1 among its labels, the second counts not at all
        File.WriteAllText(_folder.File("real.json"), "[[0], [999], [2]]");
        Assert.Contains("labels up to 999", Assert.Throws<DinoSharpException>(() => ClassifierTest.Open(_folder.File("real.json"), train, val)).Message);
        File.WriteAllText(_folder.File("real.json"), "[[0]]");
        Assert.Contains("ILSVRC2012_val_00000002.JPEG", Assert.Throws<DinoSharpException>(() => ClassifierTest.Open(_folder.File("real.json"), train, val)).Message);
        File.WriteAllText(_folder.File("real.json"), "{}");
        Assert.Contains("no list of labels", Assert.Throws<DinoSharpException>(() => ClassifierTest.Open(_folder.File("real.json"), train, val)).Message);
    }
}
