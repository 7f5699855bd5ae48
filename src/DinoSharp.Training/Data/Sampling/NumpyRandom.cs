namespace DinoSharp.Training.Data.Sampling;

/// <summary>
/// Draws the same numbers as NumPy's <c>default_rng(seed)</c>: a PCG64 generator (O'Neill 2014, XSL-RR output) seeded through NumPy's SeedSequence.
/// Used where the reference draws from it: the epoch sampler and the choice of a resolution per step. Not safe for use by several threads at once.
/// </summary>
internal sealed class NumpyRandom
{
    private static readonly UInt128 Multiplier = new(2549297995355413924, 4865540595714422341);

    private readonly UInt128 _increment;
    private UInt128 _state;
    private uint? _half;

    /// <summary>Seeds the generator.</summary>
    public NumpyRandom(ulong seed)
    {
        ulong[] words = SeedWords(seed);
        _increment = (new UInt128(words[2], words[3]) << 1) | 1;
        Step();
        _state += new UInt128(words[0], words[1]);
        Step();
    }

    /// <summary>The next 64 random bits.</summary>
    public ulong NextUInt64()
    {
        Step();
        ulong high = (ulong)(_state >> 64);
        return ulong.RotateRight(high ^ (ulong)_state, (int)(high >> 58));
    }

    /// <summary>32 bits; every other call uses the half the last one left over.</summary>
    public uint NextUInt32()
    {
        if (_half is uint kept)
        {
            _half = null;
            return kept;
        }

        ulong word = NextUInt64();
        _half = (uint)(word >> 32);
        return (uint)word;
    }

    /// <summary><c>random()</c>: 53 random bits in [0, 1).</summary>
    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1UL << 53));

    /// <summary><c>choice(len(weights), p=weights)</c>.</summary>
    /// <param name="cumulative">Running sums of the probabilities; the last one is their total.</param>
    public int Choice(ReadOnlySpan<double> cumulative)
    {
        double u = NextDouble();
        int i = 0;
        while (i < cumulative.Length - 1 && cumulative[i] / cumulative[^1] <= u) i++;
        return i;
    }

    /// <summary><c>choice(population, size, replace=False)</c>: distinct values of 0 … population − 1 in random order.</summary>
    public int[] ChoiceWithoutReplacement(int population, int size)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size, population);
        const int Cutoff = 50;
        if (population > 10000 && size > population / Cutoff)
        {
            int[] all = [.. Enumerable.Range(0, population)];
            Shuffle(all, Math.Max(population - size, 1));
            return all[(population - size)..];
        }

        // Floyd's algorithm, then a shuffle because it favours high values at the end.
        int[] chosen = new int[size];
        var taken = new HashSet<int>(size);
        for (int j = population - size; j < population; j++)
        {
            int value = (int)Bounded((uint)j);
            if (!taken.Add(value)) taken.Add(value = j);
            chosen[j - population + size] = value;
        }

        Shuffle(chosen, 1);
        return chosen;
    }

    private void Shuffle(int[] values, int first)
    {
        for (int i = values.Length - 1; i >= first; i--)
        {
            int j = (int)Bounded((uint)i);
            (values[i], values[j]) = (values[j], values[i]);
        }
    }

    /// <summary>0 … highest, both included, without bias (Lemire 2019).</summary>
    private uint Bounded(uint highest)
    {
        if (highest == 0) return 0;
        uint count = highest + 1;
        ulong product = (ulong)NextUInt32() * count;
        if ((uint)product < count)
        {
            uint threshold = (uint.MaxValue - highest) % count;
            while ((uint)product < threshold) product = (ulong)NextUInt32() * count;
        }

        return (uint)(product >> 32);
    }

    private void Step() => _state = _state * Multiplier + _increment;

    /// <summary>NumPy's SeedSequence: a pool of four words is mixed from the seed, and four 64-bit words are drawn from it.</summary>
    private static ulong[] SeedWords(ulong seed)
    {
        uint hash = 0x43b0d7e5;
        uint[] pool = [HashMix((uint)seed), HashMix((uint)(seed >> 32)), HashMix(0), HashMix(0)];
        for (int from = 0; from < 4; from++)
        {
            for (int to = 0; to < 4; to++)
            {
                if (from == to) continue;
                uint mixed = 0xca01f9ddu * pool[to] - 0x4973f715u * HashMix(pool[from]);
                pool[to] = mixed ^ (mixed >> 16);
            }
        }

        ulong[] words = new ulong[4];
        uint constant = 0x8b51f9dd;
        for (int i = 0; i < 8; i++)
        {
            uint value = pool[i % 4] ^ constant;
            constant *= 0x58f38ded;
            value *= constant;
            value ^= value >> 16;
            words[i / 2] |= (ulong)value << (32 * (i % 2));
        }

        return words;

        uint HashMix(uint value)
        {
            value ^= hash;
            hash *= 0x931e8875;
            value *= hash;
            return value ^ (value >> 16);
        }
    }
}
