using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Views;

/// <summary>How batches are loaded.</summary>
public sealed record LoaderOptions
{
    /// <summary>Images per batch of this process, B.</summary>
    public int BatchSize { get; init; } = 32;

    /// <summary>Threads that decode and augment; null: one fewer than there are cores, at least one. It changes the speed, never the batches.</summary>
    public int? Workers { get; init; }

    /// <summary>Batches that are kept ready beside the one being made, at least 1. This bounds the memory.</summary>
    public int PrefetchBatches { get; init; } = 2;

    /// <summary>Seed of the run; the same on every process.</summary>
    public ulong Seed { get; init; }

    /// <summary>Order of the images.</summary>
    public SamplerKind Sampler { get; init; } = SamplerKind.Infinite;

    /// <summary>False: the images in order, again and again.</summary>
    public bool Shuffle { get; init; } = true;

    /// <summary>Number of this process, 0 … <see cref="WorldSize"/> − 1.</summary>
    public int Rank { get; init; }

    /// <summary>Number of processes.</summary>
    public int WorldSize { get; init; } = 1;

    /// <summary>The step whose batch comes first. A run that goes on at step k gets the batches it would have got without an interruption.</summary>
    public long StartStep { get; init; }

    internal int WorkerCount => Workers ?? Math.Max(1, Environment.ProcessorCount - 1);

    internal void Validate()
    {
        Require(BatchSize >= 1, nameof(BatchSize), BatchSize, "at least 1");
        Require(Workers is null or >= 1, nameof(Workers), Workers ?? 0, "null or at least 1");
        Require(PrefetchBatches >= 1, nameof(PrefetchBatches), PrefetchBatches, "at least 1");
        Require(WorldSize >= 1, nameof(WorldSize), WorldSize, "at least 1");
        Require(Rank >= 0 && Rank < WorldSize, nameof(Rank), Rank, $"0 … {WorldSize - 1}");
        Require(StartStep >= 0, nameof(StartStep), StartStep, "at least 0");

        static void Require(bool ok, string name, long value, string expected)
        {
            if (!ok) throw new DinoSharpException($"the loader option {name} is {value}; it must be {expected}");
        }
    }
}

/// <summary>What the loader did so far.</summary>
/// <param name="Batches">Batches handed out.</param>
/// <param name="Images">Images in them.</param>
/// <param name="Unreadable">Images that could not be read and were replaced by others of the same source; each reading counts.</param>
/// <param name="Problems">The first different messages about them.</param>
/// <param name="Waited">Time the training waited for batches, without the first one.</param>
/// <param name="FirstBatch">Time until the first batch was ready.</param>
/// <param name="Elapsed">Time since the first batch.</param>
public sealed record LoaderReport(long Batches, long Images, long Unreadable, IReadOnlyList<string> Problems, TimeSpan Waited, TimeSpan FirstBatch, TimeSpan Elapsed)
{
    /// <summary>Share of the time since the first batch that the training spent waiting, 0 … 1: near 0 the loader keeps up, near 1 it is the bottleneck.</summary>
    public double WaitedShare => Elapsed > TimeSpan.Zero ? Waited / Elapsed : 0;
}
