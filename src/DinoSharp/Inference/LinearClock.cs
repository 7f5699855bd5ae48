using System.Diagnostics;

namespace DinoSharp.Inference;

/// <summary>Time in linear layers and their arithmetic, for benchmarks: what share of the peak they reach is not to be seen from a whole pass. Costs two looks at the
/// clock for each layer.</summary>
internal sealed class LinearClock
{
    private readonly double[] _operations = new double[(int)ComputeType.Auto];
    private long _ticks, _productTicks, _productLooks;

    /// <summary>Whether the matrix products are timed apart from what is done with their results. Off unless a benchmark asks: it looks at the clock twice for each group of weights.</summary>
    public bool TimesProducts { get; set; }

    /// <summary>A layer has been computed.</summary>
    /// <param name="start">When it began, in ticks of <see cref="Stopwatch"/>.</param>
    /// <param name="w">The layer.</param>
    /// <param name="tokens">Tokens it was computed for, padding included.</param>
    public void Add(long start, PackedLinear w, long tokens)
    {
        _ticks += Stopwatch.GetTimestamp() - start;
        _operations[(int)w.Type] += 2.0 * tokens * w.Inputs * w.Outputs;
    }

    /// <summary>A thread begins a task of matrix products.</summary>
    public ProductTimer Products() => new(TimesProducts ? this : null);

    /// <summary>What there was since the last call: seconds in linear layers; seconds in their matrix products, all threads added (0 unless <see cref="TimesProducts"/>);
    /// operations of each precision, two for a multiply-add.</summary>
    public (double Seconds, double ProductSeconds, double[] Operations) Take()
    {
        double products = _productLooks == 0 ? 0 : (_productTicks - (_productLooks * TicksOfLook())) / Stopwatch.Frequency;
        (double, double, double[]) taken = (_ticks / (double)Stopwatch.Frequency, products, [.. _operations]);
        _ticks = _productTicks = _productLooks = 0;
        Array.Clear(_operations);
        return taken;
    }

    // A look at the clock takes as long as a tenth of a short tile.
    private static double TicksOfLook()
    {
        const int looks = 1000;
        long best = long.MaxValue;
        for (int round = 0; round < 20; round++)
        {
            long start = Stopwatch.GetTimestamp();
            for (int i = 1; i < looks; i++) Stopwatch.GetTimestamp();
            best = Math.Min(best, Stopwatch.GetTimestamp() - start);
        }

        return best / (double)looks;
    }

    /// <summary>Time of one task on one thread, without its pauses. Does nothing where products are not timed.</summary>
    /// <param name="clock">Where it adds up; null to do nothing.</param>
    public struct ProductTimer(LinearClock? clock)
    {
        private long _since = clock is null ? 0 : Stopwatch.GetTimestamp();
        private long _ticks, _looks;

        /// <summary>What follows is no matrix product.</summary>
        /// <param name="threads">How many worked on it.</param>
        public void Pause(int threads = 1)
        {
            if (clock is null) return;
            _ticks += threads * (Stopwatch.GetTimestamp() - _since);
            _looks++;
        }

        /// <summary>Products again.</summary>
        public void Resume()
        {
            if (clock is not null) _since = Stopwatch.GetTimestamp();
        }

        /// <summary>The task is done; nothing is left since the last pause.</summary>
        public readonly void Stop()
        {
            if (clock is null) return;
            Interlocked.Add(ref clock._productTicks, _ticks);
            Interlocked.Add(ref clock._productLooks, _looks);
        }
    }
}
