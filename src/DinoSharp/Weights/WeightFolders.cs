using DinoSharp.Backbones;

namespace DinoSharp.Weights;

/// <summary>The places where this machine keeps published weights, and how to find a preset in them. Nothing is downloaded.</summary>
/// <param name="Own">DinoSharp's folder: weights under the name of the official file, of the preset, of the hub's repository or of timm's model.</param>
/// <param name="Hub">The cache of the Hugging Face hub.</param>
/// <param name="TorchHub">The folder of checkpoints that torch.hub has downloaded.</param>
internal sealed record WeightFolders(string Own, string Hub, string TorchHub)
{
    // Copied beside every program by buildTransitive/DinoSharp.targets.
    private static string Shipped => Path.Combine(AppContext.BaseDirectory, "models", Presets.DefaultModel + ".safetensors");

    /// <summary>The places that the environment names, by the rules of each tool: DINOSHARP_CACHE; HF_HUB_CACHE, HF_HOME; TORCH_HOME; XDG_CACHE_HOME.</summary>
    /// <param name="own">A folder in place of DinoSharp's own; null: the usual one.</param>
    /// <param name="variable">Reads an environment variable; null: of this process.</param>
    public static WeightFolders Find(string? own = null, Func<string, string?>? variable = null)
    {
        string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        string cache = Variable("XDG_CACHE_HOME") ?? Path.Combine(home, ".cache");
        string ownCache = OperatingSystem.IsWindows() ? Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData) : cache;
        return new WeightFolders(
            own ?? Variable("DINOSHARP_CACHE") ?? Path.Combine(ownCache, "dinosharp"),
            Variable("HF_HUB_CACHE") ?? Path.Combine(Variable("HF_HOME") ?? Path.Combine(cache, "huggingface"), "hub"),
            Path.Combine(Variable("TORCH_HOME") ?? Path.Combine(cache, "torch"), "hub", "checkpoints"));

