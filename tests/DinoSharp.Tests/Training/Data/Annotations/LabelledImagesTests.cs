using DinoSharp.Training.Data.Annotations;
using Xunit;

namespace DinoSharp.Tests.Training.Data.Annotations;

public sealed class LabelledImagesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Table(string text)
    {
        File.WriteAllText(_folder.File("table.csv"), text);
        return _folder.File("table.csv");
    }

    [Fact]
    public void AFolderForEachClassIsNumberedByName()
    {
        foreach (string file in (string[])["zebra/a.jpg", "ant/deep/b.png", "ant/c.jpg", "ant/notes.txt"])
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_folder.File("set", file))!);
            File.WriteAllText(_folder.File("set", file), "");
        }

        LabelledImages images = LabelledImages.Open(_folder.File("set"));
        Assert.Equal(["ant", "zebra"], images.Classes);
        Assert.Equal([0, 0, 1], images.Labels);
        Directory.CreateDirectory(_folder.File("set", "bee"));
        Assert.Contains("the class 'bee' has no pictures", Assert.Throws<DinoSharpException>(() => LabelledImages.Open(_folder.File("set"))).Message);
    }

    [Fact]
    public void ATableSaysWhichColumnOrCellIsMissing()
    {
        LabelledImages images = LabelledImages.Open(Table("path,label,patient\na.png,2,p1\nsub/b.png,10,p2\n"), "patient");
        Assert.Equal(["10", "2"], images.Classes);
        Assert.Equal(["p1", "p2"], images.Groups!);
        Assert.Equal(_folder.File("sub", "b.png"), images.Paths[1]);
        Assert.Contains("'ward' must hold the group", Error("path,label\na.png,x\n", "ward"));
        Assert.Contains("must hold the class", Error("path,kind\na.png,x\n"));
        Assert.Contains("line 3: the column label is empty", Error("path,label\na.png,x\nb.png,\n"));
        Assert.Contains("no rows", Error("path,label\n"));

        string Error(string text, string? group = null) => Assert.Throws<DinoSharpException>(() => LabelledImages.Open(Table(text), group)).Message;
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void GroupsStayTogetherAndEveryClassCanBeLearnt(int seed)
    {
        var random = new Random(seed);
        string[] rows = [.. Enumerable.Range(0, 90).Select(i => $"{i}.png,{"abc"[i % 3]},g{random.Next(12)}")];
        LabelledImages images = LabelledImages.Open(Table("path,label,group\n" + string.Join('\n', rows)), "group");
        (LabelledImages train, LabelledImages held) = images.Divide(0.25, seed);
        Assert.Equal(90, train.Count + held.Count);
        Assert.Empty(train.Groups!.Intersect(held.Groups!));
        Assert.Equal(3, train.Labels.Distinct().Count());
        Assert.InRange(held.Count, 10, 60);
    }

    [Fact]
    public void TheColumnSplitDecides()
    {
        (LabelledImages train, LabelledImages held) = LabelledImages.Open(Table("path,label,split\na.png,x,train\nb.png,y,train\nc.png,x,val\n")).Divide();
        Assert.Equal((2, 1), (train.Count, held.Count));
        Assert.EndsWith("c.png", held.Paths[0]);
        Assert.Contains("'maybe'", Assert.Throws<DinoSharpException>(() => LabelledImages.Open(Table("path,label,split\na.png,x,maybe\n")).Divide()).Message);
    }

    [Fact]
    public void AClassThatTrainingDoesNotKnowIsNamed()
    {
        LabelledImages images = LabelledImages.Open(Table("path,label\na.png,x\nb.png,z\n"));
        Assert.Equal([1, 2], images.Renumber(["w", "x", "z"]).Labels);
        Assert.Contains("'z' is not among", Assert.Throws<DinoSharpException>(() => images.Renumber(["x", "y"])).Message);
    }
}
