using DinoSharp.Heads.Anomaly;
using DinoSharp.Images;
using DinoSharp.Training.Fitting;
using Xunit;

namespace DinoSharp.Tests.Training.Fitting;

public sealed class AnomalyFitTests(TinyModel tiny) : IClassFixture<TinyModel>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // A gray ground with a little noise; a faulty one has a bright spot in its lower right quarter.
    private string[] Draw(string name, int count, bool faulty)
    {
        Directory.CreateDirectory(_folder.File(name));
        return [.. Enumerable.Range(0, count).Select(i =>
        {
            var random = new Random((faulty ? 1000 : 0) + (name.Length * 50) + i);
            byte[] pixels = new byte[64 * 64 * 3];
            for (int p = 0; p < 64 * 64; p++)
            {
                bool spot = faulty && p % 64 is >= 40 and < 58 && p / 64 is >= 40 and < 58;
                for (int c = 0; c < 3; c++) pixels[(p * 3) + c] = (byte)(spot ? 250 - (120 * c) : 100 + random.Next(12));
            }

            string path = _folder.File(name, $"{i}.png");
            ImageBuffer.FromSamples<byte>(64, 64, 3, pixels).Save(path);
            return path;
        })];
    }

    [Fact]
    public void FaultsAreFoundAndLocated()
    {
        string[] good = Draw("good", 8, false), fine = Draw("fine!", 5, false), broken = Draw("broken", 5, true);
        using DinoModel model = DinoModel.Load(tiny.Path);
        using AnomalyFitResult result = AnomalyFit.Run(model, good, fine, broken, new AnomalyFitOptions { ImageSizePixels = 64, MaxPatches = 60, CacheFolder = tiny.File("cache") });
        Assert.Equal(1, result.Auroc!.Value.Value);
        Assert.Equal(1, result.Found!.Value.Value);
        Assert.InRange(result.Patches, 1, 60);
        Assert.Equal(result.NormalScores.Max(), result.Head.Threshold);
        string path = _folder.File("normal.safetensors");
        result.Head.Save(path);
        using AnomalyDetector head = AnomalyDetector.Load(model, path);
        AnomalyMap map = head.Predict(broken[0]);
        Assert.True(map.IsAnomalous);
        Assert.Equal((64, 64), (map.Width, map.Height));
        int worst = map.Scores.IndexOf(map.Scores.ToArray().Max());
        Assert.True(worst % 64 > 28 && worst / 64 > 28, $"the worst place is {worst % 64},{worst / 64}");
        Assert.Equal((64, 64), (map.Overlay(ImageFile.Read(broken[0])).Width, map.Height));
        Assert.Equal([true, true, true, true, true, false, false, false], result.Examples.Select(e => e.Unusual)); // five are broken, and of five fine ones the three worst
        Assert.All(result.Examples.Take(5), e => Assert.True(e.Map.IsAnomalous));
        Assert.Equal(result.Examples.Take(5).Select(e => e.Map.Score).OrderDescending(), result.Examples.Take(5).Select(e => e.Map.Score));
        Assert.Contains("three are needed", Assert.Throws<DinoSharpException>(() => AnomalyFit.Run(model, good[..2], options: new AnomalyFitOptions { ImageSizePixels = 64, CacheFolder = tiny.File("cache") })).Message);
    }

    [Fact]
    public void NothingLeaks()
    {
        string[] good = Draw("good", 4, false);
        using DinoModel model = DinoModel.Load(tiny.Path);
        LiveTensors.AssertUnchangedBy(() => AnomalyFit.Run(model, good, good, good, new AnomalyFitOptions { ImageSizePixels = 64, CacheFolder = tiny.File("cache") }).Dispose());
    }
}
