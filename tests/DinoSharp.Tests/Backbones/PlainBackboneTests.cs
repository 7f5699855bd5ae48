using DinoSharp.Backbones;
using DinoSharp.Features;
using DinoSharp.Images;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Backbones;

public sealed class PlainBackboneTests
{
    [Fact]
    public void TheSimilarityOfTwoPatchesOfPixelsIsTheirCorrelation()
    {
        using var scope = NewDisposeScope();
        Tensor images = rand(2, 3, 40, 48, generator: new Generator(3)); // the last 8 rows fill no patch
        LayerFeatures features = Layer("baseline:pixels", images);
        Assert.Equal((2, 3, 768L, 0L), (features.GridHeight, features.GridWidth, features.Patches.shape[2], features.Registers.shape[1]));
        Tensor first = images[1, .., ..16, ..16].flatten(), fourth = images[1, .., 16..32, ..16].flatten(); // [768]
        double expected = nn.functional.cosine_similarity(first - first.mean(), fourth - fourth.mean(), dim: 0).item<float>();
        Assert.Equal(expected, nn.functional.cosine_similarity(features.Patches[1, 0], features.Patches[1, 3], dim: 0).item<float>(), 5);
    }

    [Fact]
    public void GradientsOfAStripedPatchPointAcrossTheStripesAndColorsAreCounted()
    {
        using var scope = NewDisposeScope();
        Tensor columns = arange(32).remainder(4).ge(2).to(ScalarType.Float32).expand(1, 3, 32, 32); // [1, 3, 32, 32], vertical stripes
        float[] upright = Layer("baseline:hog", columns).Patches[0, 3].data<float>().ToArray(), lying = Layer("baseline:hog", columns.transpose(2, 3).contiguous()).Patches[0, 3].data<float>().ToArray();
        Assert.Equal(100, upright.Length);
        Assert.Equal(0, Sum(upright, 4), 5); // orientation 4 of 9 is the gradient along y
        Assert.Equal(0, Sum(lying, 0), 5);
        Assert.True(Sum(upright, 0) > 0.5 && Sum(lying, 4) > 0.5);
        float[] colors = upright[36..];
        Assert.Equal(Math.Sqrt(0.5), colors[0], 5); // half black
        Assert.Equal(Math.Sqrt(0.5), colors[63], 5); // half white
        Assert.Equal(1, colors.Sum(c => (double)c * c), 5);

        // The four cells of an orientation follow each other.
        static double Sum(float[] patch, int orientation) => patch.Skip(orientation * 4).Take(4).Sum();
    }

    [Fact]
    public void ABaselineIsAModelLikeAnyOther()
    {
        using DinoModel model = DinoModel.Load("baseline:hog");
        ImageBuffer picture = Gray();
        using ImageFeatures features = model.Extract(picture);
        Assert.Equal(100, features.Layers[0].Patches.shape[2]);
        Assert.Contains("nothing to train", Assert.Throws<DinoSharpException>(() => model.Backbone.ForwardTraining([], [], new Generator(0))).Message);
        Assert.Contains("known baselines are baseline:hog and baseline:pixels", Assert.Throws<DinoSharpException>(() => DinoModel.Load("baseline:sift")).Message);

        static ImageBuffer Gray() => ImageBuffer.FromSamples<byte>(64, 48, 3, Enumerable.Range(0, 64 * 48 * 3).Select(i => (byte)i).ToArray());
    }

    private static LayerFeatures Layer(string name, Tensor images)
    {
        using DinoModel model = DinoModel.Load(name);
        return model.Backbone.GetLayers(images, LayerSelection.Final)[0];
    }
}
