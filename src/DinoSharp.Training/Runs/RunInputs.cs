using System.Runtime.InteropServices;
using System.Security.Cryptography;
using DinoSharp.Training.Checkpoints;
using DinoSharp.Training.Data;
using DinoSharp.Training.Recipes;

namespace DinoSharp.Training.Runs;

/// <summary>What a run reads besides its recipe. It stands in every checkpoint: with other images, or as many fewer, every later step would be another one.</summary>
/// <param name="Sources">The sources of the data, in their order.</param>
/// <param name="Weights">The files of weights that the recipe names, but not those that the run itself writes.</param>
internal sealed record RunInputs(IReadOnlyList<RunInputs.Source> Sources, IReadOnlyList<RunInputs.WeightFile> Weights)
{
    // Spread over a file of any size: other weights differ everywhere.
    private const int Windows = 256, WindowBytes = 1 << 16;

    /// <summary>Looks at the data and at the files.</summary>
    /// <param name="recipe">The run.</param>
    /// <param name="data">Its data, open.</param>
    /// <param name="checkpoints">Where it keeps its checkpoints.</param>
    /// <exception cref="DinoSharpException">A file cannot be read.</exception>
    public static RunInputs Of(PretrainRecipe recipe, ImageDataset data, string checkpoints)
    {
        IEnumerable<ImageDataset> sources = data is MixedDataset mixed ? mixed.Sources.Select(s => s.Dataset) : [data];
        (string Key, string? Path)[] files =
        [
            ("initialWeights", recipe.InitialWeights),
            ("distillation.teacher", recipe.Distillation?.Teacher),
            .. recipe.Phases.Select(p => ($"phases.{p.Name}.losses.gram.checkpoint", p.Losses.Gram?.Checkpoint)).Where(f => f.Checkpoint is { } own && CheckpointStore.StepOf(Path.GetFullPath(own), checkpoints) is null),
        ];
        return new RunInputs(
            [.. sources.Select(s => new Source(s.Name, s.Count, HashOf(s)))],
            [.. files.Where(f => Path.Exists(f.Path)).Select(f => new WeightFile(f.Key, f.Path!, HashOf(f.Path!)))]);
    }

    /// <summary>What is another than it was, in words; null: nothing.</summary>
    /// <param name="before">The same, as a checkpoint has it.</param>
    public string? DifferenceTo(RunInputs before)
    {
        foreach ((Source was, Source now) in before.Sources.Zip(Sources))
        {
            if (was.Count != now.Count) return $"{now.Name} had {was.Count} images when the run began and has {now.Count} now";
            if (was.Paths != now.Paths) return $"{now.Name} has {now.Count} images as when the run began, but other ones: their names differ";
        }

        WeightFile? other = before.Weights.FirstOrDefault(was => Weights.FirstOrDefault(now => now.Path == was.Path)?.Content != was.Content);
        return other is null ? null : $"{other.Path} ({other.Key}) {(Path.Exists(other.Path) ? "is another file than" : "is not there any more, as it was")} when the run began";
    }

    // By names below their common folder, so that data and run may move to another disk together.
    private static string HashOf(ImageDataset data)
    {
        string? first = data.Identity.FirstOrDefault();
        int common = first is null ? 0 : data.Identity.Min(name => name.AsSpan().CommonPrefixLength(first));
        if (first is not null) common = first.AsSpan(0, common).LastIndexOfAny('/', '\\') + 1;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string name in data.Identity)
        {
            hash.AppendData(MemoryMarshal.AsBytes(name.AsSpan(common)));
            hash.AppendData([0, 0]);
        }

        return Convert.ToHexString(hash.GetHashAndReset());
    }

    private static string HashOf(string path)
    {
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            byte[] window = new byte[WindowBytes];
            string[] files = Directory.Exists(path) ? [.. Directory.GetFiles(path, "*.safetensors").Order(StringComparer.Ordinal)] : [path];
            foreach (string file in files)
            {
                using FileStream stream = File.OpenRead(file);
                hash.AppendData(BitConverter.GetBytes(stream.Length));
                long count = Math.Min(Windows, (stream.Length + WindowBytes - 1) / WindowBytes);
                for (long i = 0; i < count; i++)
                {
                    stream.Position = count == 1 ? 0 : Math.Max(0, stream.Length - WindowBytes) * i / (count - 1);
                    hash.AppendData(window, 0, stream.ReadAtLeast(window, WindowBytes, throwOnEndOfStream: false));
                }
            }

            return Convert.ToHexString(hash.GetHashAndReset());
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{path} cannot be read: {error.Message}", error);
        }
    }

    /// <summary>A source of images.</summary>
    /// <param name="Name">What it is.</param>
    /// <param name="Count">Number of its images.</param>
    /// <param name="Paths">Hash of their names, in their order.</param>
    internal sealed record Source(string Name, int Count, string Paths);

    /// <summary>A file of weights.</summary>
    /// <param name="Key">The key of the recipe that names it.</param>
    /// <param name="Path">Where it is.</param>
    /// <param name="Content">Hash of its size and of parts of its content.</param>
    internal sealed record WeightFile(string Key, string Path, string Content);
}
