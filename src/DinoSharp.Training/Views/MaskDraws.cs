using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Views;

/// <summary>The random choices of block masking, one method for each kind; golden cases replay recorded ones.</summary>
internal abstract class MaskDraws
{
    /// <summary>A real number between the two ends, which may be given in either order.</summary>
    public abstract double Uniform(double a, double b);

    /// <summary>An integer, both ends included.</summary>
    public abstract int Integer(int low, int high);

    /// <summary>Different elements of <paramref name="candidates"/>.</summary>
    public abstract IReadOnlyList<int> Choose(IReadOnlyList<int> candidates, int count);

    /// <summary>For each new position the old one.</summary>
    public abstract IReadOnlyList<int> Shuffle(int count);
}

/// <summary>Choices from a seeded generator. (The original takes them from Python's and NumPy's global generators, whose state depends on everything else in its process.)</summary>
internal sealed class SeededMaskDraws(TorchRandom random) : MaskDraws
{
    public override double Uniform(double a, double b) => a + (b - a) * ((random.NextUInt64() >> 11) * (1.0 / (1UL << 53)));

    public override int Integer(int low, int high) => (int)random.Integer(low, high + 1L);

    public override IReadOnlyList<int> Choose(IReadOnlyList<int> candidates, int count)
    {
        if (count == 0) return [];
        int[] pool = [.. candidates];
        for (int i = 0; i < count; i++)
        {
            int j = Integer(i, pool.Length - 1);
            (pool[i], pool[j]) = (pool[j], pool[i]);
        }

        return pool[..count];
    }

    public override IReadOnlyList<int> Shuffle(int count) => random.Permutation(count);
}
