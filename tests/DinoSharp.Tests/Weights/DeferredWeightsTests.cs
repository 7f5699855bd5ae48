using DinoSharp.Backbones;
using DinoSharp.Weights;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Weights;

public sealed class DeferredWeightsTests : IDisposable
{
    private const int Depth = 12; // sorted by name, blocks 10 and 11 come before block 2

    private static readonly Dictionary<string, Action<VisionTransformer>> Ways = new()
    {
        ["state dict"] = network => network.state_dict(),
        ["parameters"] = network => _ = network.parameters().Count(),
        ["named parameters"] = network => _ = network.named_parameters().Count(),
        ["a parameter by its name"] = network =>
        {
            foreach (ParameterOutline parameter in network.Outline()) _ = network.get_parameter(parameter.Name);
        },
        ["parameters of modules"] = network => _ = network.named_modules().Sum(module => module.module.parameters(recurse: false).Count()),
        ["state dicts of children"] = network => _ = network.children().Sum(child => child.state_dict().Count),
        ["another type"] = network => network.to(ScalarType.Float64).to(ScalarType.Float32),
        ["saving"] = network =>
        {
            using var stream = new MemoryStream();
            network.save(stream);
        },
        ["a pass with gradients"] = network => network.ForwardFeatures(Pixels()),
        ["a pass with masks"] = network => network.ForwardFeatures(Pixels(), zeros([1, 6], ScalarType.Bool)),
        ["a training pass"] = network => network.ForwardTraining([Pixels()], [null], new Generator(1)),
        ["a pass of the layers"] = network => network.RunLayers(Pixels(), [Depth - 1]),
    };

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> NamesOfWays => [.. Ways.Keys];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(NamesOfWays))]
    public void Every_way_to_the_numbers_fills_them_first(string way)
    {
        string path = Save(FeedForwardKind.Mlp, ScalarType.BFloat16);
        using var scope = NewDisposeScope();
        using DinoModel model = DinoModel.Load(path);
        var network = (VisionTransformer)model.Backbone;
        RequireDeferred(network);
        Ways[way](network);
        Assert.Equal(0, InFile(network));
        RequireNumbersOfFile(network, path);
    }

    [Fact]
    public void Attention_maps_are_those_of_a_filled_network()
    {
        string path = Save(FeedForwardKind.Mlp, ScalarType.Float32);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using DinoModel model = DinoModel.Load(path);
        using BackboneWeights weights = BackboneWeights.Open(path);
        using var filled = (VisionTransformer)weights.CreateBackbone(cancel: TestContext.Current.CancellationToken);
        RequireDeferred(model.Backbone);
        Tensor expected = filled.AttentionMaps(Pixels(), 0), actual = ((VisionTransformer)model.Backbone).AttentionMaps(Pixels(), 0); // [B, A, 1 + R, N]
        Assert.True(actual.equal(expected).all().item<bool>());
        Assert.Equal((4 * Depth) - 1, InFile(model.Backbone)); // queries and keys of one block
    }

    [Theory]
    [InlineData(FeedForwardKind.Mlp, ScalarType.Float32)]
    [InlineData(FeedForwardKind.Mlp, ScalarType.BFloat16)]
    [InlineData(FeedForwardKind.SwiGlu, ScalarType.BFloat16)]
    public void Packing_from_the_file_gives_the_same_bits_as_packing_afterwards(FeedForwardKind feedForward, ScalarType type)
    {
        using DinoModel model = DinoModel.Load(Save(feedForward, type));
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor loaded = model.Backbone.forward(Pixels()); // [B, D]
        RequireDeferred(model.Backbone); // the pass needed none
        model.Backbone.state_dict();
        model.Backbone.PrepareForInference();
        Tensor packedAgain = model.Backbone.forward(Pixels()); // [B, D]
        Assert.True(loaded.equal(packedAgain).all().item<bool>());
        foreach (Tensor parameter in model.Backbone.parameters()) parameter.zero_();
        model.Backbone.PrepareForInference(); // nothing of the first packing may be left
        Assert.Equal(0, model.Backbone.forward(Pixels()).abs().sum().item<float>());
    }

    [Fact]
    public void The_fingerprint_does_not_depend_on_where_the_weights_are()
    {
        string path = Save(FeedForwardKind.SwiGlu, ScalarType.BFloat16);
        using DinoModel deferred = DinoModel.Load(path), filled = DinoModel.Load(path, new DinoModelOptions { Compute = ComputeType.Auto });
        RequireDeferred(deferred.Backbone);
        Assert.Equal(0, InFile(filled.Backbone));
        Assert.Equal(filled.Fingerprint, deferred.Fingerprint);
    }

    [Fact]
    public void A_file_that_is_replaced_or_deleted_stays_what_it_was()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "files that are open keep their names on Windows until they are closed");
        string path = Save(FeedForwardKind.Mlp, ScalarType.Float32), copy = _folder.File("copy.safetensors");
        File.Copy(path, copy);
        using var scope = NewDisposeScope();
        using DinoModel model = DinoModel.Load(path);
        RequireDeferred(model.Backbone);
        File.Delete(path);
        RequireNumbersOfFile(model.Backbone, copy);
    }

    [Fact]
    public void A_file_that_is_written_into_is_an_error_when_it_is_needed_again()
    {
        string path = Save(FeedForwardKind.Mlp, ScalarType.Float32);
        using var scope = NewDisposeScope();
        using DinoModel model = DinoModel.Load(path);
        RequireDeferred(model.Backbone);
        using (var stream = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            stream.Position = stream.Length - 4;
            stream.Write([1, 2, 3, 4]);
        }

        File.SetLastWriteTimeUtc(path, DateTime.UtcNow.AddSeconds(5)); // however coarse the clock of the file system is
        string message = Assert.Throws<TensorFileException>(() => model.Backbone.state_dict()).Message;
        Assert.Contains(path, message);
        Assert.Contains("was changed after it was opened", message);
        Assert.Throws<TensorFileException>(() => model.Backbone.ForwardFeatures(Pixels(), zeros([1, 6], ScalarType.Bool))); // and stays one
    }

    [Fact]
    public void A_file_that_is_cut_short_meanwhile_is_an_error_and_leaves_nothing()
    {
        LiveTensors.AssertUnchangedBy(() =>
        {
            string path = Save(FeedForwardKind.Mlp, ScalarType.Float32);
            using BackboneWeights weights = BackboneWeights.Open(path);
            using (var stream = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite)) stream.SetLength(stream.Length / 2);
            Assert.Contains("cut short", Assert.Throws<TensorFileException>(() => weights.CreateBackbone(null, _ => true, CancellationToken.None)).Message);
        });
    }

    [Fact]
    public void Loading_can_be_stopped_while_blocks_are_packed()
    {
        string path = Save(FeedForwardKind.Mlp, ScalarType.Float32);
        LiveTensors.AssertUnchangedBy(() =>
        {
            using BackboneWeights weights = BackboneWeights.Open(path);
            using var stop = new CancellationTokenSource();
            using Backbone network = weights.CreateBackbone(null, _ => true, stop.Token);
            RequireDeferred(network);
            stop.Cancel();
            Assert.ThrowsAny<OperationCanceledException>(() => network.PrepareForInference());
        });
    }

    private static Tensor Pixels() => randn([1, 3, 48, 32], generator: new Generator(1)); // [B, C, H, W]

    private static int InFile(Backbone network) => network.Outline().Count(parameter => parameter.Layer is { IsDeferred: true });

    private static void RequireDeferred(Backbone network)
    {
        Assert.SkipUnless(network.HasKernels(ComputeType.Float32), "this processor has no kernels of ours, so everything is read at once");
        Assert.True(InFile(network) >= 4 * Depth);
    }

    private static void RequireNumbersOfFile(Backbone network, string path)
    {
        using BackboneWeights weights = BackboneWeights.Open(path);
        using Backbone filled = weights.CreateBackbone(cancel: TestContext.Current.CancellationToken);
        Dictionary<string, Tensor> expected = filled.state_dict(), actual = network.state_dict();
        Assert.Equal(expected.Keys.Order(), actual.Keys.Order());
        Assert.All(expected, pair => Assert.True(pair.Value.equal(actual[pair.Key]).all().item<bool>(), pair.Key));
    }

    // In the order of names, as other libraries write.
    private string Save(FeedForwardKind feedForward, ScalarType type)
    {
        string path = _folder.File($"{feedForward}-{type}.safetensors");
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using Backbone network = Backbone.Create(new VisionTransformerConfig { Width = 48, Depth = Depth, Heads = 3, FeedForwardWidth = 96, FeedForward = feedForward, LayerScale = 0.5 });
        network.Initialize(new Generator(2));
        SafetensorsWriter.Write(path, network.state_dict().OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => new KeyValuePair<string, Tensor>(pair.Key, pair.Value.to(type))));
        return path;
    }
}
