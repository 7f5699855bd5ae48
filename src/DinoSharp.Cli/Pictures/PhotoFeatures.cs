using DinoSharp.Backbones;
using DinoSharp.Cli.Embedding;
using DinoSharp.Features;
using DinoSharp.Features.HighResolution;

namespace DinoSharp.Cli.Pictures;

/// <summary>Patch features of many pictures, one picture at a time, so that a folder of any size fits into memory. Pictures that cannot be read are skipped with a warning.</summary>
internal sealed class PhotoFeatures(DinoModel model, ExtractOptions size, int layer, Output output, Func<int, long>? work = null)
{
    private long _held;

    /// <summary>What was said about memory.</summary>
    public MemoryNotes Memory { get; } = new(output);

    /// <summary>Pictures that were skipped so far.</summary>
    public List<SkippedInput> Skipped { get; } = [];

    /// <summary>Files of folders, patterns and names, in order.</summary>
    /// <param name="words">As given.</param>
    /// <param name="mayBeEmpty">Whether none is fine.</param>
    /// <exception cref="DinoSharpException">There is none.</exception>
    public static string[] Files(IEnumerable<string> words, bool mayBeEmpty = false)
    {
        InputImages inputs = InputImages.Find(words);
        if (inputs.Skipped.FirstOrDefault() is { } missing) throw new DinoSharpException($"{missing.Path}: {missing.Reason}");
        string[] files = [.. inputs.Read().Select(input => input.Name).Where(File.Exists)]; // members of tar shards have no file
        return files.Length > 0 || mayBeEmpty ? files : throw new DinoSharpException($"there is no picture in {string.Join(", ", words)}; in folders, files count whose names end in {string.Join(", ", InputImages.Extensions)}");
    }

    /// <summary>Takes note of what the verb keeps from now on; later pictures have what it leaves.</summary>
    /// <exception cref="DinoSharpException">That alone is over the limit.</exception>
    public void Hold(long bytes)
    {
        _held += bytes;
        long total = model.ResidentBytes + _held;
        if (total > size.MaxMemoryBytes) throw new DinoSharpException($"what is learnt from these pictures takes about {ExtractionPlan.Words(total)}, the limit is {ExtractionPlan.Words(size.MaxMemoryBytes.Value)}; use fewer pictures, a smaller --size or a higher limit");
    }

    /// <summary>The patches of a picture, and the picture.</summary>
    public (Photo Photo, PatchMap Map) Extract(string file, CancellationToken cancel)
    {
        Photo photo = Photo.Read([file])[0];
        return (photo, Extract(photo, cancel));
    }

    /// <summary>The patches of a decoded picture.</summary>
    public PatchMap Extract(Photo photo, CancellationToken cancel)
    {
        LayerSelection wanted = [layer];
        ExtractOptions options = size with { Layers = wanted, ReservedBytes = _held };
        ExtractionPlan plan = model.PlanFor(photo.Path, photo.Pixels.Width, photo.Pixels.Height, options);
        int patches = plan.InputWidth / model.Preprocessing.PatchSizePixels * (plan.InputHeight / model.Preprocessing.PatchSizePixels);
        long working = model.ResidentBytes + _held + (3L * patches * model.Backbone.Config.EmbedDim * sizeof(float)) + (work?.Invoke(patches) ?? 0); // the map, a tensor of it, its unit vectors
        Memory.Announce(plan, options, working);
        using ImageFeatures features = model.Extract(photo.Pixels, options, cancel);
        return features.PatchMap(wanted.Resolve(model.Backbone.Config.LayerCount)[0]);
    }

    /// <summary>The same for each of many; what cannot be read is left out.</summary>
    public IEnumerable<(Photo Photo, PatchMap Map)> ExtractAll(IEnumerable<string> files, IProgress<long> progress, CancellationToken cancel)
    {
        long done = 0;
        foreach (string file in files)
        {
            cancel.ThrowIfCancellationRequested();
            (Photo, PatchMap)? result = null;
            try
            {
                result = Extract(file, cancel);
            }
            catch (Images.ImageException e)
            {
                output.Warn($"skipped {file}: {e.Cause}");
                Skipped.Add(new SkippedInput(file, e.Cause));
            }

            progress.Report(++done);
            if (result is { } found) yield return found;
        }
    }
}
