using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>The decision, before anything is copied, where every parameter and buffer of a network gets its values from.</summary>
internal sealed class LoadPlan
{
    // More threads do not read faster. One more than there are processors: while it waits for the disk, the others convert and pack.
    private const int MostReaders = 4;

    /// <summary>Threads that read and convert at the same time.</summary>
    internal static int Threads => Math.Min(1 + Environment.ProcessorCount, MostReaders);

    private readonly string _path;
    private readonly OrderedDictionary<string, TensorSource> _sources = new(StringComparer.Ordinal);

    /// <param name="path">The file, for messages.</param>
    /// <param name="network">Names and shapes to fill, in order.</param>
    /// <param name="tensors">What the file offers, by the same names.</param>
    /// <param name="computed">Gives a source for a name that the file's layout does not store; null if there is none.</param>
    /// <param name="view">What was already decided about other entries of the file, if it had to be translated.</param>
    public LoadPlan(
        string path,
        IEnumerable<(string Name, long[] Shape)> network,
        IReadOnlyDictionary<string,
        FileSource> tensors,
        Func<string,
        long[],
        ComputedSource?>? computed = null,
        OfficialView? view = null)
    {
        _path = path;
        var matched = new List<string>();
        var filled = new List<ExplainedName>();
        var missing = new List<string>();
        List<ExplainedName> mismatched = [.. view?.Mismatched ?? []];
        HashSet<string> explained = [.. mismatched.Select(item => item.Name)], wanted = [];
        foreach ((string name, long[] shape) in network)
        {
            wanted.Add(name);
            if (tensors.TryGetValue(name, out FileSource? source))
            {
                matched.Add(name);
                _sources.Add(name, source);
                if (Problem(name, source, shape) is { } problem) mismatched.Add(new ExplainedName(name, problem));
            }
            else if (computed?.Invoke(name, shape) is { } computation)
            {
                filled.Add(new ExplainedName(name, computation.Reason));
                _sources.Add(name, computation);
            }
            else if (!explained.Contains(name))
            {
                missing.Add(name);
            }
        }

        IEnumerable<TensorEntry> left = tensors.Where(pair => !wanted.Contains(pair.Key)).SelectMany(pair => pair.Value.Parts).OfType<TensorEntry>();
        Report = new LoadReport
        {
            Matched = matched,
            Computed = filled,
            Ignored = view?.Ignored ?? [],
            Missing = missing,
            Unexpected = [.. view?.Unexpected ?? [], .. left.Select(entry => entry.Name)],
            Mismatched = mismatched,
        };
    }

    public LoadReport Report { get; }

    /// <summary>Name → source, in the order of the network.</summary>
    public IReadOnlyDictionary<string, TensorSource> Sources => _sources;

    /// <summary>Throws unless everything is explained.</summary>
    public void Require()
    {
        if (!Report.IsComplete) throw new WeightLoadException(_path, Report);
    }

    /// <summary>Fills a network, a few tensors at a time.</summary>
    /// <param name="state">Its parameters and buffers.</param>
    /// <param name="cancel">Stops the loading; the network is then partly filled.</param>
    public LoadReport CopyInto(IReadOnlyDictionary<string, Tensor> state, CancellationToken cancel)
    {
        Require();
        using var ahead = new ReadAhead(_path);
        CopyInto(state, cancel, _sources);
        return Report;
    }

    /// <summary>Fills a network but for the weights of linear layers, which stay in the file until they are asked for.</summary>
    /// <param name="network">Whose names these are.</param>
    /// <param name="file">The file of the sources, which the result owns.</param>
    /// <param name="cancel">Stops the loading.</param>
    public DeferredWeights CopyAllButWeightsInto(nn.Module network, TensorFile file, CancellationToken cancel)
    {
        Require();
        Dictionary<string, Tensor> state = network.state_dict();
        var deferred = new DeferredWeights(file, cancel);
        var now = new OrderedDictionary<string, TensorSource>(_sources, StringComparer.Ordinal);
        foreach ((string name, nn.Module module) in network.named_modules())
        {
            if (module is Linear layer && _sources[$"{name}.weight"] is FileSource { HasFloats: true } source)
            {
                deferred.Add(layer, source);
                now.Remove($"{name}.weight");
            }
        }

        try
        {
            CopyInto(state, cancel, now);
            return deferred;
        }
        catch
        {
            deferred.Dispose();
            throw;
        }
    }

    private static void CopyInto(IReadOnlyDictionary<string, Tensor> state, CancellationToken cancel, IReadOnlyDictionary<string, TensorSource> sources)
    {
        var options = new ParallelOptions { CancellationToken = cancel, MaxDegreeOfParallelism = Threads };
        try
        {
            Parallel.ForEach(Partitioner.Create(InOrderOfFile(sources), EnumerablePartitionerOptions.NoBuffering), options, name => sources[name].CopyTo(state[name]));
        }
        catch (AggregateException e)
        {
            ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }
    }

    // As far as threads keep it: a disk likes to be read from start to end. Many files are sorted by name, block 10 before block 2.
    private static IEnumerable<string> InOrderOfFile(IReadOnlyDictionary<string, TensorSource> sources)
    {
        var places = new Dictionary<TensorEntry, int>(ReferenceEqualityComparer.Instance);
        foreach (TensorEntry entry in sources.Values.OfType<FileSource>().FirstOrDefault()?.File.Entries.Values ?? []) places.TryAdd(entry, places.Count);
        return sources.Keys.OrderBy(name => sources[name] is FileSource source && source.Parts.FirstOrDefault(part => part is not null) is { } first ? places.GetValueOrDefault(first) : -1);
    }

    private static string? Problem(string name, FileSource source, long[] shape)
    {
        if (!source.Shape.AsSpan().SequenceEqual(shape)) return $"is {source.ShapeText} in the file, expected [{string.Join(", ", shape)}]";
        if (source.Type.Scalar() is null) return $"has the element type {source.Type}, which TorchSharp has no tensors of";

        // Both buffers decide the computation and are not-a-number in a model that was never initialised.
        bool mask = name.EndsWith(".qkv.bias_mask", StringComparison.Ordinal);
        if (!mask && name != "rope_embed.periods") return null;
        using var scope = NewDisposeScope();
        Tensor values = source.Read().to(ScalarType.Float32);
        if (!values.isfinite().all().item<bool>()) return "holds values that are not finite; the model was saved before it was initialised";
        return mask || (values.ge(Num(1e-9)) & values.le(Num(1e12))).all().item<bool>() ? null : "holds periods outside 1e-9 to 1e12";
    }
}
