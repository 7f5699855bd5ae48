using DinoSharp.Backbones;
using DinoSharp.Heads.Text;
using DinoSharp.Images;
using DinoSharp.Tests.Heads;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;
using Xunit;

namespace DinoSharp.Tests.Training.Protocols;

public sealed class TextProtocolTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TextsClassifyAsTheClassifierDoes()
    {
        using Backbone backbone = TinyHeads.Backbone();
        using DinoText text = TinyHeads.Text(backbone);
        foreach (string name in (string[])["red_ball", "sky"])
        {
            for (int i = 0; i < 2; i++)
            {
                Directory.CreateDirectory(_folder.File(name));
                TinyModel.Picture(64, 48, i + name.Length).Save(_folder.File($"{name}/{i}.png"));
            }
        }

        File.WriteAllText(_folder.File("sky/broken.png"), "nothing");
        FileDataset images = ImageFolder.Open(_folder.File("."), labelled: true);
        (EvaluationResult result, IReadOnlyList<ImageException> skipped) = TextProtocol.Classify(text, images, "tiny");
        Assert.Contains("broken.png", Assert.Single(skipped).Name);
        using ZeroShotClassifier classifier = text.CreateClassifier(new DinoSharp.Heads.ClassNames(["red ball", "sky"]));
        int[] readable = [.. Enumerable.Range(0, images.Count).Where(i => !images.PathOf(i).Contains("broken"))];
        Assert.Equal(readable.Average(i => classifier.Predict(images.Read(i)).Top.Index == images.LabelOf(i) ? 1.0 : 0), result.Metrics["top1"], 12);
        Assert.Equal(4, result.Items.Count);
        Assert.Contains("3 names are given for 2 classes", Assert.Throws<DinoSharpException>(() => TextProtocol.Classify(text, images, "", new DinoSharp.Heads.ClassNames(["a", "b", "c"]))).Message);
    }
}
