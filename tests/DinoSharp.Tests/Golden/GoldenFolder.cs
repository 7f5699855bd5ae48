using System.Text.Json;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>A folder of golden cases, read by its manifest.json; the format is described in its README.</summary>
internal static class GoldenFolder
{
    /// <summary>Folders to test: the one named by DINOSHARP_GOLDEN, else the shared one if present, and always the small one of the repository.</summary>
    public static IReadOnlyList<string> All { get; } = Find();

    public static IEnumerable<GoldenEntry> Entries(string folder)
    {
        using JsonDocument manifest = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "manifest.json")));
        foreach (JsonElement entry in manifest.RootElement.GetProperty("cases").EnumerateArray())
        {
            yield return new GoldenEntry(folder, entry.GetProperty("name").GetString()!, entry.GetProperty("kind").GetString()!, entry.GetProperty("manifest").GetString()!);
        }
    }

    private static List<string> Find()
    {
        var folders = new List<string>();
        string? chosen = Environment.GetEnvironmentVariable("DINOSHARP_GOLDEN");
        string beside = Path.GetFullPath(Path.Combine(Repository.Root, "..", "shared", "golden"));
        if (!string.IsNullOrEmpty(chosen)) folders.Add(Path.GetFullPath(chosen));
        else if (Directory.Exists(beside)) folders.Add(beside);
        folders.Add(Path.Combine(Repository.Fixtures, "golden"));
        return folders;
    }
}

/// <summary>One line of a manifest.</summary>
internal sealed record GoldenEntry(string Folder, string Name, string Kind, string Manifest);

/// <summary>One golden case: configuration, weights, calls with inputs and expected outputs. Owns the tensors it has read.</summary>
internal sealed class GoldenCase : IDisposable
{
    private readonly JsonDocument _json;
    private readonly TensorFile? _data;
    private readonly Dictionary<string, Tensor> _tensors = [];
    private readonly List<GoldenComparison> _comparisons = [];

    public GoldenCase(GoldenEntry entry)
    {
        Entry = entry;
        _json = JsonDocument.Parse(System.IO.File.ReadAllText(Path.Combine(entry.Folder, entry.Manifest)));
        _data = Root.TryGetProperty("data", out JsonElement data) && data.ValueKind == JsonValueKind.String ? TensorFile.Open(File(data.GetString()!)) : null;
        Tolerance = new GoldenTolerance(Root.GetProperty("tolerance"));
        Calls = [.. Root.GetProperty("calls").EnumerateArray().Select(call => new GoldenCall(this, call))];
    }

    public GoldenEntry Entry { get; }

    public JsonElement Root => _json.RootElement;

    public JsonElement Config => Root.GetProperty("config");

    public JsonElement Values => Root.GetProperty("values");

    public GoldenTolerance Tolerance { get; }

    public IReadOnlyList<GoldenCall> Calls { get; }

    /// <summary>The state dict with exactly the official names.</summary>
    public string WeightsFile => File(Root.GetProperty("weights").GetString()!);

    /// <summary>A file or folder of the golden folder.</summary>
    public string File(string name) => Path.Combine(Entry.Folder, name);

    /// <summary>Comparisons of results that are no tensors.</summary>
    public IReadOnlyList<GoldenComparison> Comparisons => _comparisons;

    /// <summary>Compares a result that is no tensor, up to rounding.</summary>
    public void CheckValue(string name, double actual, double expected, double relative = 1e-12)
    {
        double error = Math.Abs(actual - expected), limit = relative * Math.Abs(expected);
        _comparisons.Add(new GoldenComparison(name, error, limit, error <= limit ? null : $"{actual:r}, expected {expected:r}"));
    }

    /// <summary>Compares texts.</summary>
    public void CheckText(string name, string actual, string expected) =>
        _comparisons.Add(new GoldenComparison(name, actual == expected ? 0 : double.PositiveInfinity, 0, actual == expected ? null : $"\"{actual}\", expected \"{expected}\""));

    /// <summary>A tensor of the case; stays owned by the case.</summary>
    public Tensor Tensor(string name)
    {
        if (!_tensors.TryGetValue(name, out Tensor? tensor))
        {
            tensor = (_data ?? throw new InvalidOperationException($"{Entry.Name} has no data file")).Read(name).DetachFromDisposeScope();
            _tensors.Add(name, tensor);
        }

        return tensor;
    }

    public void Dispose()
    {
        foreach (Tensor tensor in _tensors.Values) tensor.Dispose();
        _data?.Dispose();
        _json.Dispose();
    }
}

/// <summary>One operation of a case, and the comparison of everything it must give.</summary>
internal sealed class GoldenCall
{
    private readonly GoldenCase _case;
    private readonly JsonElement _json;
    private readonly HashSet<string> _checked = [];
    private readonly List<GoldenComparison> _comparisons = [];

