using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace DinoSharp.Training.Runs;

/// <summary>Figures of a run, one JSON object per line, and the same for TensorBoard. A run that goes on removes the figures of the steps it makes again.</summary>
/// <remarks>A line of step s belongs to the weights before step s: the losses of the step, or what their features were worth. So there is a last line of features after the last step.</remarks>
internal sealed class RunFigures : IDisposable
{
    public const string FileName = "metrics.jsonl", Locality = "patch_locality", KnnTop1 = "knn_top1", ClassRank = "class_rank", PatchRank = "patch_rank";

    private readonly EventLog _events;
    private readonly StreamWriter _writer;

    /// <param name="folder">Folder of the run.</param>
    /// <param name="firstStep">Lines of this step and later ones are removed, and so is a last line that a killed process left unfinished.</param>
    public RunFigures(string folder, long firstStep)
        : this(folder, Read(folder).Where(line => StepOf(line) < firstStep))
    {
    }

    private RunFigures(string folder, IEnumerable<JsonObject> lines)
    {
        string path = Path.Combine(folder, FileName);
        DateTimeOffset since = File.Exists(path) ? File.GetLastWriteTimeUtc(path) : DateTimeOffset.UtcNow;
        JsonObject[] kept = [.. lines];
        Recipes.YamlText.Save(path, string.Concat(kept.Select(line => line.ToJsonString() + "\n")));
        _events = new EventLog(folder, kept, since);
        _writer = new StreamWriter(new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read), new UTF8Encoding(false)) { NewLine = "\n", AutoFlush = true };
    }

    /// <summary>The complete lines of a run.</summary>
    public static IEnumerable<JsonObject> Read(string folder)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path)) yield break;
        using var reader = new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete)); // a run may be writing it
        while (reader.ReadLine() is { } line)
        {
            if (Parse(line) is { } figures) yield return figures;
        }
    }

    /// <summary>Step of a line.</summary>
    public static long StepOf(JsonObject line) => (long)line["step"]!;

    /// <summary>Where the picture of dense features before a step is.</summary>
    public static string PictureOf(string folder, long step, string? student) => Path.Combine(folder, "monitor", $"{(student is null ? "" : student + "-")}step-{step.ToString("D8", CultureInfo.InvariantCulture)}.png");

    /// <summary>Adds figures measured later to those that are there, where their steps belong.</summary>
    public static void Insert(string folder, IEnumerable<JsonObject> lines)
    {
        JsonObject[] all = [.. Read(folder).Concat(lines).OrderBy(StepOf)];
        using var rewritten = new RunFigures(folder, all);
    }

    /// <summary>A line of figures as it is written: figures that are no numbers become null.</summary>
    public static JsonObject Line(IEnumerable<KeyValuePair<string, object?>> figures)
    {
        var line = new JsonObject();
        foreach ((string key, object? value) in figures)
        {
            line[key] = value switch { double number when !double.IsFinite(number) => null, null => null, _ => JsonSerializer.SerializeToNode(value) };
        }

        line["time"] = EventLog.Seconds(DateTimeOffset.UtcNow);
        return line;
    }

    /// <summary>Adds a line.</summary>
    public void Write(JsonObject line)
    {
        _writer.WriteLine(line.ToJsonString());
        _events.Write(line);
    }

    public void Dispose()
    {
        _writer.Dispose();
        _events.Dispose();
    }

    private static JsonObject? Parse(string line)
    {
        try
        {
            return JsonNode.Parse(line) is JsonObject figures && figures["step"] is JsonValue step && step.TryGetValue(out long _) ? figures : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
