using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;
using Xunit;

namespace DinoSharp.Tests.Training.Protocols;

public sealed class ImageVectorizerTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    [Theory]
    [InlineData(Pooling.ClassToken)]
    [InlineData(Pooling.PatchMean)]
    [InlineData(Pooling.ClassTokenAndPatchMean)]
    [InlineData(Pooling.GeM)]
    public void StoredVectorsAreThoseOfTheModel(Pooling pooling)
    {
        for (int i = 0; i < 3; i++) tiny.Draw($"{pooling}/{(i == 0 ? "a" : "b")}/{i}.png", 60 + (10 * i), 48, seed: i);
        using ImageVectorizer vectorizer = ImageVectorizer.Open(tiny.Path, new VectorizerOptions { Pooling = pooling, CropPixels = 32, CacheFolder = tiny.File("cache-" + pooling) });
        using DinoModel model = DinoModel.Load(tiny.Path);
        FileDataset images = ImageFolder.Open(tiny.File(pooling.ToString()));
        for (int run = 1; run <= 2; run++)
        {
            using VectorSet set = vectorizer.Run(images);
            Assert.Equal(pooling == Pooling.GeM ? 3 * run : 3, vectorizer.Computed); // GeM needs every patch
            Assert.Equal([0, 1, 1], set.Labels);
            for (int i = 0; i < 3; i++)
            {
                using ImageTensor input = (Preprocessing.Evaluation with
                {
                    Normalization = model.Preprocessing.Normalization,
                    Size = SizePolicy.ShorterSide(37),
                    CenterCropPixels = 32,
                }).Apply(images.Read(i));
                float[] expected = model.Embed(input, new EmbedOptions { Pooling = pooling, UnitLength = false });
                float[] got = set.Vectors[i].data<float>().ToArray();
                Assert.Equal(expected.Length, got.Length);
                for (int d = 0; d < got.Length; d++) Assert.Equal(expected[d], got[d], 1e-4f);
            }
        }
    }

    [Fact]
    public void DrawnScenesHaveNoFileAndAreComputedEachTime()
    {
        using ImageVectorizer vectorizer = ImageVectorizer.Open(tiny.Path, new VectorizerOptions { CropPixels = 32, CacheFolder = tiny.File("drawn-cache") });
        for (int run = 1; run <= 2; run++)
        {
            using VectorSet set = vectorizer.Run(ImageDataset.Open("Synthetic:count=2:size=64"));
            Assert.Equal(2 * run, vectorizer.Computed);
        }

        Assert.False(Directory.Exists(tiny.File("drawn-cache")));
    }
}
