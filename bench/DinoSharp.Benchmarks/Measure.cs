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
/// <param name="Count">Repetitions.</param>
internal sealed record Timing(double Best, double Median, double Cpu, int Count);

/// <summary>
/// Interleaved timing: every round runs each subject once, so that drift of the machine meets all alike.
/// </summary>
internal static class Measure
{
    /// <summary>How repetitions are arranged, for the text of a report.</summary>
    public const string Words = "Every round runs each of them once, in an order drawn anew, so that none always follows the same other; at least seven repetitions, five of what takes over a second, each after a rest of 10 ms.";

    private const int Rest = 10, Fewest = 7, FewestOfLong = 5;

    private const double Long = 1000;

    /// <summary>Times each subject for about so many seconds, after a warm-up.</summary>
    public static IReadOnlyList<Timing> Interleaved(double secondsEach, params IReadOnlyList<Subject> subjects)
    {
        foreach (Subject subject in subjects)
        {
            // Long enough for the tiered compiler to be done.
            var warmUp = Stopwatch.StartNew();
            for (int i = 0; i < 1 || (warmUp.Elapsed.TotalSeconds < 0.3 && i < 200); i++) subject.Run();
        }

        List<double>[] times = [.. subjects.Select(_ => new List<double>())];
        double[] cpu = new double[subjects.Count];
        double total = secondsEach * subjects.Count;
        var clock = Stopwatch.StartNew();
        for (int round = 0; clock.Elapsed.TotalSeconds < total || times.Any(IsShort); round++)
        {
            int[] order = [.. Enumerable.Range(0, subjects.Count)];
            new Random(round).Shuffle(order);
            foreach (int s in order)
            {
                if (clock.Elapsed.TotalSeconds >= total && !IsShort(times[s])) continue;
                Thread.Sleep(Rest);
                TimeSpan before = Environment.CpuUsage.TotalTime;
                long start = Stopwatch.GetTimestamp();
                subjects[s].Run();
                times[s].Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                cpu[s] += (Environment.CpuUsage.TotalTime - before).TotalMilliseconds;
            }
        }

        return [.. times.Select((t, s) => new Timing(t.Min(), Median(t), cpu[s] / t.Count, t.Count))];
    }

    /// <summary>The middle value, the mean of the two middle ones of an even number.</summary>
    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private static bool IsShort(List<double> times) => times.Count < FewestOfLong || (times.Count < Fewest && times[0] < Long);
}
