namespace DinoSharp.Heads.Classification;

/// <summary>A class and how likely it is.</summary>
/// <param name="Index">Index of the class.</param>
/// <param name="Name">Its name.</param>
/// <param name="Probability">0..1; all classes together have one.</param>
public sealed record ClassScore(int Index, string Name, double Probability);

/// <summary>Which class a picture shows. Plain memory.</summary>
public sealed class Classification
{
    internal Classification(ReadOnlySpan<float> probabilities, ClassNames classes)
    {
        float[] values = probabilities.ToArray();
        Ranked = [.. Enumerable.Range(0, values.Length).OrderByDescending(i => values[i]).Select(i => new ClassScore(i, classes[i], values[i]))];
    }

    /// <summary>All classes, the likeliest first.</summary>
    public IReadOnlyList<ClassScore> Ranked { get; }

    /// <summary>The likeliest class.</summary>
    public ClassScore Top => Ranked[0];

    /// <summary>Cosine similarity to the nearest picture that was learnt from; null for a linear classifier, which keeps none.</summary>
    public double? Similarity { get; internal init; }

    /// <summary>Whether the picture is too unlike everything that was enrolled. Never for a classifier without a threshold.</summary>
    public bool IsUnknown => Similarity < UnknownBelow;

    internal double? UnknownBelow { get; init; }

    /// <summary>The likeliest classes.</summary>
    /// <param name="count">How many.</param>
    public IEnumerable<ClassScore> Best(int count) => Ranked.Take(count);
}
