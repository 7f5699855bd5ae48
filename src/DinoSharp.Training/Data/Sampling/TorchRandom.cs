namespace DinoSharp.Training.Data.Sampling;

/// <summary>
/// Draws the same numbers as torch's default CPU generator with the same seed, one element at a time, without making a tensor for each:
/// a 32-bit Mersenne Twister (Matsumoto and Nishimura 1998) and torch's rules for turning its words into uniform floats, integers and permutations.
/// Not safe for use by several threads at once.
/// </summary>
/// <param name="seed">Only the low 32 bits count, as in torch.</param>
internal sealed class TorchRandom(ulong seed)
{
    private const int Length = 624;
    private const int Middle = 397;

    private readonly uint[] _state = Seeded(seed);
    private int _next = Length;

    /// <summary>The next 32 random bits.</summary>
    public uint NextUInt32()
    {
        if (_next == Length) Twist();
        uint y = _state[_next++];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c5680;
        y ^= (y << 15) & 0xefc60000;
        return y ^ (y >> 18);
    }

    /// <summary>Two words, the first one in the high half.</summary>
    public ulong NextUInt64() => ((ulong)NextUInt32() << 32) | NextUInt32();

    /// <summary><c>torch.rand(1)</c>: 24 random bits in [0, 1).</summary>
    public float NextSingle() => (NextUInt32() & 0xffffff) * (1f / (1 << 24));

    /// <summary><c>torch.empty(1).uniform_(low, high)</c> in float32.</summary>
    public float Uniform(float low, float high) => MathF.FusedMultiplyAdd(NextSingle(), high - low, low);

    /// <summary><c>torch.randint(low, high, (1,))</c>: low … high − 1.</summary>
    public long Integer(long low, long high)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(high, low);
        ulong range = (ulong)(high - low);
        return low + (long)((range >= 1UL << 28 ? NextUInt64() : NextUInt32()) % range);
    }

    /// <summary><c>torch.randperm(n)</c>.</summary>
    public int[] Permutation(int n)
    {
        int[] order = new int[n];
        if (n < uint.MaxValue / 20)
        {
            for (int i = 0; i < n; i++) order[i] = i;
            for (int i = 0; i < n - 1; i++)
            {
                int j = i + (int)(NextUInt32() % (uint)(n - i));
                (order[i], order[j]) = (order[j], order[i]);
            }
        }
        else
        {
            // torch changes the method where 32 bits would no longer be nearly uniform.
            for (int i = 0; i < n; i++)
            {
                int j = (int)(NextUInt64() % (ulong)(i + 1));
                order[i] = order[j];
                order[j] = i;
            }
        }

        return order;
    }

    /// <summary>
    /// A seed for one sample that has nothing in common with its neighbours': the mixing function of SplitMix64 (Steele et al. 2014) over the run's seed, the stream and the position.
    /// </summary>
    public static ulong SeedOf(ulong seed, ulong stream, ulong position) => Mix(Mix(Mix(seed) ^ stream) ^ position);

    private static ulong Mix(ulong z)
    {
        z += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }

    private static uint[] Seeded(ulong seed)
    {
        uint[] state = new uint[Length];
        state[0] = (uint)seed;
        for (int i = 1; i < Length; i++) state[i] = 1812433253u * (state[i - 1] ^ (state[i - 1] >> 30)) + (uint)i;
        return state;
    }

    private void Twist()
    {
        uint[] s = _state;
        for (int i = 0; i < Length; i++)
        {
            uint y = (s[i] & 0x80000000) | (s[i + 1 == Length ? 0 : i + 1] & 0x7fffffff);
            s[i] = s[i + Middle < Length ? i + Middle : i + Middle - Length] ^ (y >> 1) ^ ((y & 1) == 0 ? 0u : 0x9908b0dfu);
        }

        _next = 0;
    }
}
