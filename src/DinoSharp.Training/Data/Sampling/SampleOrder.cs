namespace DinoSharp.Training.Data.Sampling;

/// <summary>In which order the samples of a data set are visited during training.</summary>
public enum SamplerKind
{
    /// <summary>Every rank walks the same endless sequence of permutations and takes its share of each.</summary>
    Infinite,

    /// <summary>Every rank keeps its own slice of the data set and shuffles it anew in each pass; a rest that does not divide is dropped.</summary>
    ShardedInfinite,

    /// <summary>As <see cref="ShardedInfinite"/>, with a faster shuffle (another order).</summary>
    ShardedInfiniteNew,

    /// <summary>Epoch after epoch, each a permutation that depends on the seed and its number alone; every rank takes its share of each.</summary>
    Epoch,
}

/// <summary>
/// Index sequences of the official samplers, equal draw by draw (its <c>data/samplers.py</c>, through torch's CPU generator and NumPy's).
/// Each is a pure function of its arguments: position p of the sequence is the same whether or not the earlier ones were visited.
/// </summary>
internal static class SampleOrder
{
    /// <summary>The endless sequence of one rank.</summary>
    /// <param name="kind">Which sequence.</param>
    /// <param name="count">Number of samples in the data set, n.</param>
    /// <param name="shuffle">False: 0 … n − 1 again and again.</param>
    /// <param name="seed">Seed of the run; the same on every rank.</param>
    /// <param name="rank">This process, 0 … world − 1.</param>
    /// <param name="world">Number of processes.</param>
    /// <param name="advance">
    /// How many samples of this rank to leave out at the start, exactly. (The original divides by the length of the whole data set when it
    /// skips passes of a slice, so that a resumed sharded run skips too few.)
    /// </param>
    public static IEnumerable<int> Endless(SamplerKind kind, int count, bool shuffle, ulong seed, int rank = 0, int world = 1, long advance = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        ArgumentOutOfRangeException.ThrowIfNegative(advance);
        ArgumentOutOfRangeException.ThrowIfNegative(rank);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(rank, world);
        int share = !shuffle || kind is SamplerKind.Infinite or SamplerKind.Epoch ? (count - rank + world - 1) / world : count / world;
        if (share < 1)
            throw new DinoSharpException($"a data set of {count} samples cannot feed {world} processes; use at most {count}");
        return !shuffle ? InOrder(count, rank, world, advance % share)
            : kind == SamplerKind.Infinite ? Infinite(count, seed, rank, world).SkipLong(advance)
            : kind == SamplerKind.Epoch ? Epochs(count, seed, rank, world, advance / share).SkipLong(advance % share)
            : Sharded(kind, count, seed, rank, world, advance / share).SkipLong(advance % share);
    }

    /// <summary>One epoch of a chosen length: the samples as often as needed to reach <paramref name="size"/>, in random order.</summary>
    /// <param name="size">Length of the epoch over all ranks.</param>
    /// <param name="count">Number of samples in the data set.</param>
    /// <param name="shuffle">False: in order.</param>
    /// <param name="seed">Seed of the run.</param>
    /// <param name="epoch">Number of the epoch; with the seed it decides the order.</param>
    /// <param name="rank">This process, 0 … world − 1.</param>
    /// <param name="world">Number of processes.</param>
    public static IEnumerable<int> Epoch(int size, int count, bool shuffle, ulong seed, int epoch, int rank = 0, int world = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        int tiled = checked((size + count - 1) / count * count);
        int[] positions = shuffle
            ? new NumpyRandom(seed == 0 ? (ulong)epoch : seed * (ulong)epoch).ChoiceWithoutReplacement(tiled, size)
            : [.. Enumerable.Range(0, size)];
        for (int i = rank; i < size; i += world) yield return positions[i] % count;
    }

    private static IEnumerable<int> Epochs(int count, ulong seed, int rank, int world, long first)
    {
        // From 1 on: number 0 would be the same for every seed.
        for (int epoch = checked((int)first + 1); ; epoch++)
        {
            foreach (int sample in Epoch(count, count, shuffle: true, seed, epoch, rank, world)) yield return sample;
        }
    }

    private static IEnumerable<int> InOrder(int count, int rank, int world, long first)
    {
        for (long i = rank + first * world; ; i = rank)
        {
            for (; i < count; i += world) yield return (int)i;
        }
    }

    /// <summary>One generator runs on through all passes; each pass is a permutation made while it is walked, so every rank draws every swap.</summary>
    private static IEnumerable<int> Infinite(int count, ulong seed, int rank, int world)
    {
        var random = new TorchRandom(seed);
        int[] order = new int[count];
        while (true)
        {
            for (int i = 0; i < count; i++) order[i] = i;
            for (int i = 0; i < count; i++)
            {
                int j = (int)random.Integer(i, count);
                (order[i], order[j]) = (order[j], order[i]);
                if (i % world == rank) yield return order[i];
            }
        }
    }

    private static IEnumerable<int> Sharded(SamplerKind kind, int count, ulong seed, int rank, int world, long pass)
    {
        int[] all = new TorchRandom(seed).Permutation(count);
        int[] slice = new int[count / world];
        for (int i = 0; i < slice.Length; i++) slice[i] = all[rank + i * world];
        for (; ; pass++)
        {
            var random = new TorchRandom(seed + (ulong)rank + ((ulong)pass << 24));
            foreach (int index in kind == SamplerKind.ShardedInfinite ? InsideOut(slice, random) : random.Permutation(slice.Length).Select(i => slice[i]))
                yield return index;
        }
    }

    private static int[] InsideOut(int[] slice, TorchRandom random)
    {
        int[] order = new int[slice.Length];
        for (int i = 0; i < slice.Length; i++)
        {
            int j = i == 0 ? 0 : (int)random.Integer(0, i + 1); // the first one is not drawn
            order[i] = order[j];
            order[j] = slice[i];
        }

        return order;
    }

    private static IEnumerable<int> SkipLong(this IEnumerable<int> sequence, long count)
    {
        foreach (int value in sequence)
        {
            if (count-- <= 0) yield return value;
        }
    }
}
