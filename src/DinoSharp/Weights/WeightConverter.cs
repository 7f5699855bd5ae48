using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>What <see cref="WeightConverter"/> shall write.</summary>
public sealed record WeightConversion
{
    /// <summary>The layout to write.</summary>
    public required WeightLayout To { get; init; }

    /// <summary>Element type of all floating-point tensors; null: as they are in the source.</summary>
    public ElementType? Type { get; init; }

    /// <summary>Largest size of one file of tensors in bytes; null: one file. Makes the output a folder.</summary>
    public long? ShardBytes { get; init; }

    /// <summary>Whether files that are already there may be replaced.</summary>
    public bool Overwrite { get; init; }
}

/// <summary>What a conversion did.</summary>
/// <param name="Files">The files written; the first opens the model.</param>
/// <param name="Tensors">Number of tensors written.</param>
/// <param name="Bytes">Their size.</param>
/// <param name="Computed">Tensors of the network that the source did not store and that were computed.</param>
/// <param name="Lost">What the result no longer holds, and why.</param>
public sealed record ConversionReport(
    IReadOnlyList<string> Files,
    int Tensors,
    long Bytes,
    IReadOnlyList<ExplainedName> Computed,
    IReadOnlyList<ExplainedName> Lost);

/// <summary>
/// Rewrites backbone weights as safetensors in another layout, element type or division into files. One tensor is in memory at a time. The
/// source must be complete; what the target cannot hold is named, and what it would compute differently is refused. Architecture,
/// normalisation, origin and licence notice travel inside the file.
/// </summary>
public static class WeightConverter
{
    /// <summary>Converts.</summary>
    /// <param name="input">Anything that <see cref="TensorFile.Open"/> takes.</param>
    /// <param name="output">
    /// A <c>.safetensors</c> file, or a folder for <c>model.safetensors</c> or its shards. The Hugging Face layout is always a folder with its
    /// config.json and preprocessor_config.json.
    /// </param>
    /// <param name="conversion">What to write.</param>
    /// <param name="progress">Told the number of tensors written so far.</param>
    /// <param name="cancel">Stops between two tensors; nothing is left of an unfinished file.</param>
    /// <exception cref="TensorFileException">
    /// The source is damaged, incomplete or cannot be expressed in the target; or the output is there already or cannot be written.
    /// </exception>
    public static ConversionReport Convert(
        string input,
        string output,
        WeightConversion conversion,
        IProgress<long>? progress = null,
        CancellationToken cancel = default)
    {
        if (conversion.Type is { } type && !type.IsFloat())
            throw new ArgumentException($"weights can be stored as Float32, Float16, BFloat16 or Float64, not {type}", nameof(conversion));
        using BackboneWeights weights = BackboneWeights.Open(input);
        using Backbone shapes = Backbone.Create(weights.Config, META);
        LoadPlan plan = weights.Plan(shapes);
        plan.Require();
        var translation = new LayoutTranslation(weights.File.Path, weights.Config, plan.Sources, conversion.To, conversion.Type);
        bool file = Path.GetExtension(output).Equals(".safetensors", StringComparison.OrdinalIgnoreCase);
        if (file && conversion.To == WeightLayout.HuggingFace)
            throw new TensorFileException(output, "the Hugging Face layout is a folder with config.json; name a folder instead of a .safetensors file");
        if (file && conversion.ShardBytes is not null)
            throw new TensorFileException(output, "shards need a folder; name a folder instead of a .safetensors file");
        if (!file && Path.GetExtension(output) is ".pth" or ".pt" or ".bin" or ".onnx")
            throw new TensorFileException(output, "conversions write safetensors; name a .safetensors file or a folder");
        var folder = new ModelFolder(output, file);
        folder.RequireFree(conversion.Overwrite);

        int written = 0;
        Tensor Read(TensorEntry entry)
        {
            cancel.ThrowIfCancellationRequested();
            progress?.Report(++written);
            return translation.Read(entry);
        }

        IReadOnlyList<TensorEntry> entries = translation.Entries;
        List<KeyValuePair<string, string>> metadata = Metadata(weights, translation);
        IReadOnlyList<string> files = folder.WriteTensors(entries, Read, conversion.ShardBytes, metadata);
        if (!file) files = [.. files, .. folder.WriteDescription(weights, conversion.To, translation.KeyBias, entries)];
        folder.RemoveOthers(files);
        return new ConversionReport(files, entries.Count, entries.Sum(entry => entry.ByteCount), plan.Report.Computed, translation.Lost);
    }

    private static List<KeyValuePair<string, string>> Metadata(BackboneWeights weights, LayoutTranslation translation)
    {
        // Hugging Face's loader insists on "format". A .pth file's texts are options of its training run, not metadata.
        var metadata = new OrderedDictionary<string, string>(StringComparer.Ordinal) { ["format"] = "pt" };
        if (weights.File.Format is TensorFileFormat.Safetensors or TensorFileFormat.ShardedSafetensors)
        {
            foreach ((string key, string value) in weights.File.Metadata) metadata.TryAdd(key, value);
        }

        metadata.TryAdd(WeightMetadata.SourceKey, $"{Path.GetFileName(weights.File.Path)} ({weights.Layout} layout)");
        metadata.TryAdd(WeightMetadata.LicenseKey, WeightMetadata.LicenseNotice);
        metadata[WeightMetadata.ConfigKey] = ModelConfigFile.Write(weights.Config, translation.KeyBias, dtype: null);
        if (!weights.Normalization.IsGuess) metadata[WeightMetadata.NormalizationKey] = WeightMetadata.Text(weights.Normalization.Values);
        metadata.Remove(WeightMetadata.PeriodsKey);
        metadata.Remove(WeightMetadata.BiasMaskKey);
        foreach ((string key, string value) in translation.Metadata) metadata[key] = value;
        return [.. metadata];
    }
}
