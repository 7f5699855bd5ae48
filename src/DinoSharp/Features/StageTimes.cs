using System.Diagnostics;

namespace DinoSharp.Features;

/// <summary>How long the two stages of an <see cref="EmbeddingPipeline{T}"/> were at work. They work at the same time, so the larger one is what a run takes; a stage that
/// waits for the other is not at work. Safe for concurrent use.</summary>
internal sealed class StageTimes
{
    private long _decoding, _computing, _decoded, _computed;

    /// <summary>Pictures decoded, resized and normalised for each second of that; 0 if there were none.</summary>
    public double DecodedPerSecond => Rate(ref _decoded, ref _decoding);

    /// <summary>Pictures computed by the network for each second of that; 0 if there were none.</summary>
    public double ComputedPerSecond => Rate(ref _computed, ref _computing);

    /// <summary>Which stage the run waited for.</summary>
    public string Bound => Volatile.Read(ref _decoding) > Volatile.Read(ref _computing) ? "decoding" : "the model";

    public void Decoded(int pictures, long since) => Add(ref _decoded, pictures, ref _decoding, since);

    public void Computed(int pictures, long since) => Add(ref _computed, pictures, ref _computing, since);

    private static void Add(ref long count, int pictures, ref long ticks, long since)
    {
        Interlocked.Add(ref ticks, Stopwatch.GetTimestamp() - since);
        Interlocked.Add(ref count, pictures);
    }

    private static double Rate(ref long count, ref long ticks) => Volatile.Read(ref ticks) is > 0 and var busy ? Volatile.Read(ref count) * (double)Stopwatch.Frequency / busy : 0;
}
