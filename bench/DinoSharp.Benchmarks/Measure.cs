using System.Diagnostics;

namespace DinoSharp.Benchmarks;

/// <summary>One thing to be timed.</summary>
/// <param name="Name">Its row in the report.</param>
/// <param name="Run">One repetition.</param>
internal sealed record Subject(string Name, Action Run);

/// <summary>Times of one subject.</summary>
/// <param name="Best">Fastest repetition, milliseconds.</param>
/// <param name="Median">Middle repetition, milliseconds.</param>
/// <param name="Cpu">Mean processor time of the whole process for each repetition, all threads added, milliseconds.</param>
internal sealed record Timing(double Best, double Median, double Cpu);

/// <summary>
/// Interleaved timing: every round runs each subject once, in turn, so that drift of the machine meets all alike.
/// </summary>
internal static class Measure
{
    /// <summary>Milliseconds before each repetition, in which the threads of the one before go to sleep.</summary>
    private const int Rest = 10;

    /// <summary>Times each subject for about so many seconds, after a warm-up.</summary>
    public static IReadOnlyList<Timing> Interleaved(double secondsEach, params IReadOnlyList<Subject> subjects)
    {
        foreach (Subject subject in subjects)
        {
            // Long enough for the tiered compiler to be done.
            var warmUp = Stopwatch.StartNew();
            for (int i = 0; i < 1 || (i < 3 && warmUp.Elapsed.TotalSeconds < 2) || (warmUp.Elapsed.TotalSeconds < 0.3 && i < 200); i++) subject.Run();
        }

        List<double>[] times = [.. subjects.Select(_ => new List<double>())];
        double[] cpu = new double[subjects.Count];
        using var process = Process.GetCurrentProcess();
        double total = secondsEach * subjects.Count;
        var clock = Stopwatch.StartNew();
        for (int round = 0; round < 3 || (round < 5 && clock.Elapsed.TotalSeconds < 4 * total) || clock.Elapsed.TotalSeconds < total; round++)
        {
            for (int s = 0; s < subjects.Count; s++)
            {
                process.Refresh();
                Thread.Sleep(Rest);
                TimeSpan before = process.TotalProcessorTime;
                long start = Stopwatch.GetTimestamp();
                subjects[s].Run();
                times[s].Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                process.Refresh();
                cpu[s] += (process.TotalProcessorTime - before).TotalMilliseconds;
            }
        }

        return [.. times.Select((t, s) => new Timing(t.Min(), t.Order().ElementAt(t.Count / 2), cpu[s] / t.Count))];
    }
}
