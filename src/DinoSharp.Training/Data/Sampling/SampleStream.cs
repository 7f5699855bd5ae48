namespace DinoSharp.Training.Data.Sampling;

/// <summary>The endless sequence of images that one process trains on. Position p is the same whether or not the earlier ones were visited.</summary>
/// <param name="dataset">The images. Of a mixture every source has an order of its own, and its share of every stretch of positions.</param>
/// <param name="kind">Order of the images of one source.</param>
/// <param name="shuffle">False: in order.</param>
/// <param name="seed">Seed of the run; the same on every rank.</param>
/// <param name="rank">This process.</param>
/// <param name="world">Number of processes.</param>
internal sealed class SampleStream(ImageDataset dataset, SamplerKind kind, bool shuffle, ulong seed, int rank, int world)
{
    // In each stretch of so many positions the sources have exactly their shares, rounded.
    private const int Stretch = 4096;
    private const ulong MixStream = 0x6d6978;

    public IEnumerable<int> From(long position) =>
        dataset is MixedDataset mixed ? Mixed(mixed, position) : SampleOrder.Endless(kind, dataset.Count, shuffle, seed, rank, world, position);

    private IEnumerable<int> Mixed(MixedDataset mixed, long position)
    {
        int[] quotas = Quotas([.. mixed.Sources.Select(s => s.Share)]), pattern = Pattern(quotas);
        long stretch = position / Stretch;
        int[] now = Shuffled(pattern, stretch);
        int at = (int)(position % Stretch);
        IEnumerator<int>[] sources = [.. mixed.Sources.Select((source, i) =>
        {
            long before = stretch * quotas[i] + now.AsSpan(0, at).Count(i);
            return SampleOrder.Endless(kind, source.Dataset.Count, shuffle, i == 0 ? seed : TorchRandom.SeedOf(seed, MixStream, (ulong)i), rank, world, before).GetEnumerator();
        })];
        while (true)
        {
            for (; at < Stretch; at++)
            {
                int source = now[at];
                sources[source].MoveNext();
                yield return mixed.FirstOf(source) + sources[source].Current;
            }

            at = 0;
            now = Shuffled(pattern, ++stretch);
        }
    }

    private int[] Shuffled(int[] pattern, long stretch)
    {
        if (!shuffle) return pattern;
        return [.. new TorchRandom(TorchRandom.SeedOf(seed, MixStream, (ulong)stretch + (1UL << 32))).Permutation(Stretch).Select(i => pattern[i])];
    }

    /// <summary>The sources spread evenly, each as often as its quota says.</summary>
    private static int[] Pattern(int[] quotas) =>
        [.. quotas.SelectMany((quota, source) => Enumerable.Range(0, quota).Select(k => (At: (k + 0.5) / quota, source))).OrderBy(x => x.At).Select(x => x.source)];

    /// <summary>Whole numbers that sum to a stretch, nearest to the shares (largest remainders); at least one each.</summary>
    private static int[] Quotas(double[] shares)
    {
        if (shares.Length > Stretch) throw new DinoSharpException($"at most {Stretch} sources can be mixed, not {shares.Length}");
        int[] quotas = [.. shares.Select(s => Math.Max(1, (int)(s * Stretch)))];
        int[] byRemainder = [.. Enumerable.Range(0, shares.Length).OrderByDescending(i => shares[i] * Stretch - Math.Floor(shares[i] * Stretch)).ThenBy(i => i)];
        for (int i = 0; quotas.Sum() < Stretch; i++) quotas[byRemainder[i % byRemainder.Length]]++;
        while (quotas.Sum() > Stretch) quotas[Array.IndexOf(quotas, quotas.Max())]--;
        return quotas;
    }
}