    public GoldenCall(GoldenCase owner, JsonElement json)
    {
        _case = owner;
        _json = json;
    }

    public GoldenCase Case => _case;

    public string Id => _json.GetProperty("id").GetString()!;

    public string Op => _json.GetProperty("op").GetString()!;

    public IReadOnlyList<GoldenComparison> Comparisons => _comparisons;

    /// <summary>All arguments; undefined if the call has none.</summary>
    public JsonElement Args => _json.TryGetProperty("args", out JsonElement args) ? args : default;

    /// <summary>Argument by name; undefined if not given.</summary>
    public JsonElement Arg(string name) => Args.ValueKind == JsonValueKind.Object && Args.TryGetProperty(name, out JsonElement value) ? value : default;

    public int Int(string name) => Arg(name).GetInt32();

    public bool Flag(string name, bool otherwise = false) => Arg(name).ValueKind switch { JsonValueKind.True => true, JsonValueKind.False => false, _ => otherwise };

    /// <summary>An input tensor; null if the call does not give it.</summary>
    public Tensor? Input(string name) => Inputs(name) is [var only] ? only : null;

    /// <summary>A list of inputs, or the single input as a list; entries that are not given are null.</summary>
    public IReadOnlyList<Tensor?> Inputs(string name)
    {
        if (!_json.TryGetProperty("inputs", out JsonElement inputs) || !inputs.TryGetProperty(name, out JsonElement value)) return [];
        return value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray().Select(Read)] : [Read(value)];
        Tensor? Read(JsonElement element) => element.ValueKind == JsonValueKind.String ? _case.Tensor(element.GetString()!) : null;
    }

    /// <summary>Names of the expected outputs as handlers know them; an output that is a list has names <c>y.0</c>, <c>y.1</c> …</summary>
    public IEnumerable<(string Key, string TensorName)> Outputs => Section("outputs");

    public IEnumerable<(string Key, string TensorName)> Intermediates => Section("intermediates");

    /// <summary>Compares a result with the golden tensor of that name.</summary>
    public void Check(string key, Tensor actual)
    {
        string? name = Outputs.Concat(Intermediates).Where(o => o.Key == key).Select(o => o.TensorName).FirstOrDefault();
        if (name is null) throw new InvalidOperationException($"{_case.Entry.Name}/{Id} expects no output \"{key}\"");
        _checked.Add(key);
        using Tensor expected = _case.Tensor(name).alias();
        _comparisons.Add(_case.Tolerance.Compare(name, actual, expected));
    }

    /// <summary>The tensor names of all inputs, as the case writes them.</summary>
    public IEnumerable<string> InputNames => _json.GetProperty("inputs").EnumerateObject()
        .SelectMany(input => input.Value.ValueKind == JsonValueKind.Array ? input.Value.EnumerateArray().ToArray() : [input.Value])
        .Where(name => name.ValueKind == JsonValueKind.String).Select(name => name.GetString()!);

    /// <summary>The tensor name of an input as the case writes it.</summary>
    public string InputName(string name) => _json.GetProperty("inputs").GetProperty(name).GetString()!;

    /// <summary>Compares the results of several ranks; the pattern ends in <c>rank*</c>.</summary>
    public void CheckPattern(string key, string pattern, IReadOnlyList<Tensor> ranks)
    {
        _checked.Add(key);
        for (int rank = 0; rank < ranks.Count; rank++)
        {
            string name = pattern.Replace("rank*", $"rank{rank}", StringComparison.Ordinal);
            using Tensor expected = _case.Tensor(name).alias();
            _comparisons.Add(_case.Tolerance.Compare(name, ranks[rank], expected));
        }
    }

    /// <summary>Compares an intermediate result, if the case has it.</summary>
    public void CheckIfGiven(string key, Tensor actual)
    {
        if (Intermediates.Any(o => o.Key == key)) Check(key, actual);
    }

    /// <summary>Outputs that nothing was compared with; a handler that forgets one has not proved the case.</summary>
    public IEnumerable<string> Unchecked => Outputs.Where(o => !_checked.Contains(o.Key)).Select(o => o.Key);

    private IEnumerable<(string Key, string TensorName)> Section(string section)
    {
        if (!_json.TryGetProperty(section, out JsonElement outputs)) yield break;
        foreach (JsonProperty output in outputs.EnumerateObject())
        {
            if (output.Value.ValueKind == JsonValueKind.String) yield return (output.Name, output.Value.GetString()!);
            if (output.Value.ValueKind != JsonValueKind.Array) continue;
            int i = 0;
            foreach (JsonElement item in output.Value.EnumerateArray()) yield return ($"{output.Name}.{i++}", item.GetString()!);
        }
    }
}
