using System.Diagnostics;
using DinoSharp.Features;
using DinoSharp.Features.HighResolution;

namespace DinoSharp.Cli.Pictures;

/// <summary>Says how much memory pictures will take before they are computed, and what it came to.</summary>
internal sealed class MemoryNotes(Output output)
{
    // Smaller pictures take little; a line about each run would be noise.
    private const long LargePixels = 2 << 20;

    private ExtractionPlan? _largest;
    private long _limit;

    /// <summary>Tells of a plan if it needs more than those before.</summary>
    /// <param name="plan">How a picture will be computed.</param>
    /// <param name="options">What was asked for.</param>
    /// <param name="working">Bytes that the process holds when the patches are there and are worked on.</param>
    /// <exception cref="DinoSharpException">Working on the patches takes more than was allowed; that computing them does not is certain.</exception>
    public void Announce(ExtractionPlan plan, ExtractOptions options, long working = 0)
    {
        if (working > options.MaxMemoryBytes)
            throw new DinoSharpException($"working on the patches of {plan.InputWidth}x{plan.InputHeight} pixels takes about {ExtractionPlan.Words(working)}, the limit is {ExtractionPlan.Words(options.MaxMemoryBytes.Value)}; use a smaller --size, fewer pictures or a higher limit");
        plan = plan with { PeakBytes = Math.Max(plan.PeakBytes, working), WholePeakBytes = Math.Max(plan.WholePeakBytes, working) };
        _limit = options.MaxMemoryBytes ?? 0;
        if (_largest is not null && plan.PeakBytes <= _largest.PeakBytes) return;
        _largest = plan;
        bool asked = options.MaxMemoryBytes is not null || options.TileSizePixels is not null;
        if (asked || output.IsTerminal || (long)plan.InputWidth * plan.InputHeight > LargePixels)
            output.Note($"memory: {plan}" + (options.MaxMemoryBytes is long limit ? $", limit {ExtractionPlan.Words(limit)}" : ""));
    }

    /// <summary>For <c>--json</c>: the estimate of the largest picture and the process's measured peak so far; null before the first picture.</summary>
    public object? ToJson()
    {
        if (_largest is null) return null;
        using var process = Process.GetCurrentProcess();
        return new
        {
            estimatedBytes = _largest.PeakBytes,
            measuredBytes = process.PeakWorkingSet64,
            limitBytes = _limit > 0 ? (long?)_limit : null,
            input = new { width = _largest.InputWidth, height = _largest.InputHeight },
            tiles = _largest.IsTiled ? new { columns = _largest.TileColumns, rows = _largest.TileRows, width = _largest.TileWidth, height = _largest.TileHeight, overlap = _largest.OverlapPixels } : null,
        };
    }
}
