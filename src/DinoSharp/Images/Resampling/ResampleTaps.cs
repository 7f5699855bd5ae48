namespace DinoSharp.Images;

/// <summary>For one axis: which source samples make each new one, and with which weights (antialiased, half-pixel centres).</summary>
internal sealed class ResampleTaps
{
    private ResampleTaps(int count, int stride)
    {
        Count = count;
        Stride = stride;
        First = new int[count];
        Lengths = new int[count];
        Weights = new double[count * stride];
    }

    /// <summary>New length m.</summary>
    public int Count { get; }

    /// <summary>Distance between the weights of neighbouring new samples: the longest window, rounded up to a multiple of 4; the rest are zeros.</summary>
    public int Stride { get; }

    /// <summary>First source sample of each window.</summary>
    public int[] First { get; }

    /// <summary>Number of source samples of each window.</summary>
    public int[] Lengths { get; }

    /// <summary>Weights, [m, Stride], each row summing to 1.</summary>
    public double[] Weights { get; }

    /// <summary>Windows and weights as Pillow and PyTorch compute them.</summary>
    /// <param name="from">Old length n.</param>
    /// <param name="to">New length m.</param>
    /// <param name="interpolation">Bilinear or bicubic.</param>
    /// <param name="singlePrecision">Every step in fp32, as PyTorch does for float tensors; 8-bit arithmetic starts from double.</param>
    public static ResampleTaps Build(int from, int to, Interpolation interpolation, bool singlePrecision)
    {
        bool cubic = interpolation == Interpolation.Bicubic;
        double scale = Round((double)from / to), width = Math.Max(scale, 1), inverse = Round(scale >= 1 ? 1 / scale : 1);
        double support = Round((cubic ? 2 : 1) * width);
        int longest = (int)Math.Ceiling(support) * 2 + 1;
        var taps = new ResampleTaps(to, (longest + 3) / 4 * 4);
        for (int o = 0; o < to; o++)
        {
            double center = Round(scale * (o + 0.5));
            int first = Math.Max(0, (int)(Round(center - support) + 0.5)), end = Math.Min(from, (int)(Round(center + support) + 0.5));
            int length = Math.Clamp(end - first, 0, longest);
            Span<double> weights = taps.Weights.AsSpan(o * taps.Stride, length);
            double sum = 0;
            for (int k = 0; k < length; k++)
            {
                double x = Round((Round(first + k - center) + 0.5) * inverse);
                weights[k] = cubic ? Cubic(x) : Triangle(x);
                sum = Round(sum + weights[k]);
            }

            for (int k = 0; k < length && sum != 0; k++) weights[k] = Round(weights[k] / sum);
            taps.First[o] = first;
            taps.Lengths[o] = length;
        }

        return taps;

        double Round(double value) => singlePrecision ? (float)value : value;

        double Triangle(double x) => Math.Abs(x) < 1 ? Round(1 - Math.Abs(x)) : 0;

        double Cubic(double x)
        {
            const double A = -0.5;
            x = Math.Abs(x);
            return x < 1 ? Round(Round(Round(Round(Round((A + 2) * x) - (A + 3)) * x) * x) + 1)
                : x < 2 ? Round(Round(Round(Round(Round(Round(Round(x - 5) * x) + 8) * x) - 4)) * A)
                : 0;
        }
    }

    /// <summary>Weights as integers with <paramref name="bits"/> fractional bits, rounded half away from zero.</summary>
    public int[] Quantize(int bits)
    {
        int[] quantized = new int[Weights.Length];
        for (int i = 0; i < quantized.Length; i++) quantized[i] = (int)(Weights[i] * (1 << bits) + (Weights[i] < 0 ? -0.5 : 0.5));
        return quantized;
    }

    /// <summary>The most fractional bits, at most 22, with which the largest weight still fits 16 bits.</summary>
    public int SixteenBitPrecision()
    {
        double largest = Weights.Max();
        int bits = 0;
        while (bits < 22 && (int)(largest * (1 << (bits + 1)) + 0.5) < 1 << 15) bits++;
        return bits;
    }
}
