using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>Inference of a vision transformer on x64 processors with AVX2 or AVX-512, written for two to a few cores.</summary>
/// <remarks>A snapshot of the weights: later changes of the network are not seen. Measured figures and what was tried: docs/performance.md.</remarks>
internal static class VisionTransformerEngine
{
    /// <summary>Packs the weights of a network, or returns null with the reason why this processor or this network must use the general path.</summary>
    /// <param name="network">The network.</param>
    /// <param name="type">Precision of the large products; not <see cref="ComputeType.Auto"/>.</param>
    /// <param name="reason">The kernels in words, or why there are none.</param>
    /// <param name="exactBlocks">See <see cref="Kernels.OfBlocks"/>.</param>
    /// <param name="library">In bfloat16: linear layers by <see cref="MatrixLibrary"/>.</param>
    public static InferenceEngine? TryCreate(VisionTransformer network, ComputeType type, out string reason, int exactBlocks = 0, bool library = false)
    {
        if (!Takes(network, type, library, out reason)) return null;
        return Kernels.AreWide(type, library)
            ? new VisionTransformerEngine<Lanes512, Vector512<float>>(network, type, exactBlocks, library)
            : new VisionTransformerEngine<Lanes256, Vector256<float>>(network, type, exactBlocks, library);
    }

    /// <summary>Whether this processor and this network have such kernels, with the reason if not.</summary>
    public static bool Takes(VisionTransformer network, ComputeType type, bool library, out string reason)
    {
        var config = (VisionTransformerConfig)network.Config;
        if (!Kernels.Has(type, library, out reason)) return false;
        if (config.Rotary.Precision != RotaryPrecision.Float32) reason = "rotary tables in bfloat16";
        else if (config.HeadWidth % 8 != 0) reason = $"a head of {config.HeadWidth} channels is no multiple of 8";
        else if (network.Outline().Any(p => p.Unfilled.dtype != ScalarType.Float32 || p.Unfilled.device_type != DeviceType.CPU)) reason = "weights that are not float32 on the CPU";
        else return true;
        return false;
    }
}

