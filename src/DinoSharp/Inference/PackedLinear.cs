using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>Weights of a linear layer in the order the tile reads them: <c>[group of rows][step][row]</c>, with a layer scale folded in. A step is one float32
/// input, two in bfloat16 or four in bytes. For <see cref="MatrixLibrary"/> they are plain rows of bfloat16.</summary>
internal sealed unsafe class PackedLinear
{
    private const int StagedBytes = 512 << 10;

    /// <param name="memory">Holds the packed weights and must live as long.</param>
    /// <param name="weight">The matrix. In float32 a few rows of it are in memory at a time.</param>
    /// <param name="bias">[outputs], or null for zero.</param>
    /// <param name="scale">Factor per output [outputs], or null.</param>
    /// <param name="rows">Rows of a tile.</param>
    /// <param name="type">Not <see cref="ComputeType.Auto"/>.</param>
    /// <param name="library">In bfloat16: for <see cref="MatrixLibrary"/>.</param>
    public PackedLinear(WeightMemory memory, WeightRows weight, Tensor? bias, Tensor? scale, int rows, ComputeType type = ComputeType.Float32, bool library = false)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor b = bias is null ? zeros(weight.Outputs) : bias.to(ScalarType.Float32); // [outputs]
        if (scale is not null) b = b * scale;
        (Outputs, Inputs, Rows, Type, IsForLibrary) = (weight.Outputs, weight.Inputs, rows, type, library && type == ComputeType.BFloat16);
        long padded = (long)Groups * rows;
        Bias = memory.Take(padded * (Steps + 3));
        new Span<float>(Bias, (int)padded * 3).Clear(); // the weights are all written below
        Scales = Bias + padded;
        Sums = Scales + padded;
        Weights = Sums + padded;
        b.data<float>().CopyTo(new Span<float>(Bias, Outputs));
        if (type == ComputeType.Float32)
        {
            float[] factors = scale is null ? [] : scale.to(ScalarType.Float32).data<float>().ToArray();
            Pack(weight, factors);
            return;
        }

        Tensor w = weight.ToTensor(); // [outputs, inputs]
        if (scale is not null) w = w * scale.unsqueeze(-1); // [outputs, inputs]
        if (IsForLibrary)
        {
            for (int r = 0; r < Outputs; r++)
            {
                using Tensor row = w[r].to(ScalarType.BFloat16); // [inputs]
                row.bytes.CopyTo(new Span<byte>((ushort*)Weights + ((long)r * Inputs), Inputs * sizeof(ushort)));
            }

            return;
        }

        w = nn.functional.pad(w, [0, ((long)Steps * InputsOfStep(type)) - Inputs, 0, padded - Outputs]); // [groups · rows, steps · inputs of a step]
        if (type == ComputeType.BFloat16) w = w.to(ScalarType.BFloat16);
        if (type == ComputeType.Int8)
        {
            // The largest weight of an output becomes 127. The offset of a token's numbers meets the sum of the weights as they are used.
            Tensor most = w.abs().amax([1], keepdim: true); // [groups · rows, 1]
            // Where pairs must fit into 16 bits, the largest sum of two neighbours does: rounded, they stay within 128. It is hardly larger than a weight, because large weights seldom are neighbours; activations keep all eight bits.
            if (rows == Lanes256.Rows && DotTile<Lanes256, Vector256<float>>.SumsPairsIn16Bits) most = most.maximum(w.view(padded, -1, 2).sum(2).abs().amax([1], keepdim: true));
            Tensor unit = most / Num(127); // [groups · rows, 1]
            w = (w / unit.clamp_min(Num(float.Epsilon))).round().clamp(Num(-127), Num(127)); // [groups · rows, steps · 4]
            unit.view(-1).data<float>().CopyTo(new Span<float>(Scales, (int)padded));
            (w.sum(1, keepdim: true) * unit).view(-1).data<float>().CopyTo(new Span<float>(Sums, (int)padded));
            w = w.to(ScalarType.Int8);
        }

