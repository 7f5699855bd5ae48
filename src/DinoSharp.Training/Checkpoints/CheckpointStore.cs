using System.Globalization;

namespace DinoSharp.Training.Checkpoints;

/// <summary>Which checkpoints of a run stay on the disk.</summary>
public sealed record CheckpointConfig
{
    /// <summary>A checkpoint is written after so many steps, and at the end of every phase.</summary>
    public long EverySteps { get; init; } = 1000;

    /// <summary>The newest so many stay; at least 1.</summary>
    public int KeepLast { get; init; } = 3;

    /// <summary>Checkpoints whose step is a multiple of this stay for good; null: none.</summary>
    public long? KeepEverySteps { get; init; }

    /// <summary>Throws if a value cannot work.</summary>
    /// <exception cref="DinoSharpException">The message names the value.</exception>
    public void Validate()
    {
        if (EverySteps < 1) throw new DinoSharpException($"checkpoints: EverySteps must be at least 1, found {EverySteps}");
        if (KeepLast < 1) throw new DinoSharpException($"checkpoints: KeepLast must be at least 1, found {KeepLast}");
        if (KeepEverySteps is < 1) throw new DinoSharpException($"checkpoints: KeepEverySteps must be at least 1 or absent, found {KeepEverySteps}");
    }
}

/// <summary>The checkpoints of one run: folders named by their step, written under another name and renamed when they are complete.</summary>
/// <param name="folder">The folder that holds them.</param>
/// <param name="config">Which of them stay.</param>
/// <param name="needed">Steps of those that stay in any case.</param>
/// <param name="warn">Told what could not be removed.</param>
internal sealed class CheckpointStore(string folder, CheckpointConfig config, IReadOnlyList<long>? needed = null, Action<string>? warn = null)
{
    private const string Prefix = "step-", Unfinished = ".unfinished";

    /// <summary>The last file of a checkpoint; a folder without it is none.</summary>
    public const string StateFile = "state.json";

    /// <summary>Steps of the complete checkpoints, ascending.</summary>
    public IReadOnlyList<long> Steps => !Directory.Exists(folder) ? [] :
    [
        .. Directory.EnumerateDirectories(folder, Prefix + "*")
            .Where(path => File.Exists(Path.Combine(path, StateFile)))
            .Select(path => StepOf(path, folder))
            .OfType<long>()
            .Order(),
    ];

    /// <summary>Where the checkpoint of a step is or will be.</summary>
    public string PathOf(long step) => Path.Combine(folder, $"{Prefix}{step:D8}");

    /// <summary>The step of the checkpoint that a file belongs to, whether it is there or not; null: of none in the folder.</summary>
    /// <param name="file">A full path.</param>
    /// <param name="folder">The folder that holds the checkpoints.</param>
    public static long? StepOf(string file, string folder)
    {
        string relative = Path.GetRelativePath(Path.GetFullPath(folder), file);
        string name = relative.Split(Path.DirectorySeparatorChar)[0];
        return name.StartsWith(Prefix, StringComparison.Ordinal) && long.TryParse(name[Prefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out long step) ? step : null;
    }

    /// <summary>Writes a checkpoint and removes those that need not stay. A failure leaves the older ones as they are.</summary>
    /// <param name="step">Number of complete steps.</param>
    /// <param name="write">Writes all files into the folder that it is given, <see cref="StateFile"/> last.</param>
    /// <exception cref="DinoSharpException">The disk is full or may not be written.</exception>
    public void Write(long step, Action<string> write)
    {
        WriteFolder(PathOf(step), write);
        RemoveOld();
    }

    /// <summary>Writes a folder under another name and renames it when it is complete; an earlier one is replaced.</summary>
    /// <param name="final">The folder.</param>
    /// <param name="write">Writes all files into the folder that it is given.</param>
    /// <exception cref="DinoSharpException">The disk is full or may not be written.</exception>
    public static void WriteFolder(string final, Action<string> write)
    {
        string temporary = final + Unfinished;
        try
        {
            if (Directory.Exists(temporary)) Directory.Delete(temporary, recursive: true);
            Directory.CreateDirectory(temporary);
            write(temporary);
            if (Directory.Exists(final)) Directory.Delete(final, recursive: true);
            Directory.Move(temporary, final);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or DinoSharpException)
        {
            TryRemove(temporary);
            throw new DinoSharpException($"the folder {final} cannot be written: {error.Message}", error);
        }
    }

    /// <summary>Removes what an interrupted write or removal left behind.</summary>
    public void RemoveUnfinished()
    {
        if (!Directory.Exists(folder)) return;
        foreach (string path in Directory.GetDirectories(folder, Prefix + "*"))
        {
            if (path.EndsWith(Unfinished, StringComparison.Ordinal) || (StepOf(path, folder) is not null && !File.Exists(Path.Combine(path, StateFile)))) Directory.Delete(path, recursive: true);
        }
    }

    // The newest is written: what cannot be removed is no reason to stop.
    private void RemoveOld()
    {
        foreach (long step in Steps.SkipLast(config.KeepLast))
        {
            if ((config.KeepEverySteps is long every && step % every == 0) || needed?.Contains(step) == true) continue;
            try
            {
                // Without its last file it is no checkpoint any more, even if the removal is interrupted.
                File.Delete(Path.Combine(PathOf(step), StateFile));
                Directory.Delete(PathOf(step), recursive: true);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                warn?.Invoke($"the old checkpoint {PathOf(step)} cannot be removed: {error.Message}");
            }
        }
    }

    private static void TryRemove(string path)
    {
        try
        {
            if (Directory.Exists(path)) Directory.Delete(path, recursive: true);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The first error is the one to report.
        }
    }
}