/// <summary>The engine for one width of vectors.</summary>
/// <typeparam name="L">The lanes.</typeparam>
/// <typeparam name="V">The vector type.</typeparam>
internal sealed unsafe class VisionTransformerEngine<L, V> : InferenceEngine
    where L : struct, ILanes<V>
    where V : struct
{
    private readonly VisionTransformerConfig _config;
    private readonly VisionTransformer _network;
    private readonly WeightMemory _weights = new();
    private readonly PackedLinear _patchEmbedding;
    private readonly PackedBlock[] _blocks;
    private readonly float[] _prefix; // class token and registers [1 + R, D]
    private readonly NativeBuffer _x = new(), _narrow = new(), _wide = new(), _values = new(), _packed = new(), _tables = new();
    private readonly ComputeType _type;
    private (int Rows, int Columns) _tabulated; // patches of the images that the rotary tables are for
    private bool _disposed;

    public VisionTransformerEngine(VisionTransformer network, ComputeType type = ComputeType.Float32, int exactBlocks = 0, bool library = false)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        (_network, _config, _type) = (network, (VisionTransformerConfig)network.Config, type);
        // Pixels go in with all their bits: two to four per cent of the arithmetic, and every later number depends on it.
        _patchEmbedding = new PackedLinear(_weights, new(network.PatchEmbedding.Projection.Weight), network.PatchEmbedding.Projection.Bias, null, L.Rows);
        ComputeType[] feedForward = Kernels.OfBlocks(type, Kernels.Better<L, V>(type), network.Blocks.Count, exactBlocks);
        _blocks = new PackedBlock[feedForward.Length];
        PackedLinear.ForEach(_blocks.Length, type, i => _blocks[i] = new PackedBlock(_weights, network.Blocks[i], L.Rows, type, feedForward[i], library));
        _prefix = network.PrefixTokens().contiguous().data<float>().ToArray();
    }

    private static Workers Workers => Workers.Shared;

    private NativeBuffer[] Buffers => [_x, _narrow, _wide, _values, _packed, _tables];

    public override ComputeType Type => _type;

    private bool AttendsInHalves => _type != ComputeType.Float32 && DotTile<L, V>.SupportsHalves;

    public override long? BufferBytes(int height, int width, int batch = 1)
    {
        long[] Of(int images) => Rooms(ShapeOf(images, height / _config.PatchSize, width / _config.PatchSize));
        return sizeof(float) * Of(AtOnce(batch, Of(batch).Max() * sizeof(float))).Sum();
    }

    public override Tensor[] Forward(Tensor images, IReadOnlyList<int> blocks)
    {
        using var scope = NewDisposeScope();
        Tensor source = images.contiguous();
        int batch = (int)images.shape[0], h = (int)(images.shape[2] / _config.PatchSize), w = (int)(images.shape[3] / _config.PatchSize);
        AttentionShape all = ShapeOf(batch, h, w);
        Tensor[] results = [.. blocks.Select(_ => empty(batch, all.Tokens, _config.Width))]; // each [B, N, D]
        lock (Workers.Turn)
        {
            ObjectDisposedException.ThrowIf(_disposed, typeof(VisionTransformer)); // while this call waited for its turn
            if (_tabulated != (h, w)) _tabulated = default; // what follows may fail half way, and its tables must not serve a later call
            foreach ((int first, int count) in Parts(batch, Rooms(all).Max() * sizeof(float)))
            {
                Compute(Start(source.narrow(0, first, count)), (int)images.shape[2], (int)images.shape[3], ShapeOf(count, h, w), blocks, [.. results.Select(tokens => (nint)Start(tokens.narrow(0, first, count)))]);
            }

            NativeBuffer.Trim(Buffers);
            if (_tables.Floats == 0) _tabulated = default;
        }

        return [.. results.Select(r => r.MoveToOuterDisposeScope())];
    }

    // Images that fit into the buffers at once: pixels in, tokens of each wanted block out.
    private void Compute(float* pixels, int height, int width, AttentionShape shape, IReadOnlyList<int> blocks, nint[] results)
    {
        int h = height / _config.PatchSize, w = width / _config.PatchSize, prefix = 1 + _config.Registers, d = _config.Width;
        int images = shape.Images, vectors = images * shape.Vectors, up = _blocks[0].Up.Outputs, down = _blocks[0].Down.Inputs;
        bool halves = AttendsInHalves;
        long imageSize = (long)_config.InputChannels * height * width;
        long[] rooms = Rooms(shape);
        // Three buffers serve all steps: what a step reads is never in the buffer that it writes.
        float* narrow = _narrow.Get(rooms[1]), wide = _wide.Get(rooms[2]), values = _values.Get(rooms[3]), room = _packed.Get(rooms[4]), cos = _tables.Get(rooms[5]), sin = cos + (rooms[5] / 2);
        Panels x = Over(_x.Get(rooms[0]), d), normed = Over(narrow, d), mixed = normed, gated = Over(narrow, down);
        Panels patches = Over(wide, _patchEmbedding.Inputs), qkv = Over(wide, 3 * d), feed = Over(wide, up);
        if (_tabulated != (h, w)) FillTables(cos, sin, h, w, shape);
        _tabulated = (h, w);
        Workers.Phase(images * h, task => Unfold(pixels + (task / h * imageSize), height, width, task % h, w, patches, task / h * shape.Vectors * L.Count + prefix + (task % h * w)));
        PanelOperations<L, V>.Linear(Workers, _patchEmbedding, patches, room, x, Epilogue.Store);
        Workers.Phase(images, image => SetPrefix(x, image * shape.Vectors * L.Count));
        int done = 0;
        for (int i = 0; i <= blocks[^1]; i++)
        {
            PackedBlock block = _blocks[i];
            PanelOperations<L, V>.Norm(Workers, block.Norm1.Weight, block.Norm1.Bias, _config.NormEpsilon, x, normed);
            PanelOperations<L, V>.Linear(Workers, block.Qkv, normed, room, qkv, Epilogue.Store);
            if (halves) HalfAttention<L, V>.Attend(Workers, qkv, shape, cos, sin, values, mixed);
            else PanelAttention<L, V>.Attend(Workers, qkv, shape, cos, sin, values, mixed);
            PanelOperations<L, V>.Linear(Workers, block.Projection, mixed, room, x, Epilogue.Add);
            PanelOperations<L, V>.Norm(Workers, block.Norm2.Weight, block.Norm2.Bias, _config.NormEpsilon, x, normed);
            PanelOperations<L, V>.Linear(Workers, block.Up, normed, room, feed, block.Gated ? Epilogue.Store : Epilogue.Gelu);
            if (block.Gated) PanelOperations<L, V>.Gate(Workers, feed, gated);
            PanelOperations<L, V>.Linear(Workers, block.Down, block.Gated ? gated : feed, room, x, Epilogue.Add);
            if (blocks[done] != i) continue;
            float* result = (float*)results[done++];
            Workers.Phase(vectors, vector => Collect(x, vector, shape, result));
        }

        Panels Over(float* memory, int features) => new(memory, features, vectors, L.Count);
    }

    public override void Dispose()
    {
        lock (Workers.Turn) // a running call keeps its weights
        {
            _disposed = true;
            _weights.Dispose();
            foreach (NativeBuffer buffer in Buffers) buffer.Dispose();
        }
    }

    private AttentionShape ShapeOf(int images, int h, int w)
    {
        int tokens = 1 + _config.Registers + (h * w);
        return new(images, tokens, (tokens + L.Count - 1) / L.Count, _config.Heads, _config.HeadWidth);
    }

    // Floats of each of the buffers, in their order.
    private long[] Rooms(AttentionShape shape)
    {
        int vectors = shape.Images * shape.Vectors, d = _config.Width, up = _blocks[0].Up.Outputs, down = _blocks[0].Down.Inputs;
        return
        [
            Features(d),
            Features(_blocks[0].Gated ? Math.Max(d, down) : d),
            Features(Math.Max(Math.Max(3 * d, up), _patchEmbedding.Inputs)),
            AttendsInHalves ? HalfAttention<L, V>.FloatsFor(shape) : PanelAttention<L, V>.FloatsFor(shape),
            _blocks.Max(block => block.Layers.Max(layer => PanelOperations<L, V>.FloatsFor(layer, vectors))),
            (long)_config.HeadWidth * shape.Vectors * L.Count,
        ];

        long Features(int features) => Panels.FloatsFor(features, vectors, L.Count);
    }

    // One row of patches of one image becomes columns of inputs (channel, row, column), as the convolution's weights are ordered.
    [MethodImpl(Kernels.Hot)]
    private void Unfold(float* image, int height, int width, int patchRow, int columns, Panels target, int firstLane)
    {
        int p = _config.PatchSize;
        for (int start = 0; start < columns;)
        {
            int lane = firstLane + start, count = Math.Min(columns - start, L.Count - (lane % L.Count)); // what is left of a vector
            float* to = Lane(target, lane);
            for (int c = 0; c < _config.InputChannels; c++)
            {
                for (int y = 0; y < p; y++)
                {
                    float* from = image + ((((long)c * height) + (patchRow * p) + y) * width) + (start * p);
                    for (int i = 0; i < p; i++)
                    {
                        for (int column = 0; column < count; column++) to[column] = from[(column * p) + i];
                        to += target.Width;
                    }
                }
            }

            start += count;
        }
    }

    private void SetPrefix(Panels x, int firstLane)
    {
        for (int t = 0; t < 1 + _config.Registers; t++)
        {
            float* to = Lane(x, firstLane + t);
            for (int f = 0; f < _config.Width; f++) to[(long)f * x.Width] = _prefix[(t * _config.Width) + f];
        }
    }

    [MethodImpl(Kernels.Hot)]
    private void Collect(Panels x, int vector, AttentionShape shape, float* target)
    {
        int d = _config.Width, first = vector % shape.Vectors * L.Count, count = Math.Min(L.Count, shape.Tokens - first);
        float* tokens = target + ((((long)vector / shape.Vectors * shape.Tokens) + first) * d);
        for (int feature = 0; feature < d; feature += Transposition.Side)
        {
            for (int t = 0; t < count; t += Transposition.Side) Transposition.Copy(x.Vector(vector, feature) + t, x.Width, tokens + ((long)t * d) + feature, d, Math.Min(Transposition.Side, count - t));
        }
    }

    // Class and register tokens are not rotated: cosine 1, sine 0. So is the padding.
    [MethodImpl(Kernels.Hot)]
    private void FillTables(float* cos, float* sin, int h, int w, AttentionShape shape)
    {
        using var scope = NewDisposeScope();
        int half = _config.HeadWidth / 2, lanes = shape.Vectors * L.Count, prefix = 1 + _config.Registers;
        new Span<float>(cos, half * lanes).Fill(1);
        new Span<float>(sin, half * lanes).Clear();
        (Tensor s, Tensor c) = _network.Rotary.Compute(h, w); // [P, E]
        ReadOnlySpan<float> sines = s.contiguous().data<float>().ToArray(), cosines = c.contiguous().data<float>().ToArray();
        for (int patch = 0; patch < h * w; patch++)
        {
            for (int i = 0; i < half; i++)
            {
                cos[(i * lanes) + prefix + patch] = cosines[(patch * 2 * half) + i];
                sin[(i * lanes) + prefix + patch] = sines[(patch * 2 * half) + i];
            }
        }
    }

    private static float* Lane(Panels panels, int lane) => panels.Vector(lane / L.Count, 0) + (lane % L.Count);
}

