using System.Runtime.CompilerServices;

namespace DinoSharp.Inference;

/// <summary>Tokens in the precision of the next product: float32 panels as they are, or packed into half or a quarter of the room.</summary>
/// <remarks>In bytes a token has a scale and an offset of its own, taken from its smallest and largest number while computing: x ≈ offset + scale · byte.
/// Tokens lie along the lanes, so finding them crosses no lane.</remarks>
/// <typeparam name="L">The lanes.</typeparam>
/// <typeparam name="V">The vector type.</typeparam>
internal readonly unsafe struct Operand<L, V>
    where L : struct, ILanes<V>
    where V : struct
{
    private readonly float* _scales, _offsets;

    private Operand(Panels panels, float* scales, float* offsets)
    {
        Panels = panels;
        _scales = scales;
        _offsets = offsets;
    }

    public Panels Panels { get; }

    /// <summary>Floats of room that tokens need.</summary>
    public static long FloatsFor(int inputs, int vectors, ComputeType type) =>
        type == ComputeType.Float32 ? 0 : Panels.FloatsFor(PackedLinear.StepsOf(inputs, type), vectors, L.Count) + (2L * vectors * L.Count);

    /// <summary>Scale of the tokens of a vector.</summary>
    public V Scale(int vector) => L.Load(_scales + ((long)vector * L.Count));

    /// <summary>Offset of the tokens of a vector.</summary>
    public V Offset(int vector) => L.Load(_offsets + ((long)vector * L.Count));

    /// <summary>Packs tokens; one phase, none in float32.</summary>
    /// <param name="workers">All of them.</param>
    /// <param name="x">The tokens.</param>
    /// <param name="type">Not <see cref="ComputeType.Auto"/>.</param>
    /// <param name="memory">Room for <see cref="FloatsFor"/>.</param>
    public static Operand<L, V> Pack(Workers workers, Panels x, ComputeType type, float* memory)
    {
        if (type == ComputeType.Float32) return new(x, null, null);
        int steps = PackedLinear.StepsOf(x.Features, type);
        long room = Panels.FloatsFor(steps, x.Vectors, L.Count);
        var packed = new Operand<L, V>(new Panels(memory, steps, x.Vectors, L.Count), memory + room, memory + room + ((long)x.Vectors * L.Count));
        workers.Phase(x.Vectors, v =>
        {
            if (type == ComputeType.BFloat16) Halves(x.Vector(v, 0), x.Features, packed.Panels.Vector(v, 0), x.Width);
            else packed.Bytes(v, x.Vector(v, 0), x.Features, packed.Panels.Vector(v, 0), x.Width);
        });
        return packed;
    }

    [MethodImpl(Kernels.Hot)]
    private static void Halves(float* source, int features, float* target, int step)
    {
        for (int f = 0; f < features; f += 2)
        {
            L.Store(target, L.PackHalves(L.Load(source), f + 1 < features ? L.Load(source + step) : L.All(0)));
            source += 2 * step;
            target += step;
        }
    }

    [MethodImpl(Kernels.Hot)]
    private void Bytes(int vector, float* source, int features, float* target, int step)
    {
        V least = L.Load(source), most = least, nothing = L.Multiply(least, L.All(0));
        for (int f = 1; f < features; f++)
        {
            V value = L.Load(source + ((long)f * step));
            (least, most, nothing) = (L.Min(least, value), L.Max(most, value), L.Fma(value, L.All(0), nothing));
        }

        least = L.Add(least, nothing); // bytes know no NaN; a token with one, or with infinity, gets NaN as its offset and so in every product

        V scale = L.Max(L.Multiply(L.Subtract(most, least), L.All(1f / 255)), L.All(1e-30f)), inverse = L.Divide(L.All(1), scale);
        L.Store(_scales + ((long)vector * L.Count), scale);
        L.Store(_offsets + ((long)vector * L.Count), least);
        int f4 = 0;
        for (; f4 + 4 <= features; f4 += 4)
        {
            L.Store(target, L.PackBytes(Byte(0), Byte(1), Byte(2), Byte(3)));
            source += 4 * step;
            target += step;
        }

        // What is beyond the last input meets a weight of zero.
        int rest = features - f4;
        if (rest > 0) L.Store(target, L.PackBytes(Byte(0), rest > 1 ? Byte(1) : L.All(0), rest > 2 ? Byte(2) : L.All(0), L.All(0)));

        V Byte(int i) => L.Min(L.Multiply(L.Subtract(L.Load(source + (i * step)), least), inverse), L.All(255));
    }
}
