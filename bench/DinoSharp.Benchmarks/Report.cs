using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using DinoSharp.Images;
using TorchSharp;

namespace DinoSharp.Benchmarks;

/// <summary>A page of results. Everything in it is measured or asked from the system; nothing is typed.</summary>
internal sealed class Report
{
    private readonly StringBuilder _page = new();
    private readonly string _name;

    public Report(string name)
    {
        _name = name;
        Write(FormattableString.Invariant($"# {name}\n"));
        Write("Written by `bench/run`; do not edit.\n");
        Table(["", ""],
        [
            ["date", DateTime.UtcNow.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture)],
            ["processor", $"{Machine.Processor}, {Environment.ProcessorCount} logical, {Machine.Words}"],
            ["load", $"{LoadAverage()} runnable threads on average before the start (the fewer, the more trustworthy)"],
            ["system", $"{RuntimeInformation.OSDescription}, {RuntimeInformation.OSArchitecture}"],
            ["versions", $".NET {Environment.Version}, TorchSharp {typeof(torch).Assembly.GetName().Version}, {ImageFile.NativeLibrary}"],
        ]);
    }

    public void Section(string title, string text) => Write($"\n## {title}\n{text}\n");

    public void Table(string[] header, IEnumerable<string[]> rows)
    {
        Write($"| {string.Join(" | ", header)} |");
        Write($"|{string.Concat(Enumerable.Repeat("---|", header.Length))}");
        foreach (string[] row in rows) Write($"| {string.Join(" | ", row)} |");
    }

    /// <summary>The goals that this page decides, each judged by the numbers of this run.</summary>
    /// <param name="text">What is to be said of the rows.</param>
    /// <param name="goals">All of them, those of other machines included.</param>
    public void Goals(string text, params IEnumerable<Goal> goals)
    {
        Section("Goals", $"This machine is of the class {Machine.Class}. A goal counts as met if every row reaches it by the medians; how the best times stand is given beside. {text}".TrimEnd());
        Table(Goal.Header, goals.Select(goal => goal.Cells(Machine.Class)));
    }

    public static string Number(double value) => value.ToString(value >= 100 ? "F0" : value >= 10 ? "F1" : value >= 0.1 ? "F2" : "F4", CultureInfo.InvariantCulture);

    public string Save()
    {
        string folder = Path.Combine(Root(), "bench", "results", Slug());
        Directory.CreateDirectory(folder);
        string file = Path.Combine(folder, _name + ".md");
        File.WriteAllText(file, _page.ToString());
        return file;
    }

    /// <summary>The folder of the repository.</summary>
    public static string Root()
    {
        for (string? folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (File.Exists(Path.Combine(folder, "DinoSharp.slnx"))) return folder;
        }

        return Environment.CurrentDirectory;
    }

    private void Write(string line)
    {
        _page.Append(line).Append('\n');
        Console.WriteLine(line);
    }

    private static string Slug() => string.Join('-', $"{Machine.Processor} {Machine.Words}".ToLowerInvariant().Split([' ', '(', ')', '@', '.', ',', '/'], StringSplitOptions.RemoveEmptyEntries));

    private static string LoadAverage() => File.Exists("/proc/loadavg") ? File.ReadAllText("/proc/loadavg").Split(' ')[0] : "unknown";
}