/// <summary>The weights of one block, packed.</summary>
internal sealed class PackedBlock
{
    public PackedBlock(WeightMemory memory, Block block, int rows, ComputeType type, ComputeType feedForward, bool library)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Norm1 = new PackedNorm(memory, block.Norm1);
        Norm2 = new PackedNorm(memory, block.Norm2);
        Qkv = new PackedLinear(memory, new(block.Attention.Qkv), block.Attention.Qkv.EffectiveBias(), null, rows, type, library);
        Projection = new PackedLinear(memory, new(block.Attention.Projection), block.Attention.Projection.Bias, block.Scale1?.Gamma, rows, type, library);
        switch (block.FeedForward)
        {
            case Mlp mlp:
                Up = new PackedLinear(memory, new(mlp.Fc1), mlp.Fc1.Bias, null, rows, feedForward, library);
                Down = new PackedLinear(memory, new(mlp.Fc2), mlp.Fc2.Bias, block.Scale2?.Gamma, rows, feedForward, library);
                break;
            case SwiGlu gated:
                Gated = true;
                Tensor? bias = gated.W1.Bias is null ? null : cat([gated.W1.Bias, gated.W2.Bias!]); // [2 hidden]
                Up = new PackedLinear(memory, new WeightRows(gated.W1, gated.W2), bias, null, rows, feedForward, library);
                Down = new PackedLinear(memory, new(gated.W3), gated.W3.Bias, block.Scale2?.Gamma, rows, feedForward, library);
                break;
            default:
                throw new InvalidOperationException($"no packed form of {block.FeedForward.GetType().Name}");
        }
    }

    public PackedNorm Norm1 { get; }

    public PackedNorm Norm2 { get; }

    public PackedLinear Qkv { get; }

    public PackedLinear Projection { get; }

    public PackedLinear Up { get; }

    public PackedLinear Down { get; }

    public IReadOnlyList<PackedLinear> Layers => [Qkv, Projection, Up, Down];

    public bool Gated { get; }
}

/// <summary>The weights of a norm in native memory.</summary>
internal sealed unsafe class PackedNorm
{
    public PackedNorm(WeightMemory memory, Norm norm)
    {
        int width = (int)norm.Weight.shape[0];
        Weight = memory.Take(2 * width);
        norm.Weight.data<float>().CopyTo(new Span<float>(Weight, width));
        if (norm.Bias is null) return;
        Bias = Weight + width;
        norm.Bias.data<float>().CopyTo(new Span<float>(Bias, width));
    }

    public float* Weight { get; }

    /// <summary>Null for a root-mean-square norm.</summary>
    public float* Bias { get; }
}
