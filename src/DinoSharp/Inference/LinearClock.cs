using System.Diagnostics;

namespace DinoSharp.Inference;

/// <summary>Time in linear layers and their arithmetic, for benchmarks: what share of the peak they reach is not to be seen from a whole pass. Costs two looks at the
/// clock for each layer.</summary>
internal sealed class LinearClock
{
    private readonly double[] _operations = new double[(int)ComputeType.Auto];
    private long _ticks;

    /// <summary>A layer has been computed.</summary>
    /// <param name="start">When it began, in ticks of <see cref="Stopwatch"/>.</param>
    /// <param name="w">The layer.</param>
    /// <param name="tokens">Tokens it was computed for, padding included.</param>
    public void Add(long start, PackedLinear w, long tokens)
    {
        _ticks += Stopwatch.GetTimestamp() - start;
        _operations[(int)w.Type] += 2.0 * tokens * w.Inputs * w.Outputs;
    }

    /// <summary>Seconds and operations of each precision since the last call, two for a multiply-add.</summary>
    public (double Seconds, double[] Operations) Take()
    {
        (double, double[]) taken = (_ticks / (double)Stopwatch.Frequency, [.. _operations]);
        _ticks = 0;
        Array.Clear(_operations);
        return taken;
    }
}
