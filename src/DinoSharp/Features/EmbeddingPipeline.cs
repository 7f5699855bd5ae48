using System.Runtime.ExceptionServices;
using System.Diagnostics;
using DinoSharp.Images;

namespace DinoSharp.Features;

/// <summary>What all pipelines share.</summary>
internal static class EmbeddingPipeline
{
    /// <summary>Pictures that are decoded side by side. The other half is left to the network, whose threads wait for each other at every layer.</summary>
    public static int Decoders => Math.Max(1, Environment.ProcessorCount / 2);
}

/// <summary>Batches of pictures one after the other: while one is computed, the next is decoded. At most two batches of pixels are in memory.</summary>
/// <typeparam name="T">What stands for a picture before it is read.</typeparam>
/// <param name="name">Path or name of a picture.</param>
/// <param name="decode">From a picture to the network's input; runs on several threads at once.</param>
/// <param name="embed">From inputs to vectors; runs on the caller's thread.</param>
/// <param name="times">Told how long the stages take; null if nobody asks.</param>
internal sealed class EmbeddingPipeline<T>(Func<T, string> name, Func<T, ImageTensor> decode, Func<IReadOnlyList<ImageTensor>, float[][]> embed, StageTimes? times = null)
{
    /// <summary>Runs the batches.</summary>
    /// <param name="batches">Enumerated on the caller's thread, one batch ahead.</param>
    /// <param name="cancel">Stops between batches.</param>
    /// <returns>For each batch one result for each picture, in the order given.</returns>
    public IEnumerable<IReadOnlyList<ImageEmbedding>> Run(IEnumerable<IReadOnlyList<T>> batches, CancellationToken cancel)
    {
        Task<Decoded[]>? ahead = null;
        try
        {
            foreach (IReadOnlyList<T> batch in batches)
            {
                cancel.ThrowIfCancellationRequested();
                Task<Decoded[]>? ready = ahead;
                ahead = Task.Run(() => Decode(batch, cancel), CancellationToken.None);
                if (ready is not null) yield return Embed(Wait(ready));
            }

            cancel.ThrowIfCancellationRequested();
            if (ahead is null) yield break;
            Decoded[] last = Wait(ahead);
            ahead = null;
            yield return Embed(last);
        }
        finally
        {
            // Left before the end: what was decoded in vain is freed.
            if (ahead is not null) Discard(ahead);
        }
    }

    private static Decoded[] Wait(Task<Decoded[]> decoding) => decoding.GetAwaiter().GetResult();

    private static void Discard(Task<Decoded[]> decoding)
    {
        try
        {
            foreach (Decoded picture in Wait(decoding)) picture.Input?.Dispose();
        }
        catch (Exception)
        {
            // The batch failed or was cancelled; whoever left early has an error of his own to report.
        }
    }

    private Decoded[] Decode(IReadOnlyList<T> batch, CancellationToken cancel)
    {
        var decoded = new Decoded[batch.Count];
        long start = Stopwatch.GetTimestamp();
        try
        {
            Parallel.For(0, batch.Count, new ParallelOptions { CancellationToken = cancel, MaxDegreeOfParallelism = EmbeddingPipeline.Decoders }, i =>
            {
                try
                {
                    decoded[i] = new Decoded(name(batch[i]), decode(batch[i]), null);
                }
                catch (ImageException e)
                {
                    decoded[i] = new Decoded(name(batch[i]), null, e);
                }
            });
            times?.Decoded(batch.Count, start);
            return decoded;
        }
        catch (Exception e)
        {
            foreach (Decoded picture in decoded) picture.Input?.Dispose();
            if (e is AggregateException { InnerExceptions: [var first, ..] }) ExceptionDispatchInfo.Throw(first); // what one thread says, the others say too
            throw;
        }
    }

    private ImageEmbedding[] Embed(Decoded[] batch)
    {
        long start = Stopwatch.GetTimestamp();
        ImageTensor[] inputs = [.. batch.Select(picture => picture.Input).OfType<ImageTensor>()];
        try
        {
            var vectors = new Queue<float[]>(embed(inputs));
            times?.Computed(inputs.Length, start);
            return [.. batch.Select(picture => new ImageEmbedding(picture.Name, picture.Input is null ? null : vectors.Dequeue(), picture.Error))];
        }
        finally
        {
            foreach (ImageTensor input in inputs) input.Dispose();
        }
    }

    private readonly record struct Decoded(string Name, ImageTensor? Input, ImageException? Error);
}
