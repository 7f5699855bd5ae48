using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Inference;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>The recorded features of the reference against every precision that inference offers, and float32 against them on photographs with trained weights.</summary>
public sealed class ReducedPrecisionTests(ITestOutputHelper output)
{
    public static TheoryData<string, string, ComputeType> Cases()
    {
        var data = new TheoryData<string, string, ComputeType>();
        foreach (string folder in GoldenFolder.All)
        {
            foreach (GoldenEntry entry in GoldenFolder.Entries(folder).Where(e => e.Kind is "vit_backbone" or "convnext_backbone"))
            {
                foreach (ComputeType compute in new[] { ComputeType.BFloat16, ComputeType.Int8, ComputeType.Auto }) data.Add(folder, entry.Name, compute);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void GoldenFeaturesAreKeptWithinTheLimits(string folder, string name, ComputeType compute)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var golden = new GoldenCase(GoldenFolder.Entries(folder).First(e => e.Name == name));
        using Backbone network = golden.Entry.Kind == "vit_backbone" ? new VisionTransformer(ConfigReader.Vit(golden.Config)) : new ConvNeXt(ConfigReader.ConvNeXt(golden.Config));
        BackboneCalls.Load(network, golden.WeightsFile);
        InferenceRoute route = Prepare(network, compute);

        int compared = 0;
        foreach (GoldenCall call in golden.Calls.Where(c => c.Op == "forward_features" && !c.Flag("training")))
        {
            if (call.Input("x") is not { } images || images.dtype != ScalarType.Float32 || call.Input("masks") is not null) continue; // masked passes are training's
            using BackboneOutput got = network.ForwardFeatures(images);
            Tensor expected = cat([Recorded("x_norm_clstoken").unsqueeze(1), Recorded("x_norm_patchtokens")], 1); // [B, 1 + P, D]
            FeatureError error = FeatureError.Between(expected, cat([got.ClassToken.unsqueeze(1), got.Patches], 1));
            output.WriteLine($"{name} {call.Id} {compute}: relative error {error.Relative:0.0e+0}, worst cosine {error.WorstCosine:F5}; {route.Description}");
            Assert.True(error.IsWithinLimits, $"{call.Id}: {error}, {route.Description}");
            compared++;

            Tensor Recorded(string key) => golden.Tensor(call.Outputs.First(o => o.Key == key).TensorName);
        }

        Assert.SkipWhen(compared == 0, "the case has no plain forward pass");
    }

    /// <summary>Trained weights of a real width hold the limits in every precision.</summary>
    [Theory]
    [InlineData(ComputeType.BFloat16)]
    [InlineData(ComputeType.Int8)]
    [InlineData(ComputeType.Auto)]
    public void TheModelThatComesAlongKeepsTheLimitsOnPhotographs(ComputeType compute)
    {
        string[] pictures = [.. Directory.GetFiles(Repository.Shared("data/highres"), "*.jpg").Order(StringComparer.Ordinal)];
        Assert.NotEmpty(pictures);
        using var quiet = no_grad();
        ModelLoader.Loaded loaded = ModelLoader.Load(Presets.DefaultModel, new DinoModelOptions { Compute = ComputeType.Float32 }, CancellationToken.None);
        using Backbone network = loaded.Backbone;
        InferenceRoute route = Prepare(network, compute);

        foreach (string picture in pictures)
        {
            using var scope = NewDisposeScope();
            using ImageTensor input = loaded.Preprocessing.Apply(ImageFile.Read(picture));
            Tensor images = input.Tensor.dim() == 3 ? input.Tensor.unsqueeze(0) : input.Tensor; // [1, C, H, W]
            Tensor expected = FeatureError.Expected(network, images);
            using BackboneOutput got = network.ForwardFeatures(images);
            FeatureError error = FeatureError.Between(expected, cat([got.ClassToken.unsqueeze(1), got.Registers, got.Patches], 1));
            output.WriteLine($"{Path.GetFileName(picture)} {compute}: {error}; {route.Description}");
            Assert.True(error.IsWithinLimits, $"{Path.GetFileName(picture)}: {error}, {route.Description}");
        }
    }

    // Skipped where there are no such kernels; Auto always has some.
    private static InferenceRoute Prepare(Backbone network, ComputeType compute)
    {
        try
        {
            return network.PrepareForInference(compute, null, long.MaxValue);
        }
        catch (DinoSharpException e) when (compute != ComputeType.Auto)
        {
            Assert.Skip(e.Message);
            throw;
        }
    }
}
