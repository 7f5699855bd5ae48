using DinoSharp.Weights;

namespace DinoSharp.Diagnostics;

/// <summary>Folders in which weights are looked for, and whether there is a token to fetch gated ones with.</summary>
/// <param name="Folders">In the order in which they are searched.</param>
/// <param name="AccessToken">Where a Hugging Face token was found, never the token; null if nowhere.</param>
internal sealed record Caches(IReadOnlyList<CacheFolder> Folders, string? AccessToken)
{
    /// <summary>Looks at the folders and variables of this user.</summary>
    public static Caches Inspect()
    {
        WeightFolders folders = WeightFolders.Find();
        return new([Measure("DinoSharp", folders.Own), Measure("Hugging Face", folders.Hub), Measure("torch.hub", folders.TorchHub)], FindToken());
    }

    private static CacheFolder Measure(string owner, string path)
    {
        if (!Directory.Exists(path)) return new(owner, path, null);
        // The hub keeps files once and links to them, so links do not count; folders of other users are passed over.
        var everything = new EnumerationOptions { RecurseSubdirectories = true, IgnoreInaccessible = true, AttributesToSkip = FileAttributes.ReparsePoint };
        return new(owner, path, new DirectoryInfo(path).EnumerateFiles("*", everything).Sum(file => file.Length));
    }

    private static string? FindToken()
    {
        foreach (string variable in (string[])["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 }) return variable;
        }

        // The token stands beside the usual hub folder, wherever the hub folder itself was moved to.
        string hub = WeightFolders.Find(variable: name => name == "HF_HUB_CACHE" ? null : Environment.GetEnvironmentVariable(name)).Hub;
        string file = Environment.GetEnvironmentVariable("HF_TOKEN_PATH") is { Length: > 0 } path ? path : Path.Combine(Path.GetDirectoryName(hub)!, "token");
        return File.Exists(file) ? file : null;
    }
}

/// <summary>A folder that may hold weights.</summary>
/// <param name="Owner">Who puts files there.</param>
/// <param name="Path">Where it is.</param>
/// <param name="Bytes">How much it holds; null if it does not exist.</param>
internal sealed record CacheFolder(string Owner, string Path, long? Bytes);
