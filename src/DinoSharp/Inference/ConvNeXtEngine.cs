using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>A ConvNeXt on the kernels of the transformer: pixels of a map are its tokens. Convolutions that do not overlap (stem, downsampling) are linear layers on
/// unfolded pixels; only the depthwise one has a loop of its own, on rows of a padded copy of a channel.</summary>
internal static class ConvNeXtEngine
{
    /// <summary>Packs the weights of a network, or returns null with the reason why this processor must use the general path.</summary>
    public static InferenceEngine? TryCreate(ConvNeXt network, ComputeType type, out string reason, int exactBlocks = 0, bool library = false)
    {
        if (!Takes(network, type, library, out reason)) return null;
        return Kernels.AreWide(type, library) ? new ConvNeXtEngine<Lanes512, Vector512<float>>(network, type, exactBlocks, library) : new ConvNeXtEngine<Lanes256, Vector256<float>>(network, type, exactBlocks, library);
    }

    /// <summary>Whether this processor and this network have such kernels, with the reason if not.</summary>
    public static bool Takes(ConvNeXt network, ComputeType type, bool library, out string reason)
    {
        if (!Kernels.Has(type, library, out reason)) return false;
        if (network.Outline().All(p => p.Unfilled.dtype == ScalarType.Float32 && p.Unfilled.device_type == DeviceType.CPU)) return true;
        reason = "weights that are not float32 on the CPU";
        return false;
    }
}

