using System.Diagnostics;

namespace DinoSharp.Inference;

/// <summary>A few threads that share out the tasks of one phase after the other.</summary>
/// <remarks>A forward pass has a hundred short phases; starting a parallel loop for each would cost more than a small model computes. The calling thread
/// drives and takes part; helpers wait awake for the next phase for a moment, then sleep. A helper that the system does not run is not waited for:
/// the driver does its share. Take <see cref="Turn"/> around a computation: one runs at a time.</remarks>
internal sealed class Workers
{
    private static readonly long AwakeTicks = Stopwatch.Frequency / 5000; // 200 µs

    private static readonly Lazy<Workers> Process = new(() => new Workers(TorchSharp.torch.get_num_threads));

    private readonly Func<int> _count;
    private readonly SemaphoreSlim _wake = new(0);
    private Work? _current;
    private int _sleeping; // helpers that wait to be woken, or are about to
    private int _helpers;

    /// <param name="count">Says how many threads take part, the caller's included; asked anew for each phase.</param>
    public Workers(Func<int> count) => _count = count;

    /// <summary>Those of all engines, as many as libtorch has threads.</summary>
    public static Workers Shared => Process.Value;

    /// <summary>Threads, the caller's included.</summary>
    public int Count => Math.Max(1, _count());

    /// <summary>What the linear layers took.</summary>
    public LinearClock Linear { get; } = new();

    /// <summary>Held by the computation that uses the threads.</summary>
    public Lock Turn { get; } = new();

    /// <summary>Runs tasks 0 … <paramref name="tasks"/> - 1 and returns when all are done.</summary>
    /// <exception cref="InvalidOperationException">A task failed; the first failure is the inner exception. Or the caller does not hold <see cref="Turn"/> of those that all engines share.</exception>
    public void Phase(int tasks, Action<int> task)
    {
        if (this == Shared && !Turn.IsHeldByCurrentThread) throw new InvalidOperationException("a phase without the turn: two computations would share the threads"); // slow at best, and seldom seen
        int helpers = tasks > 1 ? Count - 1 : 0;
        var work = new Work(tasks, task, helpers);
        if (helpers > 0)
        {
            while (_helpers < helpers) new Thread(Help) { IsBackground = true, Name = $"DinoSharp worker {++_helpers}" }.Start();
            Interlocked.Exchange(ref _current, work);
            int sleeping = Interlocked.Exchange(ref _sleeping, 0); // each is woken once: a wake-up left over would keep a helper spinning
            if (sleeping > 0) _wake.Release(sleeping);
        }

        work.TakePart();
        var wait = new SpinWait();
        while (!work.IsDone) wait.SpinOnce(sleep1Threshold: -1);
        if (work.Failure is not null) throw new InvalidOperationException($"a computation failed: {work.Failure.Message}", work.Failure);
    }

    private void Help()
    {
        Work? last = null;
        long idleSince = Stopwatch.GetTimestamp();
        var wait = new SpinWait();
        while (true)
        {
            Work? work = Volatile.Read(ref _current);
            if (work is not null && work != last)
            {
                if (work.MayHelp()) work.TakePart();
                last = work;
                idleSince = Stopwatch.GetTimestamp();
                wait.Reset();
                continue;
            }

            if (Stopwatch.GetTimestamp() - idleSince < AwakeTicks)
            {
                wait.SpinOnce(sleep1Threshold: -1);
                continue;
            }

            Interlocked.Increment(ref _sleeping);
            if (Volatile.Read(ref _current) == last || !StaysAwake()) _wake.Wait();
            idleSince = Stopwatch.GetTimestamp();
        }
    }

    // Takes back that this helper sleeps, unless its wake-up is under way.
    private bool StaysAwake()
    {
        while (true)
        {
            int sleeping = Volatile.Read(ref _sleeping);
            if (sleeping == 0) return false;
            if (Interlocked.CompareExchange(ref _sleeping, sleeping - 1, sleeping) == sleeping) return true;
        }
    }

    private sealed class Work(int tasks, Action<int> task, int helpers)
    {
        private int _helpers = helpers;
        private int _next;
        private int _done;
        private Exception? _failure;

        public bool IsDone => Volatile.Read(ref _done) == tasks;

        public Exception? Failure => _failure;

        /// <summary>Whether a helper is wanted: there may be more than the threads asked for now.</summary>
        public bool MayHelp() => Interlocked.Decrement(ref _helpers) >= 0;

        public void TakePart()
        {
            int i;
            while (Volatile.Read(ref _next) < tasks && (i = Interlocked.Increment(ref _next) - 1) < tasks)
            {
                try
                {
                    task(i);
                }
                catch (Exception e)
                {
                    Interlocked.CompareExchange(ref _failure, e, null);
                }

                Interlocked.Increment(ref _done);
            }
        }
    }
}
