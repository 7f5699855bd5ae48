using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>Networks that read the features of a backbone.</summary>
public enum HeadKind
{
    /// <summary>One linear layer on the class token and the mean patch.</summary>
    LinearClassifier,

    /// <summary>Vectors of labelled pictures, of which the nearest vote.</summary>
    NearestNeighbors,

    /// <summary>Batch norm and one linear layer at each patch: classes.</summary>
    LinearSegmentation,

    /// <summary>Batch norm and one linear layer at each patch: depth bins.</summary>
    LinearDepth,

    /// <summary>DPT decoder: depth bins.</summary>
    DptDepth,

    /// <summary>DPT decoder: classes. Its tensors are those of depth; what it is stands in the description of the file.</summary>
    DptSegmentation,

    /// <summary>ViT adapter and Mask2Former.</summary>
    Mask2Former,

    /// <summary>Plain DETR.</summary>
    Detr,

    /// <summary>Objects as points on a map of two cells to a patch.</summary>
    CenterDetection,

    /// <summary>Patches of normal pictures, with which others are compared.</summary>
    PatchMemory,

    /// <summary>dino.txt: text tower and the head that aligns images with it.</summary>
    DinoText,
}

/// <summary>An open file of head weights: recognised by its content, official or Hugging Face. Weights of a backbone that lie in the same file are left out.</summary>
public sealed class HeadWeights : IDisposable
{
    // A name that only this kind has, most particular kind first; linear kinds are recognised by having nothing else.
    private static readonly (HeadKind Kind, string Marker, NameMap? Names)[] Markers =
    [
        (HeadKind.Mask2Former, "segmentation_model.1.predictor.query_feat.weight", null),
        (HeadKind.Detr, "transformer.enc_output.weight", null),
        (HeadKind.DinoText, "text_model.backbone.token_embedding.weight", null),
        (HeadKind.DptDepth, "reassemble_blocks.projects.0.conv.weight", null),
        (HeadKind.DptDepth, "reassemble_stage.layers.0.projection.weight", NameMap.HuggingFaceCanopyHead),
        (HeadKind.PatchMemory, "memory_patches", null),
        (HeadKind.CenterDetection, "heat_output.weight", null),
        (HeadKind.NearestNeighbors, "neighbor_features", null),
        (HeadKind.LinearDepth, "conv_depth.weight", null),
        (HeadKind.LinearSegmentation, "conv.weight", null),
        (HeadKind.LinearClassifier, "weight", null),
    ];

    private readonly OrderedDictionary<string, FileSource> _tensors = new(StringComparer.Ordinal);

    private HeadWeights(TensorFile file, HeadKind kind, string prefix, NameMap? names)
    {
        (File, Kind) = (file, kind);
        foreach (TensorEntry entry in file.Entries.Values.Where(e => e.Name.StartsWith(prefix, StringComparison.Ordinal)))
        {
            string name = entry.Name[prefix.Length..];
            if (IsBackbone(kind, name)) continue;
            if (names is not null && names.TryToOfficial(name, out string? official, out _)) name = official;
            _tensors.Add(name, new FileSource(file, [entry], entry.Type, entry.Shape));
        }
    }

    /// <summary>The open file.</summary>
    public TensorFile File { get; }

    /// <summary>What it holds.</summary>
    public HeadKind Kind { get; }

