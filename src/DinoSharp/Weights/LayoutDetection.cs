namespace DinoSharp.Weights;

/// <summary>Where in a file a backbone's weights are, and under which layout's names.</summary>
/// <param name="Layout">Whose names.</param>
/// <param name="Family">Kind of backbone.</param>
/// <param name="Prefix">What stands before each name, such as <c>teacher.backbone.</c>; often empty.</param>
/// <param name="Entries">Names without prefix and wrappers → entry of the file, in file order.</param>
/// <param name="Outside">Entries of the file that lie outside the prefix.</param>
internal sealed record DetectedBackbone(
    WeightLayout Layout,
    BackboneFamily Family,
    string Prefix,
    OrderedDictionary<string, TensorEntry> Entries,
    IReadOnlyList<TensorEntry> Outside);

/// <summary>Recognises a backbone in a file by names that only one layout has, wherever the file keeps it.</summary>
internal static class LayoutDetection
{
    // The checkpoint of a 7B training run with optimiser state has some 5 thousand.
    private const int MostTensors = 50_000;

    // Names that training wrappers (data parallel, compile, activation checkpointing, sharding) put into paths.
    private static readonly string[] Wrappers = ["module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"];

    // The first name locates the backbone; all others, one of each group, must be beside it.
    private static readonly (WeightLayout Layout, BackboneFamily Family, string Anchor, string[][] Also)[] Signatures =
    [
        (WeightLayout.HuggingFace, BackboneFamily.VisionTransformer, "embeddings.patch_embeddings.weight", [["embeddings.cls_token"]]),
        (WeightLayout.HuggingFace, BackboneFamily.ConvNeXt, "stages.0.downsample_layers.0.weight", []),
        (WeightLayout.Official, BackboneFamily.ConvNeXt, "downsample_layers.0.0.weight", []),
        (WeightLayout.Timm, BackboneFamily.ConvNeXt, "stem.0.weight", [["stages.0.blocks.0.conv_dw.weight"]]),
        (WeightLayout.Timm, BackboneFamily.VisionTransformer, "patch_embed.proj.weight", [["reg_token", "blocks.0.gamma_1"]]),
        (WeightLayout.Official, BackboneFamily.VisionTransformer, "patch_embed.proj.weight",
            [["blocks.0.attn.qkv.weight"], ["blocks.0.ls1.gamma", "storage_tokens", "rope_embed.periods"]]),
    ];

    /// <summary>Finds the backbone of a file; null if there is none.</summary>
    /// <exception cref="TensorFileException">There are several and none is preferred, or it is a backbone of another kind.</exception>
    public static DetectedBackbone? Find(TensorFile file)
    {
        if (file.Entries.Count > MostTensors) return null;
        var names = new OrderedDictionary<string, TensorEntry>(StringComparer.Ordinal);
        foreach (TensorEntry entry in file.Entries.Values)
        {
            string clean = string.Join('.', entry.Name.Split('.').Where(part => !Wrappers.Contains(part)));
            if (!names.TryAdd(clean, entry))
                throw new TensorFileException(file.Path, $"'{entry.Name}' and '{names[clean].Name}' are the same tensor without their wrapper names");
        }

        var found = new List<(WeightLayout Layout, BackboneFamily Family, string Prefix)>();
        foreach ((WeightLayout layout, BackboneFamily family, string anchor, string[][] also) in Signatures)
        {
            foreach (string name in names.Keys.Where(name => name == anchor || name.EndsWith($".{anchor}", StringComparison.Ordinal)))
            {
                string prefix = name[..^anchor.Length];
                if (also.All(group => group.Any(other => names.ContainsKey(prefix + other)))) found.Add((layout, family, prefix));
            }
        }

        if (found.Count == 0) return null;
        var best = found.GroupBy(candidate => Preference(candidate.Prefix)).MinBy(group => group.Key)!.ToArray();
        if (best.Length > 1)
            throw new TensorFileException(
                file.Path,
                "holds several backbones and none is preferred: " + string.Join(", ", best.Select(candidate => $"'{candidate.Prefix}'")));
        (WeightLayout chosenLayout, BackboneFamily chosenFamily, string chosenPrefix) = best[0];
        if (names.ContainsKey($"{chosenPrefix}pos_embed") || names.ContainsKey($"{chosenPrefix}embeddings.position_embeddings"))
        {
            throw new TensorFileException(
                file.Path,
                "a vision transformer with learned positions (DINOv2 or older); DINOv3 has rotary ones, so these weights do not fit");
        }

        var entries = new OrderedDictionary<string, TensorEntry>(StringComparer.Ordinal);
        foreach ((string name, TensorEntry entry) in names)
        {
            if (name.StartsWith(chosenPrefix, StringComparison.Ordinal)) entries.Add(name[chosenPrefix.Length..], entry);
        }

        return new DetectedBackbone(
            chosenLayout,
            chosenFamily,
            chosenPrefix,
            entries,
            [.. names.Where(pair => !pair.Key.StartsWith(chosenPrefix, StringComparison.Ordinal)).Select(pair => pair.Value)]);
    }

    // A training checkpoint may hold several copies: the averaged teacher is the model that is meant to be used.
    private static (int Section, int Role) Preference(string prefix)
    {
        string[] parts = prefix.Split('.');
        int section = parts[0] switch { "teacher" => 0, "model" => 1, "state_dict" => 2, _ => 3 };
        bool average = parts.Any(part => part.EndsWith("ema", StringComparison.Ordinal));
        int role = parts.Contains("teacher") ? 0 : average ? 1 : parts.Contains("student") ? 3 : 2;
        return (section, role);
    }
}