/// <summary>The engine for one width of vectors.</summary>
/// <typeparam name="L">The lanes.</typeparam>
/// <typeparam name="V">The vector type.</typeparam>
internal sealed unsafe class ConvNeXtEngine<L, V> : InferenceEngine
    where L : struct, ILanes<V>
    where V : struct
{
    private const int Kernel = 7, Border = 3, Rows = 8, Band = 16; // rows of a channel computed together, and copied together

    [ThreadStatic] private static NativeBuffer? _lines;

    private readonly WeightMemory _weights = new();
    private readonly PackedStage[] _stages;
    private readonly int _channels;
    private readonly ComputeType _type;
    private readonly NativeBuffer _x = new(), _narrow = new(), _wide = new(), _packed = new();
    private bool _disposed;

    public ConvNeXtEngine(ConvNeXt network, ComputeType type = ComputeType.Float32, int exactBlocks = 0, bool library = false)
    {
        using var quiet = no_grad();
        (_type, _channels) = (type, network.Config.InputChannels);
        ComputeType better = Kernels.Better<L, V>(type);
        ComputeType[] ofBlocks = Kernels.OfBlocks(type, better, network.BlockCount, exactBlocks);
        int before = 0;
        _stages = [.. Enumerable.Range(0, 4).Select(s => new PackedStage(_weights, network.Downsample(s), network.Blocks(s), L.Rows, better, () => ofBlocks[before++], library))];
    }

    private static Workers Workers => Workers.Shared;

    private NativeBuffer[] Buffers => [_x, _narrow, _wide, _packed];

    public override ComputeType Type => _type;

    public override long? BufferBytes(int height, int width, int batch = 1)
    {
        long[] Of(int images) => Rooms(GridsOf(images, height, width));
        return sizeof(float) * Of(AtOnce(batch, Of(batch).Max() * sizeof(float))).Sum();
    }

    public override Tensor[] Forward(Tensor images, IReadOnlyList<int> layers)
    {
        using var scope = NewDisposeScope();
        Tensor source = images.contiguous();
        int batch = (int)images.shape[0], height = (int)images.shape[2], width = (int)images.shape[3];
        Grid[] all = GridsOf(batch, height, width);
        Tensor[] results = [.. layers.Select(s => empty(batch, _stages[s].Width, all[s].Height, all[s].Width))]; // each [B, C, h, w]
        lock (Workers.Turn)
        {
            ObjectDisposedException.ThrowIf(_disposed, typeof(ConvNeXt)); // while this call waited for its turn
            foreach ((int first, int count) in Parts(batch, Rooms(all).Max() * sizeof(float)))
            {
                Compute(Start(source.narrow(0, first, count)), height, width, GridsOf(count, height, width), layers, [.. results.Select(map => (nint)Start(map.narrow(0, first, count)))]);
            }

            NativeBuffer.Trim(Buffers);
        }

        return [.. results.Select(r => r.MoveToOuterDisposeScope())];
    }

    // Images that fit into the buffers at once: pixels in, the map of each wanted stage out.
    private void Compute(float* pixels, int height, int width, Grid[] grids, IReadOnlyList<int> layers, nint[] results)
    {
        int images = grids[0].Images, done = 0;
        long[] rooms = Rooms(grids);
        float* x = _x.Get(rooms[0]), narrow = _narrow.Get(rooms[1]), wide = _wide.Get(rooms[2]), packed = _packed.Get(rooms[3]);
        for (int s = 0; s <= layers[^1]; s++)
        {
            (PackedStage stage, Grid grid) = (_stages[s], grids[s]);
            Panels map = Over(x, stage.Width, grid), unfolded = Over(wide, stage.Reduce.Inputs, grid), y = Over(narrow, stage.Width, grid), feed = Over(wide, 4 * stage.Width, grid);
            if (s == 0)
            {
                Workers.Phase(images * grid.Height, task => UnfoldPixels(pixels, height, width, task / grid.Height, task % grid.Height, grid, unfolded));
            }
            else
            {
                (Panels before, Panels normed) = (Over(x, _stages[s - 1].Width, grids[s - 1]), Over(narrow, _stages[s - 1].Width, grids[s - 1]));
                PanelOperations<L, V>.Norm(Workers, stage.Norm.Weight, stage.Norm.Bias, ConvNeXtBlock.NormEpsilon, before, normed);
                Workers.Phase(images * before.Features, task => UnfoldMap(normed, grids[s - 1], task / before.Features, task % before.Features, grid, unfolded));
            }

            PanelOperations<L, V>.Linear(Workers, stage.Reduce, unfolded, packed, map, Epilogue.Store);
            if (s == 0) PanelOperations<L, V>.Norm(Workers, stage.Norm.Weight, stage.Norm.Bias, ConvNeXtBlock.NormEpsilon, map, map);
            foreach (PackedConvNeXtBlock block in stage.Blocks)
            {
                Workers.Phase(images * stage.Width, task => Depthwise(map, grid, task / stage.Width, task % stage.Width, block, y));
                PanelOperations<L, V>.Norm(Workers, block.Norm.Weight, block.Norm.Bias, ConvNeXtBlock.NormEpsilon, y, y);
                PanelOperations<L, V>.Linear(Workers, block.Expand, y, packed, feed, Epilogue.Gelu);
                PanelOperations<L, V>.Linear(Workers, block.Contract, feed, packed, map, Epilogue.Add);
            }

            if (layers[done] != s) continue;
            float* result = (float*)results[done++];
            Workers.Phase(images * stage.Width, task => Copy(map, grid, task / stage.Width, task % stage.Width, 0, grid.Pixels, result + ((long)task * grid.Pixels), toMap: false));
        }

        static Panels Over(float* memory, int features, Grid grid) => new(memory, features, grid.AllVectors, L.Count);
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

    private static Grid[] GridsOf(int images, int height, int width) =>
        [.. Enumerable.Range(2, 4).Select(shift => new Grid(images, height >> shift, width >> shift, ((height >> shift) * (width >> shift) + L.Count - 1) / L.Count))];

    // Floats of each of the buffers, in their order.
    private long[] Rooms(Grid[] grids)
    {
        long map = Most((stage, grid) => Panels.FloatsFor(stage.Width, grid.AllVectors, L.Count));
        return
        [
            map,
            map,
            Most((stage, grid) => Panels.FloatsFor(WidestOf(stage), grid.AllVectors, L.Count)),
            Most((stage, grid) => stage.Layers.Max(layer => PanelOperations<L, V>.FloatsFor(layer, grid.AllVectors))),
        ];

        long Most(Func<PackedStage, Grid, long> floats) => _stages.Zip(grids, floats).Max();

        static int WidestOf(PackedStage stage) => Math.Max(4 * stage.Width, stage.Reduce.Inputs);
    }

    // Rows of pixels for a task: of a wide picture more than a stack holds.
    private static float* Lines(int floats) => (_lines ??= new NativeBuffer()).Get(floats);

    // One row of 4×4 patches of an image; inputs in the order of the convolution's weights: channel, row, column.
    [MethodImpl(Kernels.Hot)]
    private void UnfoldPixels(float* pixels, int height, int width, int image, int row, Grid grid, Panels target)
    {
        for (int c = 0; c < _channels; c++)
        {
            for (int i = 0; i < 4; i++)
            {
                float* from = pixels + (((((long)image * _channels) + c) * height + (4 * row) + i) * width);
                for (int column = 0; column < grid.Width; column++)
                {
                    (int vector, int lane) = grid.Place(image, (row * grid.Width) + column, L.Count);
                    float* to = target.Vector(vector, (((c * 4) + i) * 4)) + lane;
                    for (int j = 0; j < 4; j++) to[(long)j * target.Width] = from[(4 * column) + j];
                }
            }
        }
    }

    // One channel of one image; the four pixels of a 2×2 patch become four inputs.
    [MethodImpl(Kernels.Hot)]
    private static void UnfoldMap(Panels source, Grid from, int image, int channel, Grid to, Panels target)
    {
        float* row = Lines(from.Width + (2 * to.Width)), even = row + from.Width, odd = even + to.Width;
        for (int y = 0; y < 2 * to.Height; y++)
        {
            Copy(source, from, image, channel, y * from.Width, from.Width, row, toMap: false);
            for (int x = 0; x < to.Width; x++) (even[x], odd[x]) = (row[2 * x], row[(2 * x) + 1]);
            int input = (4 * channel) + (2 * (y % 2)), pixel = y / 2 * to.Width;
            Copy(target, to, image, input, pixel, to.Width, even, toMap: true);
            Copy(target, to, image, input + 1, pixel, to.Width, odd, toMap: true);
        }
    }

    // One channel of one image, 7×7, in bands of rows. Of eight rows of results each row of pixels and each weight is read once for a column of the kernel.
    [MethodImpl(Kernels.Hot)]
    private static void Depthwise(Panels source, Grid grid, int image, int channel, PackedConvNeXtBlock block, Panels target)
    {
        int padded = (grid.Width + L.Count - 1) / L.Count * L.Count, stride = padded + L.Count; // 2 · Border fits into a vector
        float* plane = Lines(((Band + (2 * Border)) * stride) + (Rows * padded)), rows = plane + ((Band + (2 * Border)) * stride);
        float* weights = block.Depthwise + ((long)channel * Kernel * Kernel);
        V bias = L.All(block.DepthwiseBias[channel]);
        new Span<float>(plane, (Band + (2 * Border)) * stride).Clear();
        for (int band = 0; band < grid.Height; band += Band)
        {
            for (int y = band - Border; y < Math.Min(grid.Height, band + Band) + Border; y++)
            {
                float* row = plane + ((y - band + Border) * stride) + Border;
                if (y >= 0 && y < grid.Height) Copy(source, grid, image, channel, y * grid.Width, grid.Width, row, toMap: false);
                else new Span<float>(row, grid.Width).Clear();
            }

            for (int y = band; y < Math.Min(grid.Height, band + Band); y += Rows)
            {
                for (int x = 0; x < padded; x += L.Count) EightRows(plane + ((y - band) * stride) + x, stride, weights, bias, rows + x, padded);
                for (int i = 0; i < Rows && y + i < grid.Height; i++) Copy(target, grid, image, channel, (y + i) * grid.Width, grid.Width, rows + (i * padded), toMap: true);
            }
        }
    }

    [MethodImpl(Kernels.Hot)]
    private static void EightRows(float* from, int stride, float* weights, V bias, float* to, int step)
    {
        V r0 = bias, r1 = bias, r2 = bias, r3 = bias, r4 = bias, r5 = bias, r6 = bias, r7 = bias;
        for (int j = 0; j < Kernel; j++)
        {
            float* at = from + j, w = weights + j;
            V w0 = L.All(w[0]), w1 = L.All(w[7]), w2 = L.All(w[14]), w3 = L.All(w[21]), w4 = L.All(w[28]), w5 = L.All(w[35]), w6 = L.All(w[42]);
            V x = L.Load(at);
            r0 = L.Fma(x, w0, r0);
            x = L.Load(at += stride);
            (r0, r1) = (L.Fma(x, w1, r0), L.Fma(x, w0, r1));
            x = L.Load(at += stride);
            (r0, r1, r2) = (L.Fma(x, w2, r0), L.Fma(x, w1, r1), L.Fma(x, w0, r2));
            x = L.Load(at += stride);
            (r0, r1, r2, r3) = (L.Fma(x, w3, r0), L.Fma(x, w2, r1), L.Fma(x, w1, r2), L.Fma(x, w0, r3));
            x = L.Load(at += stride);
            (r0, r1, r2, r3, r4) = (L.Fma(x, w4, r0), L.Fma(x, w3, r1), L.Fma(x, w2, r2), L.Fma(x, w1, r3), L.Fma(x, w0, r4));
            x = L.Load(at += stride);
            (r0, r1, r2, r3, r4, r5) = (L.Fma(x, w5, r0), L.Fma(x, w4, r1), L.Fma(x, w3, r2), L.Fma(x, w2, r3), L.Fma(x, w1, r4), L.Fma(x, w0, r5));
            x = L.Load(at += stride);
            (r0, r1, r2, r3, r4, r5, r6) = (L.Fma(x, w6, r0), L.Fma(x, w5, r1), L.Fma(x, w4, r2), L.Fma(x, w3, r3), L.Fma(x, w2, r4), L.Fma(x, w1, r5), L.Fma(x, w0, r6));
            x = L.Load(at += stride);
            (r1, r2, r3, r4, r5, r6, r7) = (L.Fma(x, w6, r1), L.Fma(x, w5, r2), L.Fma(x, w4, r3), L.Fma(x, w3, r4), L.Fma(x, w2, r5), L.Fma(x, w1, r6), L.Fma(x, w0, r7));
            x = L.Load(at += stride);
            (r2, r3, r4, r5, r6, r7) = (L.Fma(x, w6, r2), L.Fma(x, w5, r3), L.Fma(x, w4, r4), L.Fma(x, w3, r5), L.Fma(x, w2, r6), L.Fma(x, w1, r7));
            x = L.Load(at += stride);
            (r3, r4, r5, r6, r7) = (L.Fma(x, w6, r3), L.Fma(x, w5, r4), L.Fma(x, w4, r5), L.Fma(x, w3, r6), L.Fma(x, w2, r7));
            x = L.Load(at += stride);
            (r4, r5, r6, r7) = (L.Fma(x, w6, r4), L.Fma(x, w5, r5), L.Fma(x, w4, r6), L.Fma(x, w3, r7));
            x = L.Load(at += stride);
            (r5, r6, r7) = (L.Fma(x, w6, r5), L.Fma(x, w5, r6), L.Fma(x, w4, r7));
            x = L.Load(at += stride);
            (r6, r7) = (L.Fma(x, w6, r6), L.Fma(x, w5, r7));
            r7 = L.Fma(L.Load(at + stride), w6, r7);
        }

        L.Store(to, r0);
        L.Store(to + step, r1);
        L.Store(to + (2 * step), r2);
        L.Store(to + (3 * step), r3);
        L.Store(to + (4 * step), r4);
        L.Store(to + (5 * step), r5);
        L.Store(to + (6 * step), r6);
        L.Store(to + (7 * step), r7);
    }

    // A run of pixels of one channel between panels and plain memory.
    [MethodImpl(Kernels.Hot)]
    private static void Copy(Panels panels, Grid grid, int image, int channel, int pixel, int count, float* plain, bool toMap)
    {
        (int vector, int lane) = grid.Place(image, pixel, L.Count);
        while (count > 0)
        {
            float* inPanel = panels.Vector(vector, channel) + lane;
            int run = Math.Min(L.Count - lane, count);
            if (toMap) Copy(inPanel, plain, run);
            else Copy(plain, inPanel, run);
            (vector, lane, count) = (vector + 1, 0, count - run);
            plain += run;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Copy(float* to, float* from, int count)
    {
        if (count == L.Count) L.Store(to, L.Load(from)); // most of them; a call costs more
        else new Span<float>(from, count).CopyTo(new(to, count));
    }

    /// <summary>The pixels of a map as tokens; each image begins with a new vector.</summary>
    private readonly record struct Grid(int Images, int Height, int Width, int Vectors)
    {
        public int Pixels => Height * Width;

        public int AllVectors => Images * Vectors;

        public (int Vector, int Lane) Place(int image, int pixel, int lanes) => ((image * Vectors) + (pixel / lanes), pixel % lanes);
    }
}

/// <summary>The weights of a stage, packed.</summary>
internal sealed class PackedStage
{
    public PackedStage(WeightMemory memory, (Convolution Convolution, Norm Norm) downsample, IEnumerable<ConvNeXtBlock> blocks, int rows, ComputeType ofReduction, Func<ComputeType> ofNextBlock, bool library)
    {
        // Pixels go in with all their bits, as in the transformer. The later reductions are all that the next stage gets, no residual beside them: in bytes these three
        // layers alone more than double the error of a network.
        Reduce = new PackedLinear(memory, new(downsample.Convolution.Weight), downsample.Convolution.Bias, null, rows, downsample.Convolution.Weight.shape[2] == 4 ? ComputeType.Float32 : ofReduction, library);
        Norm = new PackedNorm(memory, downsample.Norm);
        ConvNeXtBlock[] sources = [.. blocks];
        ComputeType[] types = [.. sources.Select(_ => ofNextBlock())];
        var packed = new PackedConvNeXtBlock[sources.Length];
        PackedLinear.ForEach(packed.Length, types.Max(), i => packed[i] = new PackedConvNeXtBlock(memory, sources[i], rows, types[i], library));
        Blocks = packed;
    }

    public PackedLinear Reduce { get; }

    public PackedNorm Norm { get; }

    public IReadOnlyList<PackedConvNeXtBlock> Blocks { get; }

    public int Width => Reduce.Outputs;

    public IEnumerable<PackedLinear> Layers => Blocks.SelectMany(block => new[] { block.Expand, block.Contract }).Prepend(Reduce);
}

/// <summary>The weights of a block, packed.</summary>
internal sealed unsafe class PackedConvNeXtBlock
{
    public PackedConvNeXtBlock(WeightMemory memory, ConvNeXtBlock block, int rows, ComputeType type, bool library)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor kernel = block.Depthwise.Weight.flatten().contiguous(); // [C · 49]
        int count = (int)kernel.shape[0], width = (int)block.Depthwise.Weight.shape[0];
        Depthwise = memory.Take(count + width);
        DepthwiseBias = Depthwise + count;
        kernel.data<float>().CopyTo(new Span<float>(Depthwise, count));
        block.Depthwise.Bias!.data<float>().CopyTo(new Span<float>(DepthwiseBias, width));
        Norm = new PackedNorm(memory, block.Norm);
        Expand = new PackedLinear(memory, new(block.Expand), block.Expand.Bias, null, rows, type, library);
        Contract = new PackedLinear(memory, new(block.Contract), block.Contract.Bias, block.Gamma, rows, type, library);
    }

    /// <summary>[C, 7, 7]</summary>
    public float* Depthwise { get; }

    public float* DepthwiseBias { get; }

    public PackedNorm Norm { get; }

    public PackedLinear Expand { get; }

    public PackedLinear Contract { get; }
}
