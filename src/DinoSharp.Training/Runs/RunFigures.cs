using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace DinoSharp.Training.Runs;

/// <summary>Figures of a run, one JSON object per line. A run that goes on removes the lines of the steps it makes again.</summary>
internal sealed class MetricsLog : IDisposable
{
    private readonly StreamWriter _writer;

    /// <param name="path">The file.</param>
    /// <param name="firstStep">Lines of this step and later ones are removed, and so is a last line that a killed process left unfinished.</param>
    public MetricsLog(string path, long firstStep)
    {
        string[] kept = File.Exists(path) ? [.. File.ReadLines(path).Where(line => StepOf(line) is long step && step < firstStep)] : [];
        Recipes.YamlText.Save(path, string.Concat(kept.Select(line => line + "\n")));
        _writer = new StreamWriter(new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read), new UTF8Encoding(false)) { NewLine = "\n", AutoFlush = true };
    }

    /// <summary>Adds a line. Figures that are no numbers become null.</summary>
    public void Write(IEnumerable<KeyValuePair<string, object?>> figures)
    {
        var line = new JsonObject();
        foreach ((string key, object? value) in figures)
        {
            line[key] = value switch { double number when !double.IsFinite(number) => null, null => null, _ => JsonSerializer.SerializeToNode(value) };
        }

        _writer.WriteLine(line.ToJsonString());
    }

    public void Dispose() => _writer.Dispose();

    private static long? StepOf(string line)
    {
        try
        {
            return (long?)JsonNode.Parse(line)?["step"];
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException)
        {
            return null;
        }
    }
}
