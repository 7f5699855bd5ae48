using DinoSharp.Backbones;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Weights;

public sealed class PackingWhileLoadingTests : IDisposable
{
    private const int Depth = 12; // sorted by name, blocks 10 and 11 come before block 2

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(FeedForwardKind.Mlp, ScalarType.Float32)]
    [InlineData(FeedForwardKind.Mlp, ScalarType.BFloat16)]
    [InlineData(FeedForwardKind.SwiGlu, ScalarType.BFloat16)]
    public void Gives_the_same_bits_as_packing_afterwards(FeedForwardKind feedForward, ScalarType type)
    {
        using DinoModel model = DinoModel.Load(Save(feedForward, type));
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor pixels = randn([1, 3, 48, 32], generator: new Generator(1)); // [B, C, H, W]
        Tensor loaded = model.Backbone.forward(pixels); // [B, D]
        model.Backbone.PrepareForInference();
        Tensor packedAgain = model.Backbone.forward(pixels); // [B, D]
        Assert.True(loaded.equal(packedAgain).all().item<bool>());
        foreach (Tensor parameter in model.Backbone.parameters()) parameter.zero_();
        model.Backbone.PrepareForInference(); // nothing of the first packing may be left
        Assert.Equal(0, model.Backbone.forward(pixels).abs().sum().item<float>());
    }

    [Fact]
    public void Every_block_is_announced_once_when_its_tensors_are_there()
    {
        using BackboneWeights weights = BackboneWeights.Open(Save(FeedForwardKind.Mlp, ScalarType.Float32));
        int[] seen = new int[Depth];
        int unset = 0;
        using Backbone backbone = weights.CreateBackbone(
            null,
            network =>
            {
                using (no_grad())
                {
                    foreach (Tensor parameter in network.parameters()) parameter.fill_(float.NaN);
                }

                Dictionary<string, Tensor> state = network.state_dict();
                return block =>
                {
                    using var scope = NewDisposeScope();
                    Interlocked.Increment(ref seen[block]);
                    if (state.Any(pair => pair.Key.StartsWith($"blocks.{block}.", StringComparison.Ordinal) && !pair.Value.isfinite().all().item<bool>())) Interlocked.Increment(ref unset);
                };
            },
            TestContext.Current.CancellationToken);
        Assert.All(seen, times => Assert.Equal(1, times));
        Assert.Equal(0, unset);
    }

    [Fact]
    public void A_file_that_is_cut_short_meanwhile_is_an_error_and_leaves_nothing()
    {
        LiveTensors.AssertUnchangedBy(() =>
        {
            string path = Save(FeedForwardKind.Mlp, ScalarType.Float32);
            using BackboneWeights weights = BackboneWeights.Open(path);
            using (var stream = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite)) stream.SetLength(stream.Length / 2);
            Assert.Contains("cut short", Assert.Throws<TensorFileException>(() => weights.CreateBackbone(null, network => network.BeginPacking(), CancellationToken.None)).Message);
        });
    }

    [Fact]
    public void Can_be_stopped_between_blocks()
    {
        string path = Save(FeedForwardKind.Mlp, ScalarType.Float32);
        LiveTensors.AssertUnchangedBy(() =>
        {
            using BackboneWeights weights = BackboneWeights.Open(path);
            using var stop = new CancellationTokenSource();
            int packed = 0;
            Assert.ThrowsAny<OperationCanceledException>(() => weights.CreateBackbone(null, Begin, stop.Token));
            Assert.InRange(packed, 1, Depth - 1);

            Action<int> Begin(Backbone network)
            {
                Action<int>? pack = network.BeginPacking();
                return block =>
                {
                    if (Interlocked.Increment(ref packed) == 1) stop.Cancel();
                    else stop.Token.WaitHandle.WaitOne(); // so that however slow the first is, no thread begins a second block
                    pack?.Invoke(block);
                };
            }
        });
    }

    [Fact]
    public void A_failure_while_packing_is_the_error_of_the_load()
    {
        using BackboneWeights weights = BackboneWeights.Open(Save(FeedForwardKind.Mlp, ScalarType.Float32));
        Assert.Throws<OutOfMemoryException>(() => weights.CreateBackbone(null, _ => _ => throw new OutOfMemoryException(), CancellationToken.None));
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
