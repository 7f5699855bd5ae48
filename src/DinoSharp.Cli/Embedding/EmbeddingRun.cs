using System.Globalization;
using System.Text.Json;
using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Weights;

namespace DinoSharp.Cli.Embedding;

/// <summary>What a run of <c>dino embed</c> gave.</summary>
/// <param name="Count">Vectors in the file.</param>
/// <param name="Resumed">How many of them an earlier run had computed.</param>
/// <param name="Dimensions">Numbers of a vector.</param>
internal sealed record EmbeddingSummary(int Count, int Resumed, int Dimensions);

/// <summary>One run of <c>dino embed</c>: pictures → journal, batch by batch, and at the end journal → file.</summary>
internal sealed class EmbeddingRun(DinoModel model, EmbedOptions options, InputImages inputs, string path)
{
    // Names of this run, so that a journal of other inputs adds nothing to the result.
    private readonly HashSet<string> _asked = [];
    private int _resumed;

    /// <summary>How fast decoding and the model were, each for itself.</summary>
    public StageTimes Times { get; } = new();

    /// <summary>The file that keeps an unfinished run.</summary>
    public static string JournalOf(string path) => path + ".partial";

    /// <summary>Runs to the end.</summary>
    /// <exception cref="OperationCanceledException">Stopped; what was finished is kept.</exception>
    /// <exception cref="DinoSharpException">Nothing to do, or the disk is full; what was finished is kept.</exception>
    public EmbeddingSummary Execute(IProgress<long> progress, Output output, CancellationToken cancel)
    {
        int dim = options.Pooling.Length(model.Backbone.Config.EmbedDim);
        using EmbeddingJournal journal = EmbeddingJournal.Open(JournalOf(path), JsonSerializer.Serialize(Settings()), dim);
        if (journal.Count > 0) output.Warn($"going on behind the {journal.Count} pictures of an earlier run in {journal.Path}");
        int warned = 0;
        try
        {
            long failed = 0, begun = journal.Count;
            foreach (IReadOnlyList<ImageEmbedding> batch in model.EmbedBatches(Batches(journal), options, cancel, Times))
            {
                foreach (ImageEmbedding broken in batch.Where(item => item.Error is not null)) inputs.Skip(broken.Name, broken.Error!.Cause);
                Append(journal, [.. batch.Where(item => item.Vector is not null).Select(item => (item.Name, item.Vector!))]);
                failed += batch.Count(item => item.Error is not null);
                progress.Report(_resumed + failed + journal.Count - begun);
                ShowSkipped();
            }
        }
        catch (OperationCanceledException)
        {
            if (journal.Count > 0) output.Warn($"{journal.Count} pictures are done and kept in {journal.Path}; the same command goes on from there");
            else journal.Delete();
            throw;
        }
        catch when (journal.Count == 0)
        {
            journal.Delete(); // nothing to keep; it would only stand in the way of a run with other settings
            throw;
        }

        ShowSkipped();
        int count = _asked.Count(journal.Contains);
        if (count == 0)
        {
            journal.Delete();
            throw new DinoSharpException(_asked.Count == 0
                ? $"there is no picture to embed; in folders and shards, files count whose names end in {string.Join(", ", InputImages.Extensions)}"
                : $"none of the {_asked.Count} pictures can be read, see above");
        }

        Finish(journal, count, dim);
        return new EmbeddingSummary(count, _resumed, dim);

        void ShowSkipped()
        {
            for (; warned < inputs.Skipped.Count; warned++) output.Warn($"skipped {inputs.Skipped[warned].Path}: {inputs.Skipped[warned].Reason}");
        }
    }

    /// <summary>The pictures that are not in the journal yet, in batches cut at the same places as in an uninterrupted run, so that the numbers are the same too.</summary>
    private IEnumerable<IReadOnlyList<ImageSource>> Batches(EmbeddingJournal journal)
    {
        var batch = new List<ImageSource>();
        foreach ((string name, Func<ImageSource> open) in inputs.Read())
        {
            if (!_asked.Add(name)) continue; // a shard may hold a name twice
            if (journal.Contains(name)) _resumed++;
            else if (Open(name, open) is { } source) batch.Add(source);
            if (_asked.Count % options.BatchSize != 0 || batch.Count == 0) continue;
            yield return batch;
            batch = [];
        }

        if (batch.Count > 0) yield return batch;
    }

    private ImageSource? Open(string name, Func<ImageSource> open)
    {
        try
        {
            return open();
        }
        catch (ImageException e)
        {
            inputs.Skip(name, e.Cause);
            return null;
        }
    }

    private static void Append(EmbeddingJournal journal, (string Name, float[] Vector)[] batch)
    {
        try
        {
            journal.Append(batch);
        }
        catch (IOException e)
        {
            throw new DinoSharpException($"{journal.Path} cannot be written: {e.Message} {Kept(journal)}", e);
        }
    }

    private void Finish(EmbeddingJournal journal, int count, int dim)
    {
        try
        {
            EmbeddingFile.Write(path, journal.Read().Where(row => _asked.Contains(row.Name)), count, dim, new Dictionary<string, string>(Settings()) { ["engine"] = model.Engine });
        }
        catch (TensorFileException e)
        {
            throw new DinoSharpException($"{e.Message} {Kept(journal)}", e);
        }

        journal.Delete();
    }

    private static string Kept(EmbeddingJournal journal) => $"The {journal.Count} pictures that are done are kept in {journal.Path}: make room and run the same command again.";

    // A run that was stopped may go on with another engine, which is no other setting: of one precision they differ in rounding only.
    private Dictionary<string, string> Settings() => new()
    {
        ["model"] = model.Name,
        ["weights"] = model.Fingerprint,
        ["compute"] = model.Compute.ToString(),
        ["pooling"] = options.Pooling.ToString(),
        ["unitLength"] = options.UnitLength ? "true" : "false",
        ["imageSizePixels"] = options.ImageSizePixels?.ToString(CultureInfo.InvariantCulture) ?? "default",
    };
}