        string? Variable(string name) => (variable ?? Environment.GetEnvironmentVariable)(name) is { Length: > 0 } value ? value : null;
    }

    /// <summary>The file or folder that holds the weights of a preset; null if there is none.</summary>
    public string? Locate(Preset preset)
    {
        if (preset.Name == Presets.DefaultModel) return File.Exists(Shipped) ? Shipped : null;
        if (preset.OfficialFile is null) return null;
        string?[] names = [preset.Name, HubName(preset)?["facebook/".Length..], TimmName(preset), TimmName(preset, biased: true)];
        IEnumerable<string> own = names.OfType<string>().Select(name => Path.Combine(Own, name)).SelectMany(path => new[] { path, path + ".safetensors", path + ".pth" });
        return OfficialFiles(preset, Own).Concat(own).Concat(Snapshots(preset)).Concat(OfficialFiles(preset, TorchHub)).FirstOrDefault(path => File.Exists(path) || HasWeights(path));
    }

    /// <summary>What to do when there are no weights: the legal ways, where to put the file, and what works without.</summary>
    public string HowToGet(Preset preset)
    {
        string name = ShortName(preset);
        if (preset.Name == Presets.DefaultModel) return $"{Shipped} is missing: the weights of {preset.Name} belong beside the program; build or install it again, name other weights, or random:{name} for untrained ones";
        if (preset.OfficialFile is null) return $"nobody has published weights of {preset.Name}; give a file of your own, or random:{name} for untrained ones";
        var ways = new List<string>
        {
            $"Meta: fill in the form at https://ai.meta.com/resources/models-and-libraries/dinov3-downloads/ and download from the link that comes by e-mail;{Environment.NewLine}"
            + $"     put {preset.OfficialFile}-{preset.OfficialHash}.pth into {Own}",
        };
        if (HubName(preset) is { } hub)
        {
            ways.Add($"Hugging Face: accept the licence at https://huggingface.co/{hub} and create an access token; then{Environment.NewLine}"
                + $"     HF_TOKEN=... hf download {hub}    (it is found where this command puts it),{Environment.NewLine}"
                + $"     or put config.json, preprocessor_config.json and model.safetensors from there into {Path.Combine(Own, hub["facebook/".Length..])}");
        }

        if (TimmName(preset) is { } timm)
        {
            ways.Add($"timm's conversion, under the same licence: hf download timm/{timm},{Environment.NewLine}"
                + $"     or put model.safetensors from https://huggingface.co/timm/{timm} into {Path.Combine(Own, timm)}");
        }

        return $"""
            the weights of {preset.Name} are not on this machine, and dino downloads nothing by itself. Meta gives them away under the DINOv3 License:
              {string.Join(Environment.NewLine + "  ", ways.Select((way, i) => $"{i + 1}. {way}"))}
            Looked in {Own}, {Hub} and {TorchHub}. A file or folder anywhere else can be named by its path (--model PATH).
            Without weights, --model random:{name} runs the same path with untrained ones.
            """;
    }

    /// <summary>The repository of a preset on the Hugging Face hub; null if it is not there.</summary>
    private static string? HubName(Preset preset) =>
        preset.Name == "dinov3-vitl16plus" ? null : "facebook/" + preset.OfficialFile!.Replace('_', '-');

    /// <summary>The model name of a preset in timm; null if timm has none.</summary>
    /// <param name="preset">Which weights.</param>
    /// <param name="biased">The variant that keeps the biases of query and value, where there is one.</param>
    private static string? TimmName(Preset preset, bool biased = false)
    {
        string data = preset.Data == PretrainingData.Sat493M ? "sat493m" : "lvd1689m", bias = biased ? "_qkvb" : "";
        string? size = ShortName(preset).Replace("-sat493m", "", StringComparison.Ordinal) switch
        {
            "vits16" => "small",
            "vits16plus" => "small_plus",
            "vitb16" => "base",
            "vitl16" => "large",
            "vith16plus" => "huge_plus",
            "vit7b16" => "7b",
            _ => null,
        };
        if (size is not null) return $"vit_{size}_patch16_dinov3{bias}.{data}";
        return preset.Config is ConvNeXtConfig ? $"{ShortName(preset).Replace('-', '_')}.dinov3_{data}" : null;
    }

    private static string ShortName(Preset preset) => preset.Name.Replace("dinov3-", "", StringComparison.Ordinal);

    private static IEnumerable<string> OfficialFiles(Preset preset, string folder) =>
        [Path.Combine(folder, $"{preset.OfficialFile}-{preset.OfficialHash}.pth"), Path.Combine(folder, preset.OfficialFile + ".pth")];

    // models--OWNER--NAME/snapshots/COMMIT/…; refs/main names the commit that was asked for last.
    private IEnumerable<string> Snapshots(Preset preset)
    {
        string?[] repositories = [HubName(preset), .. TimmName(preset) is { } timm ? (string[])["timm/" + timm, "timm/" + TimmName(preset, biased: true)] : []];
        foreach (string repository in repositories.OfType<string>())
        {
            string folder = Path.Combine(Hub, "models--" + repository.Replace("/", "--", StringComparison.Ordinal));
            string snapshots = Path.Combine(folder, "snapshots"), main = Path.Combine(folder, "refs", "main");
            if (!Directory.Exists(snapshots)) continue;
            if (File.Exists(main)) yield return Path.Combine(snapshots, File.ReadAllText(main).Trim());
            foreach (string snapshot in Directory.EnumerateDirectories(snapshots).OrderByDescending(Directory.GetLastWriteTimeUtc)) yield return snapshot;
        }
    }

    private static bool HasWeights(string folder) =>
        Directory.Exists(folder) && Directory.EnumerateFiles(folder).Any(file => Path.GetExtension(file) is ".safetensors" or ".pth" || file.EndsWith(".safetensors.index.json", StringComparison.Ordinal));
}
