using DinoSharp.Images;

namespace DinoSharp.Heads;

/// <summary>How a dense head (depth, segmentation) looks at a picture. What is null is as the head declares.</summary>
public sealed record DenseOptions
{
    /// <summary>Size the picture is brought to; the answer always has the size of the picture itself.</summary>
    public SizePolicy? Size { get; init; }

    /// <summary>Windows; see <see cref="HeadInput.Windows"/>.</summary>
    public HeadWindows? Windows { get; init; }

    /// <summary>See the picture whole even if the head would use windows.</summary>
    public bool Whole { get; init; }

    /// <summary>Test-time augmentation: also look at the mirrored picture and average.</summary>
    public bool Flip { get; init; }

    /// <summary>Test-time augmentation: factors on the size, averaged. The published segmentor: 0.9, 0.95, 1, 1.05, 1.1 with <see cref="Flip"/>.</summary>
    public IReadOnlyList<double> Scales { get; init; } = [1];

    /// <summary>Most memory that the process may hold meanwhile: pictures that would take more are seen in the largest windows that fit, which overlap by a quarter. An estimate, counted from
    /// what the process held when the head was loaded. Null: no ceiling.</summary>
    public long? MaxMemoryBytes { get; init; }

    /// <summary>Most memory for class scores. If those of the full picture need more, they are averaged at the size that the head saw, and enlarged band by band.</summary>
    public long MaxScoreBytes { get; init; } = 1L << 30;

    /// <summary>The same within the ceiling.</summary>
    internal long ScoreBytes => Math.Min(MaxScoreBytes, (MaxMemoryBytes ?? long.MaxValue) / 4);

    internal void Validate()
    {
        if (Scales.Count == 0 || Scales.Any(s => !(s is > 0.05 and < 20))) throw new DinoSharpException($"scales must be between 0.05 and 20, at least one; found {string.Join(", ", Scales)}");
        if (Windows is { } w && (w.StridePixels < 1 || w.StridePixels > w.SizePixels)) throw new DinoSharpException($"windows of {w.SizePixels} pixels need a stride from 1 to {w.SizePixels}, found {w.StridePixels}");
    }
}
