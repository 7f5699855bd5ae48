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
    /// <summary>A linear layer over all tokens.</summary>
    public static void Linear(Workers workers, PackedLinear w, Panels x, Panels y, Epilogue epilogue)
    {
        // Small tasks keep the workers even; a task still reads each panel once for several groups of weights.
        int perTask = Math.Clamp(w.Groups / (6 * workers.Count), 1, 16), tasks = (w.Groups + perTask - 1) / perTask;
        workers.Phase(tasks, task =>
        {
            float* tile = stackalloc float[8 * 48];
            int end = Math.Min(w.Groups, (task + 1) * perTask);
            for (int panel = 0; panel < x.Count; panel++)
            {
                int vectors = x.VectorsOf(panel);
                for (int g = task * perTask; g < end; g++)
                {
                    Tile<L, V>.Multiply(vectors, w.Inputs, w.Weights + ((long)g * w.Inputs * w.Rows), w.Rows, x.Panel(panel), x.Width, tile, x.Width, accumulate: false);
                    int rows = Math.Min(w.Rows, w.Outputs - (g * w.Rows));
                    Finish(tile, rows, vectors, w.Bias + (g * w.Rows), y.Panel(panel) + ((long)g * w.Rows * y.Width), y.Width, epilogue);
                }
            }
        });
    }

    /// <summary>Layer norm (bias given) or root-mean-square norm (bias null) over the features of each token.</summary>
    public static void Norm(Workers workers, float* weight, float* bias, double epsilon, Panels x, Panels y)
    {
        workers.Phase(x.Vectors, v =>
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
        workers.Phase(both.Vectors, v =>
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

    private static void Finish(float* tile, int rows, int vectors, float* bias, float* y, int step, Epilogue epilogue)
    {
        for (int r = 0; r < rows; r++)
        {
            V b = L.All(bias[r]);
            for (int j = 0; j < vectors; j++)
            {
                V value = L.Add(L.Load(tile + (r * step) + (j * L.Count)), b);
                float* target = y + ((long)r * step) + (j * L.Count);
                if (epilogue == Epilogue.Gelu) value = Functions<L, V>.Gelu(value);
                if (epilogue == Epilogue.Add) value = L.Add(value, L.Load(target));
                L.Store(target, value);
            }
        }
    }
}
