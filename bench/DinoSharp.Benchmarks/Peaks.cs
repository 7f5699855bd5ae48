using System.Diagnostics;
using System.Runtime.Intrinsics;
using DinoSharp.Inference;

namespace DinoSharp.Benchmarks;

/// <summary>What this processor computes at most: tiles whose operands stay in the first-level cache, on all threads at once. Measured again between other
/// measurements; the most counts, so that a busy moment does not make a peak of less than what the rows reach.</summary>
internal sealed unsafe class Peaks
{
    private const int Depth = 64, Repeats = 20_000;

    private readonly Dictionary<ComputeType, double> _best = [];
    private readonly Workers _workers = Workers.Shared;

    public Peaks() => Measure();

    /// <summary>Precisions that have kernels here.</summary>
    public IReadOnlyCollection<ComputeType> Types => _best.Keys;

    /// <summary>Billions of operations a second, the most so far; null without kernels.</summary>
    public double? this[ComputeType type] => _best.TryGetValue(type, out double best) ? best : null;

    /// <summary>All of them in words.</summary>
    public override string ToString() => _best.Count == 0 ? "no kernels of ours here" : string.Join(", ", _best.Select(p => FormattableString.Invariant($"{p.Key} {p.Value:F0} Gop/s")));

    /// <summary>Measures once more.</summary>
    public void Measure()
    {
        foreach (ComputeType type in new[] { ComputeType.Float32, ComputeType.BFloat16, ComputeType.Int8 })
        {
            if (!Kernels.Has(type, out _)) continue;
            if (Kernels.AreWide(type)) Of<Lanes512, Vector512<float>>(type);
            else Of<Lanes256, Vector256<float>>(type);
        }

        if (Machine.Class == Machine.Amx && MatrixLibrary.IsThere) Library();
    }

    // With AMX the peak of bfloat16 is that of MKL on a product that fits into the caches: our own tiles do not use it.
    private void Library()
    {
        const int side = 1024;
        using NativeBuffer a = new(), b = new(), c = new();
        ushort* left = (ushort*)a.Get(side * side / 2), right = (ushort*)b.Get(side * side / 2);
        float* product = c.Get(side * side);
        new Span<ushort>(left, side * side).Clear();
        new Span<ushort>(right, side * side).Clear();
        for (int round = 0; round < 10; round++)
        {
            long start = Stopwatch.GetTimestamp();
            MatrixLibrary.Multiply(side, side, side, left, right, product);
            double speed = 2.0 * side * side * side / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
            _best[ComputeType.BFloat16] = Math.Max(_best.GetValueOrDefault(ComputeType.BFloat16), speed);
        }
    }

    private void Of<L, V>(ComputeType type)
        where L : struct, ILanes<V>
        where V : struct
    {
        if (type == ComputeType.Float32) Best(1, (a, b, c) => Tile<L, V>.Multiply(3, Depth, (float*)a, (float*)a, (float*)b, (float*)b, (float*)c, accumulate: false));
        if (type == ComputeType.BFloat16) Best(2, (a, b, c) => DotTile<L, V>.Halves(3, Depth, (float*)a, L.Rows, (float*)b, (float*)c, accumulate: false));
        if (type == ComputeType.Int8) Best(4, (a, b, c) => DotTile<L, V>.Bytes(3, Depth, (float*)a, L.Rows, (float*)b, (float*)c));

        void Best(int inputsOfStep, Action<nint, nint, nint> tile)
        {
            for (int round = 0; round < 10; round++)
            {
                long start = Stopwatch.GetTimestamp();
                lock (_workers.Turn)
                {
                    _workers.Phase(_workers.Count, _ =>
                    {
                        float* room = stackalloc float[(Depth * 56) + (8 * 48) + 48];
                        float* a = PanelOperations<L, V>.Aligned(room), b = PanelOperations<L, V>.Aligned(a + (Depth * 8)), c = PanelOperations<L, V>.Aligned(b + (Depth * 48));
                        for (int i = 0; i < Repeats; i++) tile((nint)a, (nint)b, (nint)c);
                    });
                }

                double operations = 2.0 * _workers.Count * Repeats * Depth * L.Rows * 3 * L.Count * inputsOfStep;
                _best[type] = Math.Max(_best.GetValueOrDefault(type), operations / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9);
            }
        }
    }
}
