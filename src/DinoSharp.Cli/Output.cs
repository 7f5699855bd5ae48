using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace DinoSharp.Cli;

/// <summary>Where a verb shows what it did: the result on stdout, as text or as one JSON document; warnings and progress on stderr.</summary>
internal sealed class Output
{
    private static readonly JsonSerializerOptions JsonOptions = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase), new FiniteDoubles(), new FiniteSingles() },
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // paths stay readable; nothing here ends up in HTML
    };

    private readonly TextWriter _result;
    private readonly TextWriter _error;
    private readonly Lazy<IAnsiConsole> _console;
    private bool _progressIsShown;

    public Output(TextWriter result, TextWriter error, bool json)
    {
        (_result, _error, Json) = (result, error, json);
        _console = new(() => AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(error) }));
    }

    /// <summary>Whether the caller asked for JSON; <see cref="Show"/> already obeys it.</summary>
    public bool Json { get; }

    /// <summary>Whether somebody watches stderr.</summary>
    public bool IsTerminal => (_error != Console.Error || !Console.IsErrorRedirected) && _console.Value.Profile.Out.IsTerminal;

    /// <summary>The value as one line of JSON: camel-case names, enums as words, not-a-number and infinities as null.</summary>
    public static string ToJson<T>(T value) => JsonSerializer.Serialize(value, JsonOptions);

    /// <summary>Prints the result of the verb; call it once, at the end.</summary>
    /// <param name="result">What <c>--json</c> prints.</param>
    /// <param name="lines">What a person reads instead.</param>
    public void Show<T>(T result, IEnumerable<string> lines)
    {
        if (Json)
        {
            _result.WriteLine(ToJson(result));
            return;
        }

        foreach (string line in lines) _result.WriteLine(line);
    }

    /// <summary>Rows with their columns aligned, two spaces between.</summary>
    public static IEnumerable<string> Columns(IReadOnlyCollection<string[]> rows)
    {
        int count = rows.Max(row => row.Length);
        int[] widths = [.. Enumerable.Range(0, count).Select(i => rows.Max(row => i < row.Length ? row[i].Length : 0))];
        return rows.Select(row => string.Join("  ", row.Select((cell, i) => cell.PadRight(widths[i]))).TrimEnd());
    }

    /// <summary>Something the user should know although the work goes on; shown on stderr, also in a pipe.</summary>
    public void Warn(string message)
    {
        if (_progressIsShown) _console.Value.WriteLine("warning: " + message); // keeps the bar below it
        else _error.WriteLine("warning: " + message);
    }

    /// <summary>What is going on, for who wants to follow it; shown on stderr, also in a pipe.</summary>
    public void Note(string message)
    {
        if (_progressIsShown) _console.Value.WriteLine(message); // keeps the bar below it
        else _error.WriteLine(message);
    }

    /// <summary>Runs work that takes a while. On a terminal a bar with count, rate and remaining time is shown; in a pipe nothing is.</summary>
    /// <param name="what">What is counted, for example <c>embedding</c>.</param>
    /// <param name="total">How many there are; null if nobody knows.</param>
    /// <param name="work">The work; it reports how many are done so far.</param>
    public async Task<T> WithProgressAsync<T>(string what, long? total, Func<IProgress<long>, Task<T>> work)
    {
        if (!IsTerminal) return await work(new Reporter(_ => { }));
        _progressIsShown = true;
        try
        {
            return await _console.Value.Progress().AutoClear(true)
                .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new CountColumn(), new RemainingTimeColumn(), new SpinnerColumn())
                .StartAsync(async context =>
                {
                    ProgressTask task = context.AddTask(Markup.Escape(what), maxValue: total ?? 1);
                    task.IsIndeterminate = total is null;
                    return await work(new Reporter(done => task.Value = done));
                });
        }
        finally
        {
            _progressIsShown = false;
        }
    }

    /// <summary>Runs work that takes long and says much. On a terminal a block is drawn anew with every report, at most ten times a second, and messages go above it; in a pipe nothing is drawn.</summary>
    /// <param name="draw">A report as a block.</param>
    /// <param name="work">The work; it reports as it goes.</param>
    public async Task<TResult> WithDisplayAsync<TReport, TResult>(Func<TReport, IRenderable> draw, Func<Action<TReport>, Task<TResult>> work)
    {
        if (!IsTerminal) return await work(_ => { });
        _progressIsShown = true;
        try
        {
            return await _console.Value.Live(new Text("")).AutoClear(true).StartAsync(async context =>
            {
                var last = System.Diagnostics.Stopwatch.StartNew();
                bool first = true;
                return await work(report =>
                {
                    if (!first && last.ElapsedMilliseconds < 100) return;
                    first = false;
                    last.Restart();
                    context.UpdateTarget(draw(report));
                    context.Refresh();
                });
            });
        }
        finally
        {
            _progressIsShown = false;
        }
    }

    /// <summary>Reports at once and in order, unlike <see cref="Progress{T}"/>, which posts to the thread pool.</summary>
    private sealed class Reporter(Action<long> report) : IProgress<long>
    {
        public void Report(long value) => report(value);
    }

    private sealed class CountColumn : ProgressColumn
    {
        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime)
        {
            string count = task.IsIndeterminate ? $"{task.Value:0}" : $"{task.Value:0}/{task.MaxValue:0}";
            return new Text(task.Speed is { } perSecond ? $"{count} ({perSecond:0.#}/s)" : count);
        }
    }

    // JSON has no other numbers: what is not finite, such as the bounds of an interval that cannot be told, is null.
    private sealed class FiniteDoubles : JsonConverter<double>
    {
        public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetDouble();

        public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options)
        {
            if (double.IsFinite(value)) writer.WriteNumberValue(value);
            else writer.WriteNullValue();
        }
    }

    private sealed class FiniteSingles : JsonConverter<float>
    {
        public override float Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetSingle();

        public override void Write(Utf8JsonWriter writer, float value, JsonSerializerOptions options)
        {
            if (float.IsFinite(value)) writer.WriteNumberValue(value);
            else writer.WriteNullValue();
        }
    }
}