        Tensor packed = w.view(Groups, rows, Steps, InputsOfStep(type)).transpose(1, 2).contiguous(); // [groups, steps, rows, inputs of a step]
        // A tensor over our own memory would outlive it in the wrong order; a copy in pieces stays within the range of a span.
        for (int g = 0; g < Groups; g++)
        {
            using Tensor group = packed[g].view(-1);
            group.bytes.CopyTo(MemoryMarshal.AsBytes(new Span<float>(Weights + ((long)g * Steps * rows), Steps * rows)));
        }
    }

    // What is read stays in the second-level cache until it is packed.
    private void Pack(WeightRows weight, float[] factors)
    {
        int groups = Math.Clamp(StagedBytes / sizeof(float) / (Rows * Inputs), 1, Groups); // at a time
        float[] staged = ArrayPool<float>.Shared.Rent(groups * Rows * Inputs);
        fixed (float* start = staged)
        {
            for (int first = 0; first < Groups; first += groups)
            {
                int row = first * Rows, last = Math.Min(first + groups, Groups);
                weight.Read(row, new Span<float>(start, (Math.Min(last * Rows, Outputs) - row) * Inputs));
                for (int group = first; group < last; group++) PackGroup(start - ((long)row * Inputs), group, factors);
            }
        }

        ArrayPool<float>.Shared.Return(staged);
    }

    /// <summary>Rows of float32 become the columns that the tile reads; rows beyond the last output are zero.</summary>
    [MethodImpl(Kernels.Hot)]
    private void PackGroup(float* weight, int group, float[] factors)
    {
        float* to = Weights + ((long)group * Steps * Rows);
        for (int r = 0; r < Rows; r += 4)
        {
            int output = (group * Rows) + r, inputs = output + 4 <= Outputs ? Inputs - (Inputs % 4) : 0; // of four rows at once
            if (inputs > 0) PackSquares(weight + ((long)output * Inputs), inputs, factors.Length > 0 ? factors.AsSpan(output, 4) : [1, 1, 1, 1], to + r);
            for (int row = r; row < r + 4; row++)
            {
                output = (group * Rows) + row;
                float factor = output < Outputs && factors.Length > 0 ? factors[output] : 1;
                for (int i = inputs; i < Inputs; i++) to[((long)i * Rows) + row] = output < Outputs ? weight[((long)output * Inputs) + i] * factor : 0;
            }
        }
    }

    // Squares of four rows by four inputs are turned in registers: a float at a time took three times as long.
    [MethodImpl(Kernels.Hot)]
    private void PackSquares(float* a, int inputs, ReadOnlySpan<float> factors, float* to)
    {
        float* b = a + Inputs, c = b + Inputs, d = c + Inputs;
        Vector128<float> fa = Vector128.Create(factors[0]), fb = Vector128.Create(factors[1]), fc = Vector128.Create(factors[2]), fd = Vector128.Create(factors[3]);
        for (int i = 0; i < inputs; i += 4)
        {
            Vector128<float> va = Vector128.Load(a + i) * fa, vb = Vector128.Load(b + i) * fb, vc = Vector128.Load(c + i) * fc, vd = Vector128.Load(d + i) * fd;
            Vector128<float> low = Sse.UnpackLow(va, vb), high = Sse.UnpackHigh(va, vb), low2 = Sse.UnpackLow(vc, vd), high2 = Sse.UnpackHigh(vc, vd);
            Sse.MoveLowToHigh(low, low2).Store(to);
            Sse.MoveHighToLow(low2, low).Store(to + Rows);
            Sse.MoveLowToHigh(high, high2).Store(to + (2 * Rows));
            Sse.MoveHighToLow(high2, high).Store(to + (3 * Rows));
            to += 4 * Rows;
        }
    }

    /// <summary>Packs the layers of blocks 0 … <paramref name="blocks"/> - 1: a block a thread in float32; else one after the other, because libtorch converts with threads of its own.</summary>
    public static void ForEach(int blocks, ComputeType type, Action<int> pack)
    {
        if (type != ComputeType.Float32)
        {
            for (int block = 0; block < blocks; block++) pack(block);
            return;
        }

        try
        {
            Parallel.ForEach(Partitioner.Create(Enumerable.Range(0, blocks), EnumerablePartitionerOptions.NoBuffering), new ParallelOptions { MaxDegreeOfParallelism = LoadPlan.Threads }, pack);
        }
        catch (AggregateException e)
        {
            ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }
    }

    public ComputeType Type { get; }

    /// <summary>Whether <see cref="MatrixLibrary"/> multiplies: the weights are [outputs, inputs].</summary>
    public bool IsForLibrary { get; }

    public int Outputs { get; }

    public int Inputs { get; }

    public int Rows { get; }

    /// <summary>Lanes of 32 bits that hold the inputs of a token.</summary>
    public int Steps => StepsOf(Inputs, Type);

    /// <summary>Groups of <see cref="Rows"/> outputs.</summary>
    public int Groups => (Outputs + Rows - 1) / Rows;

    public float* Bias { get; }

    public float* Weights { get; }

    /// <summary>Bytes only: what one unit of a weight is worth, per output.</summary>
    public float* Scales { get; }

    /// <summary>Bytes only: the sum of the weights of an output.</summary>
    public float* Sums { get; }

    public static int StepsOf(int inputs, ComputeType type) => (inputs + InputsOfStep(type) - 1) / InputsOfStep(type);

    private static int InputsOfStep(ComputeType type) => type switch { ComputeType.Int8 => 4, ComputeType.BFloat16 => 2, _ => 1 };
}
