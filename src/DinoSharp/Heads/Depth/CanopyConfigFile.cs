using DinoSharp.Weights;

namespace DinoSharp.Heads.Depth;

/// <summary>What the <c>config.json</c> of a Hugging Face canopy height model (model type <c>chmv2</c>) says beyond the shape of its tensors.</summary>
/// <param name="Layers">Indices of the layers that are read, from 0; null: the file does not say.</param>
/// <param name="Bins">How scores become metres.</param>
internal sealed record CanopyConfigFile(IReadOnlyList<int>? Layers, DepthBins Bins)
{
    private const int MostLayers = 1000;
    private const double MostMeters = 1e6;

    /// <summary>Reads the file beside the weights; null if there is none, or it belongs to something else.</summary>
    /// <exception cref="TensorFileException">It is damaged.</exception>
    public static CanopyConfigFile? ReadBeside(string weightsPath)
    {
        ModelConfigFile? file = ModelConfigFile.ReadBeside(Directory.Exists(weightsPath) ? Path.Combine(weightsPath, "config.json") : weightsPath, "config.json");
        if (file?.Text("model_type") != "chmv2") return null;
        ModelConfigFile? backbone = file.Section("backbone_config");
        int[]? stages = backbone?.WholeNumbers("out_indices", 1, MostLayers); // from 1: stage k is the output of block k - 1
        double near = file.Number("min_depth", 1e-9, MostMeters) ?? DepthBins.Canopy.MinMeters, far = file.Number("max_depth", 1e-9, MostMeters) ?? DepthBins.Canopy.MaxMeters;
        if (far <= near) throw new TensorFileException(file.Source, $"'max_depth' is {far} and 'min_depth' {near}; it must be larger");
        BinSpacing spacing = file.Text("bins_strategy") switch
        {
            null or "chmv2_mixlog" => BinSpacing.MixLog,
            "linear" => BinSpacing.Linear,
            "log" => BinSpacing.Log,
            { } other => throw Unknown("bins_strategy", other, "linear, log, chmv2_mixlog"),
        };
        BinWeighting weighting = file.Text("norm_strategy") switch
        {
            null or "chmv2_mixlog" => BinWeighting.MixLog,
            "linear" => BinWeighting.Linear,
            "softmax" => BinWeighting.Softmax,
            "sigmoid" => BinWeighting.Sigmoid,
            { } other => throw Unknown("norm_strategy", other, "linear, softmax, sigmoid, chmv2_mixlog"),
        };
        return new CanopyConfigFile(stages is null ? null : [.. stages.Select(s => s - 1)], new DepthBins(near, far, spacing, weighting));

        TensorFileException Unknown(string key, string found, string known) => new(file.Source, $"'{key}' is '{found}'; known are {known}");
    }
}
