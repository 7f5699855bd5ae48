using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Fitting;

public sealed class LayerAdvisorTests(TinyModel tiny) : IClassFixture<TinyModel>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void NeighborsOfTheSameGroupDoNotVote()
    {
        using var scope = NewDisposeScope();
        // Two pairs that lie together; in each pair one of either class.
        Tensor x = tensor(new float[] { 1, 0, 1, 0.01f, 0, 1, 0.01f, 1 }, [4, 2]);
        LabelledImages apart = new("apart", ["a", "b", "c", "d"], [0, 0, 1, 1], ["x", "y"]), together = new("together", apart.Paths, apart.Labels, apart.Classes, ["p", "p", "q", "q"]);
        Assert.Equal([1, 1, 1, 1], LayerAdvisor.Hits(x, apart, neighbors: 1));
        Assert.Equal([0, 0, 0, 0], LayerAdvisor.Hits(x, together, neighbors: 1));
    }

    [Fact]
    public void TriesEveryLookOnceAndComparesWithTheDefault()
    {
        LabelledImages images = LabelledImages.Open(TwoScenes.Draw(_folder, "set", 8, seed: 1));
        using DinoModel model = DinoModel.Load(tiny.Path);
        var options = new AdvisorOptions { Sizes = [64, 96], PerClass = 6, CacheFolder = tiny.File("cache") };
        Advice advice = LayerAdvisor.Run(model, images, options);
        Assert.Equal(12, advice.Count);
        Assert.Equal(3 * 12, advice.Computed); // two sizes and the model's own
        Assert.Equal(3 * 2 * 2, advice.Tried.Count); // sizes, layers 1 and 2, with and without the mean patch
        Assert.Equal((0, 0), (advice.Default.Gain.Value, advice.Default.Gain.High));
        Assert.All(advice.Tried, l => Assert.Equal(l.Score.Value - advice.Default.Score.Value, l.Gain.Value, 10));
        Assert.Equal(0, LayerAdvisor.Run(model, images, options).Computed);
    }
}
