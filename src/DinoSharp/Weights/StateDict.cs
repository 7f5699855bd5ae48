using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>Loads and saves any module by the names of its state dict: heads, optimiser-free checkpoints, networks of your own.</summary>
public static class StateDict
{
    /// <summary>Fills every parameter and buffer of a module from the tensors of equal names.</summary>
    /// <param name="module">The module.</param>
    /// <param name="file">The open file.</param>
    /// <param name="prefix">What stands before each name in the file, such as <c>model.</c>; entries without it are ignored.</param>
    /// <param name="cancel">Stops the loading; the module is then partly filled.</param>
    /// <returns>What became of every tensor.</returns>
    /// <exception cref="WeightLoadException">Something is missing, unexpected or of another shape; the module is untouched then.</exception>
    public static LoadReport Load(nn.Module module, TensorFile file, string prefix = "", CancellationToken cancel = default)
    {
        Dictionary<string, Tensor> state = module.state_dict();
        var offered = new OrderedDictionary<string, FileSource>(StringComparer.Ordinal);
        foreach (TensorEntry entry in file.Entries.Values)
        {
            if (entry.Name.StartsWith(prefix, StringComparison.Ordinal))
                offered.Add(entry.Name[prefix.Length..], new FileSource(file, [entry], entry.Type, entry.Shape));
        }

        return new LoadPlan(file.Path, state.Select(pair => (pair.Key, pair.Value.shape)), offered).CopyInto(state, cancel);
    }

    /// <summary>Writes every parameter and buffer of a module to a safetensors file.</summary>
    /// <param name="module">The module.</param>
    /// <param name="path">The file; replaced if it exists.</param>
    /// <param name="metadata">Texts for <c>__metadata__</c>.</param>
    /// <exception cref="TensorFileException">The file cannot be written.</exception>
    public static void Save(nn.Module module, string path, IEnumerable<KeyValuePair<string, string>>? metadata = null) =>
        SafetensorsWriter.Write(path, module.state_dict(), metadata);
}
