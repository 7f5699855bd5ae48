using DinoSharp.Evaluation;
using DinoSharp.Images;
using DinoSharp.Tests.Training.Fitting;
using DinoSharp.Training.Data.Annotations;
using Xunit;

namespace DinoSharp.Tests.Training.Data.Annotations;

public sealed class BoxAnnotationsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private void Write(string text, params string[] names)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_folder.File(names))!);
        File.WriteAllText(_folder.File(names), text);
    }

    [Fact]
    public void VocAndCocoOfTheSameDataAgree()
    {
        string root = Repository.Shared("data/detection/bccd");
        BoxAnnotations voc = BoxAnnotations.ReadVoc(root, "val"), coco = BoxAnnotations.ReadCoco(Path.Combine(root, "instances_val.json"), Path.Combine(root, "JPEGImages"));
        Dictionary<string, BoxedImage> byName = coco.Images.ToDictionary(i => Path.GetFileName(i.Path));
        Assert.Equal(coco.Images.Count, voc.Images.Count);
        foreach (BoxedImage image in voc.Images)
        {
            BoxedImage other = byName[Path.GetFileName(image.Path)];
            AnnotatedObject[] objects = [.. image.Objects.Where(o => o.Box.Width > 1 && o.Box.Height > 1)]; // one XML has a box of a single pixel, a slip that the conversion to COCO left out
            Assert.Equal(other.Objects.Count, objects.Length);
            foreach (AnnotatedObject o in objects)
                Assert.Contains(other.Objects, c => coco.Categories[c.Category] == voc.Categories[o.Category] && Math.Abs(c.Box.X - o.Box.X) < 1.5 && Math.Abs(c.Box.Y - o.Box.Y) < 1.5 && Math.Abs(c.Box.Width - o.Box.Width) < 1.5);
        }
    }

    [Fact]
    public void CocoSaysWhatIsWrong()
    {
        string root = PaintedScenes.Draw(_folder, "set", 2, seed: 1), file = Path.Combine(root, "boxes.json"), text = File.ReadAllText(file);
        BoxAnnotations set = BoxAnnotations.ReadCoco(file, Path.Combine(root, "images"));
        Assert.Equal((2, "box"), (set.Images.Count, set.Categories[5]));
        Assert.Contains("is missing, but", Error(text, "elsewhere"));
        Assert.Contains("category_id 6", Error(text.Replace("\"category_id\":5", "\"category_id\":6")));
        Assert.Contains("image_id 9", Error(text.Replace("\"image_id\":100", "\"image_id\":9")));
        Assert.Contains("no COCO annotation", Error("{}x"));
        Assert.Contains("'categories' is missing", Error("{\"images\":[],\"annotations\":[]}"));

        string Error(string content, string images = "images")
        {
            File.WriteAllText(file, content);
            return Assert.Throws<DinoSharpException>(() => BoxAnnotations.ReadCoco(file, Path.Combine(root, images))).Message;
        }
    }

    [Fact]
    public void CategoriesOfTwoFilesMeetByName()
    {
        var objects = new AnnotatedObject[] { new(0, 1, new Box(0, 0, 4, 4)), new(0, 2, new Box(4, 4, 4, 4)) };
        var train = new BoxAnnotations("train", [], new Dictionary<int, string> { [7] = "cat", [9] = "dog" });
        var val = new BoxAnnotations("val", [new BoxedImage("a.png", 8, 8, objects)], new Dictionary<int, string> { [1] = "dog", [2] = "cat", [3] = "cow" });
        Assert.Equal([9, 7], val.Renumber(train).Images[0].Objects.Select(o => o.Category)); // cow is named, but not seen
        var cow = val with { Images = [new BoxedImage("a.png", 8, 8, [new(0, 3, new Box(0, 0, 4, 4))])] };
        Assert.Contains("val: the category 'cow' (3) is not among those of train: cat, dog", Assert.Throws<DinoSharpException>(() => cow.Renumber(train)).Message);
    }

    [Theory]
    [InlineData("True", false)]
    [InlineData("false", true)]
    [InlineData("no", true)]
    [InlineData("", true)]
    [InlineData("1", false)]
    public void TheColumnIgnoreIsReadInEveryWording(string word, bool counts)
    {
        Write($"id,name,Ignore\n0,a,0\n1,b,0\n2,c,{word}\n", "classes.csv");
        Assert.Equal(counts, ClassTable.Read(_folder.File("classes.csv")).Names.ContainsKey(2));
        Write("id,name,ignore\n0,a,0\n1,b,maybe\n", "odd.csv");
        Assert.Contains("line 3: the column ignore has 'maybe'", Assert.Throws<DinoSharpException>(() => ClassTable.Read(_folder.File("odd.csv"))).Message);
    }

    [Fact]
    public void YoloGivesPixels()
    {
        PaintedScenes.Draw(_folder, "set", 1, seed: 1);
        Directory.CreateDirectory(_folder.File("yolo", "images", "train"));
        File.Copy(_folder.File("set", "images", "00.png"), _folder.File("yolo", "images", "train", "a.png"));
        Write("path: .\ntrain: images/train\nnames:\n  0: cat\n  1: dog\n", "yolo", "data.yaml");
        Write("1 0.5 0.5 0.25 0.5\n", "yolo", "labels", "train", "a.txt");
        BoxAnnotations set = BoxAnnotations.ReadYolo(_folder.File("yolo", "data.yaml"), "train");
        AnnotatedObject o = Assert.Single(Assert.Single(set.Images).Objects);
        Assert.Equal((1, new Box(36, 16, 24, 32)), (o.Category, o.Box)); // of 96x64 pixels
        Write("1 0.5 0.5 0.25 0.5\n2 0.1 0.1 0.1 0.1\n", "yolo", "labels", "train", "a.txt");
        Assert.Contains("a.txt, line 2: the class 2", Assert.Throws<DinoSharpException>(() => BoxAnnotations.ReadYolo(_folder.File("yolo", "data.yaml"), "train")).Message);
        Write("1 0.5 1.5 0.25 0.5\n", "yolo", "labels", "train", "a.txt");
        Assert.Contains("from 0 to 1", Assert.Throws<DinoSharpException>(() => BoxAnnotations.ReadYolo(_folder.File("yolo", "data.yaml"), "train")).Message);
        Write("0 0.5 0.5 0.2 0.2 0.9\n", "yolo", "labels", "train", "a.txt"); // a sixth number is no polygon
        Assert.Contains("or a polygon", Assert.Throws<DinoSharpException>(() => BoxAnnotations.ReadYolo(_folder.File("yolo", "data.yaml"), "train")).Message);
        Assert.Contains("'val' is missing", Assert.Throws<DinoSharpException>(() => BoxAnnotations.ReadYolo(_folder.File("yolo", "data.yaml"), "val")).Message);
    }

    [Fact]
    public void VocNamesTheLayoutItExpects() =>
        Assert.Contains("ImageSets/Main/train.txt", Assert.Throws<DinoSharpException>(() => BoxAnnotations.ReadVoc(_folder.Path, "train")).Message);
}
