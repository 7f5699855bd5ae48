using System.Runtime.CompilerServices;

namespace DinoSharp.Inference;

/// <summary><see cref="PanelAttention{L,V}"/> with bfloat16 queries, keys, values and weights; scores, softmax and sums are float32.</summary>
/// <remarks>Two neighbouring channels of a query or key share a lane, and two neighbouring tokens of the values, because those are what the products sum over. Queries are scaled so that their products are exponents of two.</remarks>
/// <typeparam name="L">The lanes.</typeparam>
/// <typeparam name="V">The vector type.</typeparam>
internal static unsafe class HalfAttention<L, V>
    where L : struct, ILanes<V>
    where V : struct
{
    private const int KeyBlock = 256; // even

    // A maximum that is this much too small (an exponent of two) makes weights of up to 65536: nothing is lost, and results are not scaled down for it.
    private const float MostGrowth = 16;

    /// <summary>Floats of room that <see cref="Attend"/> needs.</summary>
    public static long FloatsFor(AttentionShape shape)
    {
        int channels = shape.Heads * shape.HeadWidth;
        return Panels.FloatsFor(channels, shape.Images * shape.Vectors, L.Count) + ((long)shape.Images * channels * ((shape.Tokens + 1) / 2));
    }

    /// <summary>Rotates queries and keys, then softmax(q kᵀ / √E) v for every head, written head-major.</summary>
    /// <param name="workers">All of them.</param>
    /// <param name="qkv">Rows [Q | K | V], each head-major, in float32.</param>
    /// <param name="shape">Images, heads and tokens.</param>
    /// <param name="cos">[E/2][vectors of an image][lanes]</param>
    /// <param name="sin">The same shape.</param>
    /// <param name="room">For <see cref="FloatsFor"/>.</param>
    /// <param name="mixed">Receives the result.</param>
    public static void Attend(Workers workers, Panels qkv, AttentionShape shape, float* cos, float* sin, float* room, Panels mixed)
    {
        // Rows of packed: [Q | K], two channels to a lane.
        var packed = new Panels(room, shape.Heads * shape.HeadWidth, qkv.Vectors, L.Count);
        float* values = room + Panels.FloatsFor(packed.Features, packed.Vectors, L.Count);
        int valuesOfHead = (shape.Tokens + 1) / 2 * shape.HeadWidth;
        workers.Phase(shape.Images * shape.Heads, task => Prepare(qkv, shape, task / shape.Heads, task % shape.Heads, cos, sin, packed, values + ((long)task * valuesOfHead)));

        // A panel may hold queries of two images; each image takes its own vectors of it.
        int panelsPerImage = (shape.Vectors + 4) / 3;
        workers.Phase(shape.Images * shape.Heads * panelsPerImage, task =>
        {
            int image = task / (shape.Heads * panelsPerImage), head = task / panelsPerImage % shape.Heads;
            int start = image * shape.Vectors, panel = (start / 3) + (task % panelsPerImage);
            int first = Math.Max(start, 3 * panel), end = Math.Min(start + shape.Vectors, (3 * panel) + 3);
            if (first < end) Head(packed, shape, start, head, first, end - first, values + ((long)((image * shape.Heads) + head) * valuesOfHead), mixed);
        });
    }

    [MethodImpl(Kernels.Hot), SkipLocalsInit]
    private static void Prepare(Panels qkv, AttentionShape shape, int image, int head, float* cos, float* sin, Panels packed, float* values)
    {
        int e = shape.HeadWidth, half = e / 2, channels = shape.Heads * e, width = qkv.Width;
        V exponentOfTwo = L.All(1.44269504f / MathF.Sqrt(e));
        ushort* narrow = stackalloc ushort[e * L.Count];
        for (int v = 0; v < shape.Vectors; v++)
        {
            int vector = (image * shape.Vectors) + v;
            for (int part = 0; part < 2; part++)
            {
                float* row = qkv.Vector(vector, (part * channels) + (head * e)), target = packed.Vector(vector, ((part * channels) + (head * e)) / 2);
                for (int i = 0; i < half; i += 2)
                {
                    long table = ((long)i * shape.Vectors * L.Count) + (v * L.Count), next = table + (shape.Vectors * L.Count);
                    (V a, V b) = Rotate(row + (i * width), half * width, L.Load(cos + table), L.Load(sin + table), part == 0 ? exponentOfTwo : L.All(1));
                    (V c, V d) = Rotate(row + ((i + 1) * width), half * width, L.Load(cos + next), L.Load(sin + next), part == 0 ? exponentOfTwo : L.All(1));
                    L.Store(target + (i / 2 * width), L.PackHalves(a, c));
                    L.Store(target + ((half + i) / 2 * width), L.PackHalves(b, d));
                }
            }

            float* value = qkv.Vector(vector, (2 * channels) + (head * e));
            int first = v * L.Count, count = Math.Min(L.Count, shape.Tokens - first);
            for (int i = 0; i < e; i++)
            {
                L.StoreNarrow(narrow + (i * L.Count), L.Load(value));
                if (count % 2 != 0) narrow[(i * L.Count) + count] = 0;
                value += width;
            }

            float* pairs = (float*)narrow, to = values + (first / 2 * e);
            for (int pair = 0; pair < (count + 1) / 2; pair += Transposition.Side)
            {
                for (int i = 0; i < e; i += Transposition.Side) Transposition.Copy(pairs + (i * (L.Count / 2)) + pair, L.Count / 2, to + (pair * e) + i, e, Math.Min(Transposition.Side, ((count + 1) / 2) - pair));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (V First, V Second) Rotate(float* at, int toPartner, V cos, V sin, V scale)
    {
        V c = L.Multiply(cos, scale), s = L.Multiply(sin, scale), a = L.Load(at), b = L.Load(at + toPartner);
        return (L.Subtract(L.Multiply(a, c), L.Multiply(b, s)), L.Fma(b, c, L.Multiply(a, s)));
    }

    [MethodImpl(Kernels.Hot), SkipLocalsInit]
    private static void Head(Panels packed, AttentionShape shape, int imageStart, int head, int query, int vectors, float* values, Panels mixed)
    {
        int e = shape.HeadWidth, width = packed.Width, n = L.Count, channels = shape.Heads * e;
        float* queries = packed.Vector(query, head * e / 2);
        float* memory = stackalloc float[((KeyBlock + (KeyBlock / 2) + e + 2) * width) + 16];
        float* scores = PanelOperations<L, V>.Aligned(memory), weights = scores + (KeyBlock * width), output = weights + (KeyBlock / 2 * width), max = output + (e * width), sum = max + width;
        for (int j = 0; j < vectors; j++)
        {
            L.Store(max + (j * n), L.All(float.NegativeInfinity));
            L.Store(sum + (j * n), L.All(0));
        }

        for (int block = 0; block < shape.Tokens; block += KeyBlock)
        {
            int count = Math.Min(KeyBlock, shape.Tokens - block);
            for (int key = 0; key < count; key += L.Rows)
            {
                float* keys = packed.Vector(imageStart + ((block + key) / n), (channels + (head * e)) / 2) + ((block + key) % n);
                DotTile<L, V>.Halves(vectors, e / 2, keys, width, queries, scores + (key * width), accumulate: false);
            }

            for (int j = 0; j < vectors; j++) Softmax(scores + (j * n), weights + (j * n), count, width, max + (j * n), sum + (j * n), block == 0 ? null : output + (j * n), e);
            for (int row = 0; row < e; row += L.Rows)
            {
                DotTile<L, V>.Halves(vectors, (count + 1) / 2, values + (block / 2 * e) + row, e, weights, output + (row * width), accumulate: block > 0);
            }
        }

        for (int j = 0; j < vectors; j++)
        {
            V inverse = L.Divide(L.All(1f), L.Load(sum + (j * n)));
            float* target = mixed.Vector(query + j, head * e);
            for (int row = 0; row < e; row++) L.Store(target + ((long)row * width), L.Multiply(L.Load(output + (row * width) + (j * n)), inverse));
        }
    }

    // One vector of queries against a block of keys: scores become weights relative to the running maximum; earlier results are scaled down to it when it has grown by much.
    [MethodImpl(Kernels.Hot)]
    private static void Softmax(float* scores, float* weights, int count, int step, float* max, float* sum, float* output, int outputRows)
    {
        V before = L.Load(max), largest = before, total = L.All(0);
        for (int k = 0; k < count; k++) largest = L.Max(largest, L.Load(scores + (k * step)));
        bool shrinks = output == null || L.AnyAbove(largest, L.Add(before, L.All(MostGrowth)));
        if (!shrinks) largest = before;
        for (int k = 0; k < count; k += 2)
        {
            V first = Weight(k), second = k + 1 < count ? Weight(k + 1) : L.All(0);
            total = L.Add(total, L.Add(first, second));
            L.Store(weights + (k / 2 * step), L.PackHalves(first, second));
        }

        if (output != null && !shrinks) total = L.Add(total, L.Load(sum));
        else if (output != null)
        {
            V shrink = Functions<L, V>.Exp2(L.Subtract(before, largest));
            total = L.Fma(L.Load(sum), shrink, total);
            for (int row = 0; row < outputRows; row++) L.Store(output + (row * step), L.Multiply(L.Load(output + (row * step)), shrink));
        }

        L.Store(max, largest);
        L.Store(sum, total);

        V Weight(int k) => Functions<L, V>.Exp2(L.Subtract(L.Load(scores + (k * step)), largest));
    }
}