    /// <summary>Opens a file and recognises the head in it.</summary>
    /// <param name="path">Anything that <see cref="TensorFile.Open"/> takes.</param>
    /// <param name="classifier">Which classifier of a file with several, as the official linear probe leaves one for each learning rate: its name, or a part that only it has. Null: there is only one.</param>
    /// <returns>The open weights; dispose them.</returns>
    /// <exception cref="TensorFileException">The file is damaged, holds no head that is known, or several classifiers of which none is named.</exception>
    public static HeadWeights Open(string path, string? classifier = null)
    {
        TensorFile file = TensorFile.Open(path);
        try
        {
            foreach ((HeadKind kind, string marker, NameMap? names) in Markers)
            {
                if (Prefix(file, kind, marker, classifier) is { } prefix) return new HeadWeights(file, kind, prefix, names);
            }

            throw new TensorFileException(path, $"holds no head that is known (linear, nearest neighbours, DPT, Mask2Former, DETR, dino.txt or another one of ours); it has {file.Entries.Count} tensors, such as {string.Join(", ", file.Entries.Keys.Take(5))}");
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Fills every parameter and buffer of a head.</summary>
    /// <param name="head">A module whose state dict has the official names.</param>
    /// <param name="cancel">Stops the loading; the head is then partly filled.</param>
    /// <exception cref="WeightLoadException">Something is missing, unexpected or of another shape; the head is untouched then.</exception>
    public LoadReport LoadInto(nn.Module head, CancellationToken cancel = default)
    {
        var state = head.state_dict();
        return new LoadPlan(File.Path, state.Select(pair => (pair.Key, pair.Value.shape)), _tensors).CopyInto(state, cancel);
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => File.Dispose();

    /// <summary>Whether the head has a tensor of an official name.</summary>
    internal bool Has(string name) => _tensors.ContainsKey(name);

    /// <summary>An axis of a tensor.</summary>
    /// <exception cref="TensorFileException">There is no such tensor or axis.</exception>
    internal int Axis(string name, int axis) => _tensors.TryGetValue(name, out FileSource? source) && axis < source.Shape.Length && source.Shape[axis] <= int.MaxValue
        ? (int)source.Shape[axis]
        : throw new TensorFileException(File.Path, $"holds a {Kind} head without a usable tensor '{name}'; the file is incomplete");

    /// <summary>How many numbers follow each other from 0 in the place of <c>#</c>.</summary>
    internal int Count(string pattern) => Enumerable.Range(0, int.MaxValue).TakeWhile(i => Has(pattern.Replace("#", i.ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal))).Count();

    private static string? Prefix(TensorFile file, HeadKind kind, string marker, string? classifier)
    {
        var found = new List<string>();
        foreach (TensorEntry entry in file.Entries.Values)
        {
            if (!entry.Name.EndsWith(marker, StringComparison.Ordinal)) continue;
            string prefix = entry.Name[..^marker.Length];
            if ((prefix.Length > 0 && !prefix.EndsWith('.')) || prefix.Contains("backbone.", StringComparison.Ordinal)) continue;
            string[] names = [.. file.Entries.Keys.Where(n => n.StartsWith(prefix, StringComparison.Ordinal)).Select(n => n[prefix.Length..])];
            bool alone = kind switch
            {
                HeadKind.LinearClassifier => entry.Shape.Length == 2 && IsClassifier(prefix) && names.All(n => n is "weight" or "bias"),
                HeadKind.LinearSegmentation => entry.Shape.Length == 4 && names.All(n => n is "conv.weight" or "conv.bias" || n.StartsWith("batchnorm_layer.", StringComparison.Ordinal)),
                _ => true,
            };
            if (alone) found.Add(prefix);
            if (alone && kind != HeadKind.LinearClassifier) return prefix;
        }

        return found.Count == 0 ? null : Classifier(file, found, classifier);
    }

    private static string Classifier(TensorFile file, List<string> prefixes, string? wanted)
    {
        if (wanted is null && prefixes.Count == 1) return prefixes[0];
        string[] names = [.. prefixes.Select(Name)], fitting = wanted is null ? names : names.Contains(wanted) ? [wanted] : [.. names.Where(n => n.Contains(wanted, StringComparison.Ordinal))];
        if (fitting.Length == 1) return prefixes[Array.IndexOf(names, fitting[0])];
        string problem = wanted is null ? "and none is named" : fitting.Length == 0 ? $"but none that is named '{wanted}'" : $"and '{wanted}' fits {fitting.Length} of them";
        throw new TensorFileException(file.Path, $"holds {names.Length} classifiers, {problem}; name one (--classifier, or {nameof(Heads.HeadOptions)}.{nameof(Heads.HeadOptions.Classifier)}) of: {string.Join(", ", names)}");

        static string Name(string prefix)
        {
            string name = prefix.TrimEnd('.');
            name = name.EndsWith(".linear", StringComparison.Ordinal) ? name[..^".linear".Length] : name;
            int dictionary = name.IndexOf("classifiers_dict.", StringComparison.Ordinal);
            return dictionary < 0 ? name : name[(dictionary + "classifiers_dict.".Length)..];
        }
    }

    // Every linear layer has these names; a classifier stands alone, or under a name that says so.
    private static bool IsClassifier(string prefix) => prefix.TrimEnd('.').Split('.')[^1] is "" or "model" or "module" or "state_dict" or "linear_head" or "linear" or "head" or "classifier" or "fc";

    private static bool IsBackbone(HeadKind kind, string name) => kind switch
    {
        HeadKind.Mask2Former => name.StartsWith("segmentation_model.0.backbone.", StringComparison.Ordinal),
        HeadKind.Detr => name.StartsWith("backbone.0.", StringComparison.Ordinal) && name.Contains(".backbone.", StringComparison.Ordinal),
        HeadKind.DinoText => name.StartsWith("visual_model.backbone.", StringComparison.Ordinal),
        _ => false,
    };
}
