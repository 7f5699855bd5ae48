using System.Globalization;
using System.Text;
using CsvHelper;
using DinoSharp.Backbones;

namespace DinoSharp.Training.Protocols;

/// <summary>A figure that the paper gives for published weights.</summary>
/// <param name="Task">The protocol, a verb of <c>dino eval</c>.</param>
/// <param name="Benchmark">The data, for example <c>ADE20K</c>; after an @ the size of the input in pixels.</param>
/// <param name="Model">Name of the preset.</param>
/// <param name="Metric">Name of the metric as the protocol reports it.</param>
/// <param name="Value">The figure.</param>
/// <param name="Unit">% (the protocol reports the share) or m.</param>
/// <param name="Source">Table of arXiv 2508.10104.</param>
public sealed record ExpectedValue(string Task, string Benchmark, string Model, string Metric, double Value, string Unit, string Source)
{
    /// <summary>Both figures for a person: <c>expected 55.9, got 54.8 (ADE20K, miou in %, Tab. 3-13 of the paper)</c>.</summary>
    /// <param name="measured">The metric as the protocol reports it.</param>
    public string Compare(double measured) => Unit == "%"
        ? FormattableString.Invariant($"expected {Value:0.0}, got {100 * measured:0.0} ({Benchmark}, {Metric} in %, {Source} of the paper)")
        : FormattableString.Invariant($"expected {Value:0.000}, got {measured:0.000} ({Benchmark}, {Metric} in {Unit}, {Source} of the paper)");
}

/// <summary>What the paper says that published weights reach.</summary>
public static class ExpectedValues
{
    private static readonly Lazy<IReadOnlyList<ExpectedValue>> Table = new(Read);

    /// <summary>All figures.</summary>
    public static IReadOnlyList<ExpectedValue> All => Table.Value;

    /// <summary>The figures of one protocol on one benchmark with one model; none for weights that are not published or a benchmark without a figure.</summary>
    /// <param name="task">The protocol.</param>
    /// <param name="benchmark">Name of the benchmark, without its size if there is only one; case does not matter.</param>
    /// <param name="model">A model as for <see cref="DinoModel.Load"/>; a file or folder is recognised by the name of the published weights in it.</param>
    public static IReadOnlyList<ExpectedValue> Find(string task, string benchmark, string model)
    {
        if (model.StartsWith("random:", StringComparison.Ordinal) || PresetOf(model) is not { } preset) return [];
        return [.. All.Where(v => v.Task == task && v.Model == preset && string.Equals(v.Benchmark, benchmark, StringComparison.OrdinalIgnoreCase))];
    }

    /// <summary>Refuses a benchmark of which the paper says nothing in this task.</summary>
    /// <param name="task">The protocol.</param>
    /// <param name="benchmark">As the user wrote it.</param>
    /// <param name="measured">Whether a run measures what a figure says; null: all figures of the task.</param>
    /// <exception cref="DinoSharpException">There is none of that name, or the run measures something else; the message names those which fit.</exception>
    public static void RequireBenchmark(string task, string benchmark, Func<ExpectedValue, bool>? measured = null)
    {
        string[] known = [.. All.Where(v => v.Task == task).Select(v => v.Benchmark).Distinct()];
        string[] fitting = [.. All.Where(v => v.Task == task && measured?.Invoke(v) != false).Select(v => v.Benchmark).Distinct()];
        if (fitting.Contains(benchmark, StringComparer.OrdinalIgnoreCase)) return;
        if (known.Contains(benchmark, StringComparer.OrdinalIgnoreCase))
            throw new DinoSharpException($"--benchmark {benchmark}: a run with these data and options measures something else; {(fitting.Length == 0 ? "no figure of the paper fits it, leave --benchmark out" : "those which fit are " + string.Join(", ", fitting))}");
        throw new DinoSharpException(known.Length == 0
            ? $"the paper gives no figure for 'eval {task}' with published weights, so --benchmark {benchmark} compares with nothing; leave it out"
            : $"--benchmark {benchmark}: the paper gives no figure of that name for 'eval {task}'; known are {string.Join(", ", known)}");
    }

    /// <summary>All figures as Markdown, a table for each protocol.</summary>
    public static string ToMarkdown()
    {
        var text = new StringBuilder("""
            # What the paper reports

            Figures of the DINOv3 paper (arXiv 2508.10104) for published weights on a frozen backbone, by the protocol that measures the same. `dino eval TASK … --benchmark BENCHMARK` prints the
            one that belongs to a model beside its own. Generated from `src/DinoSharp.Training/Protocols/expected-values.csv` by the test `ExpectedValuesTests` with `DINOSHARP_APPROVE=1`.

            A size after an @ is that of the input in pixels. The ViT family was measured at 1024 tokens (512 pixels for patches of 16). Its ConvNeXt rows `tiny` and `small` of IN-R and ObjectNet are
            equal in the paper, probably by mistake, and are given for `tiny` only.

            """.ReplaceLineEndings("\n"));
        foreach (IGrouping<string, ExpectedValue> task in All.GroupBy(v => v.Task))
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## eval {task.Key}\n\n| benchmark | model | metric | expected | source |\n|---|---|---|---|---|\n");
            foreach (ExpectedValue v in task) text.Append(CultureInfo.InvariantCulture, $"| {v.Benchmark} | {v.Model} | {v.Metric} | {(v.Unit == "%" ? v.Value.ToString("0.0", CultureInfo.InvariantCulture) : v.Value.ToString("0.000 m", CultureInfo.InvariantCulture))} | {v.Source} |\n");
        }

        return text.ToString();
    }

    /// <summary>The preset whose name is part of the last part of a path; null if none is.</summary>
    internal static string? PresetOf(string model)
    {
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(model)).ToLowerInvariant().Replace('_', '-');
        string full = name.StartsWith("dinov3-", StringComparison.Ordinal) ? name : "dinov3-" + name;
        return Presets.All.Where(p => p.Data is not null && full.StartsWith(p.Name, StringComparison.Ordinal) && (full.Length == p.Name.Length || full[p.Name.Length] is '-' or '.'))
            .MaxBy(p => p.Name.Length)?.Name is { } preset && full.Contains("sat493m", StringComparison.Ordinal) == preset.EndsWith("sat493m", StringComparison.Ordinal) ? preset : null;
    }

    private static IReadOnlyList<ExpectedValue> Read()
    {
        using Stream stream = typeof(ExpectedValues).Assembly.GetManifestResourceStream("expected-values.csv")!;
        using var reader = new StreamReader(stream);
        using CsvReader csv = CsvReader.FromText(reader.ReadToEnd(), new CsvReaderOptions { Separator = ',' });
        var values = new List<ExpectedValue>();
        while (csv.Read())
            values.Add(new ExpectedValue(csv.GetString(0), csv.GetString(1), csv.GetString(2), csv.GetString(3), double.Parse(csv.GetString(4), CultureInfo.InvariantCulture), csv.GetString(5), csv.GetString(6)));
        return values;
    }
}
