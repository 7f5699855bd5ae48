using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace DinoSharp.Inference;

/// <summary>What a linear layer does with its result.</summary>
internal enum Epilogue
{
    /// <summary>y = Wx + b.</summary>
    Store,

    /// <summary>y = GELU(Wx + b).</summary>
    Gelu,

    /// <summary>y = y + Wx + b.</summary>
    Add,
}

/// <summary>Linear layers, norms and gates on panels. Each call is a phase that all workers enter together.</summary>
/// <typeparam name="L">The lanes.</typeparam>
/// <typeparam name="V">The vector type.</typeparam>
internal static unsafe class PanelOperations<L, V>
    where L : struct, ILanes<V>
    where V : struct
{
    // Of a panel so many steps stay in the first-level cache (24 KB on 512 bits) while all groups of a task meet them.
    private const int StepsAtOnce = 128;

    private const int GroupsAtOnce = 16;

    private const int NearBytes = 512 << 10; // half of a second-level cache; the weights take the rest

    private const int OutputsAtOnce = 64; // of a result of the library

    private const int MostTile = 8 * 48; // rows times a row of a panel, on 512 bits

    /// <summary>A linear layer over all tokens.</summary>
    /// <param name="workers">All of them.</param>
    /// <param name="w">The weights; their type is the precision of the product.</param>
    /// <param name="x">Tokens in.</param>
    /// <param name="room">Where tokens are packed; see <see cref="FloatsFor"/>. Unused in float32.</param>
    /// <param name="y">Tokens out.</param>
    /// <param name="epilogue">What becomes of the result.</param>
    public static void Linear(Workers workers, PackedLinear w, Panels x, float* room, Panels y, Epilogue epilogue)
    {
        long start = Stopwatch.GetTimestamp();
        if (w.IsForLibrary)
        {
            LibraryLinear(workers, w, x, room, y, epilogue);
            workers.Linear.Add(start, w, (long)x.Vectors * L.Count);
            return;
        }

        Operand<L, V> operand = Operand<L, V>.Pack(workers, x, w.Type, room);
        int threads = workers.Count, most = Math.Clamp(NearBytes / (w.Steps * w.Rows * sizeof(float)), 8, GroupsAtOnce), tasks = Share(w.Groups, threads, most, int.MaxValue).Task;
        bool isFar = Panels.FloatsFor(w.Steps, x.Vectors, L.Count) * sizeof(float) > NearBytes;
        bool pairs = w.Type != ComputeType.Float32 && L.Count == 16; // two tiles of a panel's only vector at once
        int stepsAtOnce = w.Type == ComputeType.Float32 ? StepsAtOnce : w.Steps;
        workers.Phase(tasks, [MethodImpl(Kernels.Hot), SkipLocalsInit] (task) =>
        {
            float* memory = stackalloc float[(GroupsAtOnce * MostTile) + 16], tiles = Aligned(memory);
            LinearClock.ProductTimer products = workers.Linear.Products();
            (_, int first, int count) = Share(w.Groups, threads, most, task);
            int ofGroup = w.Steps * w.Rows;
            float* weights = w.Weights + ((long)first * ofGroup);
            for (int panel = 0; panel < x.Count; panel++)
            {
                int vectors = x.VectorsOf(panel);
                for (int step = 0; step < w.Steps; step += stepsAtOnce)
                {
                    int depth = Math.Min(stepsAtOnce, w.Steps - step);
                    float* tokens = operand.Panels.Panel(panel) + (step * x.Width);
                    for (int g = 0; g < count; g++)
                    {
                        float* a = weights + (g * ofGroup) + (step * w.Rows), tile = tiles + (g * MostTile);
                        if (pairs && vectors == 1 && (g | 1) < count)
                        {
                            if (g % 2 == 0) DotTile<L, V>.Pair(w.Type == ComputeType.Int8, depth, a, a + ofGroup, w.Rows, tokens, tile);
                        }
                        else if (w.Type == ComputeType.BFloat16) DotTile<L, V>.Halves(vectors, depth, a, w.Rows, tokens, tile, accumulate: false);
                        else if (w.Type == ComputeType.Int8) DotTile<L, V>.Bytes(vectors, depth, a, w.Rows, tokens, tile);
                        else Tile<L, V>.Multiply(vectors, depth, a, g + 1 < count ? a + ofGroup : weights + ((step + depth) * w.Rows), tokens, Soon(g), tile, accumulate: step > 0);
                        if (step + depth < w.Steps) continue;
                        products.Pause();
                        int row = (first + g) * w.Rows, rows = Math.Min(w.Rows, w.Outputs - row);
                        if (w.Type == ComputeType.Int8) Rescale(tile, rows, vectors, w, row, operand, 3 * panel);
                        Finish(tile, 3 * L.Count, rows, vectors, w.Bias + row, y.Panel(panel) + ((long)row * y.Width), y.Width, epilogue);
                        products.Resume();
                    }

                    // The tokens after these follow in memory; the first groups fetch them, unless all are in the second-level cache anyway.
                    float* Soon(int g) => isFar && g * w.Rows < x.Width ? tokens + (depth * x.Width) + (g * depth * w.Rows) : tokens;
                }
            }

            products.Stop();
        });
        workers.Linear.Add(start, w, (long)x.Vectors * L.Count);
    }

    /// <summary>Floats of room that <see cref="Linear"/> needs besides its tokens.</summary>
    public static long FloatsFor(PackedLinear w, int vectors) =>
        w.IsForLibrary ? ((w.Inputs + 1L) / 2 * vectors * L.Count) + ((long)w.Outputs * vectors * L.Count) : Operand<L, V>.FloatsFor(w.Inputs, vectors, w.Type);

    // The library wants all tokens of a feature side by side, and gives its result so.
    private static void LibraryLinear(Workers workers, PackedLinear w, Panels x, float* room, Panels y, Epilogue epilogue)
    {
        int tokens = x.Vectors * L.Count, chunks = (w.Outputs + OutputsAtOnce - 1) / OutputsAtOnce;
        ushort* narrow = (ushort*)room;
        float* wide = room + ((w.Inputs + 1L) / 2 * tokens);
        workers.Phase(x.Count, [MethodImpl(Kernels.Hot)] (panel) =>
        {
            float* from = x.Panel(panel);
            ushort* to = narrow + (panel * x.Width);
            int vectors = x.VectorsOf(panel);
            for (int f = 0; f < w.Inputs; f++)
            {
                for (int j = 0; j < vectors; j++) L.StoreNarrow(to + (j * L.Count), L.Load(from + (j * L.Count)));
                from += x.Width;
                to += tokens;
            }
        });
        LinearClock.ProductTimer product = workers.Linear.Products();
        MatrixLibrary.Multiply(w.Outputs, tokens, w.Inputs, (ushort*)w.Weights, narrow, wide);
        product.Pause(workers.Count);
        product.Stop();
        workers.Phase(x.Count * chunks, task =>
        {
            int panel = task / chunks, first = task % chunks * OutputsAtOnce, rows = Math.Min(OutputsAtOnce, w.Outputs - first);
            Finish(wide + ((long)first * tokens) + (panel * x.Width), tokens, rows, x.VectorsOf(panel), w.Bias + first, y.Panel(panel) + ((long)first * y.Width), y.Width, epilogue);
        });
    }

    // Large tasks read each panel once for many groups of weights; they become smaller towards the end, so that no worker waits long for another.
    private static (int Task, int First, int Count) Share(int groups, int threads, int most, int wanted)
    {
        for (int task = 0, first = 0; ; task++)
        {
            int count = Math.Min(groups - first, threads == 1 ? most : Math.Clamp((groups - first) / (3 * threads), 2, most));
            if (task == wanted || count == 0) return (task, first, count);
            first += count;
        }
    }

    /// <summary>The next address at a multiple of 64 bytes: a vector across two cache lines is read twice.</summary>
    public static float* Aligned(float* memory) => (float*)(((nint)memory + 63) & ~63);

    /// <summary>Layer norm (bias given) or root-mean-square norm (bias null) over the features of each token.</summary>
    public static void Norm(Workers workers, float* weight, float* bias, double epsilon, Panels x, Panels y)
    {
        workers.Phase(x.Vectors, [MethodImpl(Kernels.Hot)] (v) =>
        {
            float* source = x.Vector(v, 0), target = y.Vector(v, 0);
            int step = x.Width;
            V mean = L.All(0);
            if (bias != null) mean = L.Multiply(Sum(source, x.Features, step, L.All(0), squares: false), L.All(1f / x.Features));
            V variance = L.Multiply(Sum(source, x.Features, step, mean, squares: true), L.All(1f / x.Features));
            V scale = L.Divide(L.All(1f), L.Sqrt(L.Add(variance, L.All((float)epsilon))));
            for (int f = 0; f < x.Features; f++)
            {
                V value = L.Multiply(L.Subtract(L.Load(source), mean), scale);
                L.Store(target, bias != null ? L.Fma(value, L.All(weight[f]), L.All(bias[f])) : L.Multiply(value, L.All(weight[f])));
                source += step;
                target += step;
            }
        });
    }

    /// <summary>SwiGLU's gate: the first half of the rows becomes SiLU(first) · second.</summary>
    public static void Gate(Workers workers, Panels both, Panels gated)
    {
        workers.Phase(both.Vectors, [MethodImpl(Kernels.Hot)] (v) =>
        {
            float* first = both.Vector(v, 0), second = both.Vector(v, gated.Features), target = gated.Vector(v, 0);
            for (int f = 0; f < gated.Features; f++)
            {
                L.Store(target, L.Multiply(Functions<L, V>.Silu(L.Load(first)), L.Load(second)));
                first += both.Width;
                second += both.Width;
                target += gated.Width;
            }
        });
    }

    // Sums of 32 rows at a time: the error of a long float32 sum grows with its length.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Sum(float* row, int features, int step, V mean, bool squares)
    {
        V total = L.All(0);
        for (int start = 0; start < features; start += 32)
        {
            V part = L.All(0);
            for (int f = start; f < Math.Min(features, start + 32); f++)
            {
                V value = L.Subtract(L.Load(row), mean);
                part = squares ? L.Fma(value, value, part) : L.Add(part, value);
                row += step;
            }

            total = L.Add(total, part);
        }

        return total;
    }

    // Integers become Σ weight · (offset + scale · byte).
    [MethodImpl(Kernels.Hot)]
    private static void Rescale(float* tile, int rows, int vectors, PackedLinear w, int row, Operand<L, V> operand, int vector)
    {
        int step = 3 * L.Count;
        for (int j = 0; j < vectors; j++)
        {
            V scale = operand.Scale(vector + j), offset = operand.Offset(vector + j);
            float* at = tile + (j * L.Count);
            for (int r = row; r < row + rows; r++)
            {
                V product = L.Multiply(L.Multiply(scale, L.All(w.Scales[r])), L.FromIntegers(L.Load(at)));
                L.Store(at, L.Fma(offset, L.All(w.Sums[r]), product));
                at += step;
            }
        }
    }

    [MethodImpl(Kernels.Hot)]
    private static void Finish(float* result, int resultStep, int rows, int vectors, float* bias, float* y, int step, Epilogue epilogue)
    {
        for (int r = 0; r < rows; r++)
        {
            V b = L.All(bias[r]);
            for (int j = 0; j < vectors; j++)
            {
                V value = L.Add(L.Load(result + ((long)r * resultStep) + (j * L.Count)), b);
                float* target = y + ((long)r * step) + (j * L.Count);
                if (epilogue == Epilogue.Gelu) value = Functions<L, V>.Gelu(value);
                if (epilogue == Epilogue.Add) value = L.Add(value, L.Load(target));
                L.Store(target, value);
            }
        }
    }
}
