using System.Diagnostics;
using System.Runtime.Intrinsics;
using DinoSharp.Inference;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>What this processor computes at most: tiles whose operands stay in the first-level cache, on all threads at once.</summary>
internal static unsafe class Peaks
{
    private const int Depth = 64, Repeats = 20_000;

    /// <summary>Billions of operations a second for every precision that has kernels here.</summary>
    public static IReadOnlyDictionary<ComputeType, double> Measure() =>
        Lanes512.IsSupported ? Of<Lanes512, Vector512<float>>() : Lanes256.IsSupported ? Of<Lanes256, Vector256<float>>() : new Dictionary<ComputeType, double>();

    private static Dictionary<ComputeType, double> Of<L, V>()
        where L : struct, ILanes<V>
        where V : struct
    {
        var peaks = new Dictionary<ComputeType, double> { [ComputeType.Float32] = Best(1, (a, b, c) => Tile<L, V>.Multiply(3, Depth, (float*)a, (float*)a, (float*)b, (float*)c, accumulate: false)) };
        if (DotTile<L, V>.SupportsHalves) peaks[ComputeType.BFloat16] = Best(2, (a, b, c) => DotTile<L, V>.Halves(3, Depth, (float*)a, L.Rows, (float*)b, (float*)c, accumulate: false));
        if (DotTile<L, V>.SupportsBytes) peaks[ComputeType.Int8] = Best(4, (a, b, c) => DotTile<L, V>.Bytes(3, Depth, (float*)a, L.Rows, (float*)b, (float*)c));
        return peaks;

        static double Best(int inputsOfStep, Action<nint, nint, nint> tile)
        {
            var workers = new Workers(get_num_threads());
            double best = 0;
            for (int round = 0; round < 10; round++)
            {
                long start = Stopwatch.GetTimestamp();
                workers.Phase(workers.Count, _ =>
                {
                    float* room = stackalloc float[(Depth * 56) + (8 * 48) + 48];
                    float* a = PanelOperations<L, V>.Aligned(room), b = PanelOperations<L, V>.Aligned(a + (Depth * 8)), c = PanelOperations<L, V>.Aligned(b + (Depth * 48));
                    for (int i = 0; i < Repeats; i++) tile((nint)a, (nint)b, (nint)c);
                });
                double operations = 2.0 * workers.Count * Repeats * Depth * L.Rows * 3 * L.Count * inputsOfStep;
                best = Math.Max(best, operations / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9);
            }

            return best;
        }
    }
}
