using System.Runtime.Intrinsics;
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
        InferenceRoute route;
        try
        {
            route = network.PrepareForInference(compute, null, long.MaxValue);
        }
        catch (DinoSharpException e) when (compute != ComputeType.Auto)
        {
            Assert.Skip(e.Message);
            return;
        }

        int compared = 0;
        foreach (GoldenCall call in golden.Calls.Where(c => c.Op == "forward_features" && !c.Flag("training")))
        {
            if (call.Input("x") is not { } images || images.dtype != ScalarType.Float32 || call.Input("masks") is not null) continue; // masked passes are training's
            using BackboneOutput got = network.ForwardFeatures(images);
            Tensor expected = cat([Recorded("x_norm_clstoken").unsqueeze(1), Recorded("x_norm_patchtokens")], 1); // [B, 1 + P, D]
            FeatureError error = FeatureError.Between(expected, cat([got.ClassToken.unsqueeze(1), got.Patches], 1));
            (double relative, double cosine) = compute == ComputeType.Int8 ? OfBytes(network) : (FeatureError.RelativeLimit, FeatureError.CosineLimit);
            output.WriteLine($"{name} {call.Id} {compute}: relative error {error.Relative:0.0e+0} of {relative:0.0e+0}, worst cosine {error.WorstCosine:F5} of {cosine:F5}; {route.Description}");
            Assert.True(error.Relative <= relative && error.WorstCosine >= cosine, $"{call.Id}: {error}, {route.Description}");
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
        InferenceRoute route;
        try
        {
            route = network.PrepareForInference(compute, null, long.MaxValue);
        }
        catch (DinoSharpException e) when (compute != ComputeType.Auto)
        {
            Assert.Skip(e.Message);
            return;
        }

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

    // A number of a row of n rounds by up to half of 1/127 of the largest (1/63 with seven bits of activations), which in normal data is √(2 ln 2n) times the typical one: a relative error of
    // that over 127·√12 for activations and the same for weights. 4 products in a block, 2 in one of a ConvNeXt, err independently; a single token may err twice as much as all of them together.
    // At the widths of published models residuals are larger than what is added to them, and the limits of every precision hold; these networks are tens of channels wide.
    private static (double Relative, double Cosine) OfBytes(Backbone network)
    {
        int width = network.Config.LayerWidth(network.Config.LayerCount - 1), products = (network is VisionTransformer ? 4 : 2) * network.BlockCount;
        double largest = Math.Sqrt(2 * Math.Log(2 * width)), ofWeights = largest / (127 * Math.Sqrt(12));
        double ofActivations = DotTile<Lanes256, Vector256<float>>.MostByte == 255 || Kernels.AreWide(ComputeType.Int8) ? ofWeights : 2 * ofWeights;
        double relative = Math.Max(FeatureError.RelativeLimit, Math.Sqrt(products * ((ofWeights * ofWeights) + (ofActivations * ofActivations))));
        return (relative, Math.Min(FeatureError.CosineLimit, 1 - (2 * relative * relative)));
    }
}
