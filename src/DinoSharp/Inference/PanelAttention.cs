using System.Runtime.CompilerServices;

namespace DinoSharp.Inference;

/// <summary>Rotary positions and attention on panels, without ever holding more scores than one block of keys for one panel of queries.</summary>
/// <remarks>Scores are computed with keys down the rows and queries along the lanes, so the softmax (online, as in FlashAttention, Dao et al. 2022)
/// needs no sum across lanes and its result is already the operand of the product with the values.</remarks>
/// <typeparam name="L">The lanes.</typeparam>
/// <typeparam name="V">The vector type.</typeparam>
internal static unsafe class PanelAttention<L, V>
    where L : struct, ILanes<V>
    where V : struct
{
    // Scores of a block, outputs and queries stay in the first-level cache together.
    private const int MostKeys = 64;

    // A maximum that is this much too small (an exponent of two) makes weights of up to 65536: nothing is lost, and results are not scaled down for it.
    private const float MostGrowth = 16;

    /// <summary>Floats of room that <see cref="Attend"/> needs: keys and values as the tile reads them.</summary>
    public static long FloatsFor(AttentionShape shape) => 2L * shape.Images * shape.Heads * shape.HeadWidth * shape.Vectors * L.Count;

    /// <summary>Rotates queries and keys, then softmax(q kᵀ / √E) v for every head, written head-major.</summary>
    /// <param name="workers">All of them.</param>
    /// <param name="qkv">Rows [Q | K | V], each head-major; queries are rotated in place.</param>
    /// <param name="shape">Images, heads and tokens.</param>
    /// <param name="cos">[E/2][vectors of an image][lanes]</param>
    /// <param name="sin">The same shape.</param>
    /// <param name="room">For <see cref="FloatsFor"/>.</param>
    /// <param name="mixed">Receives the result.</param>
    public static void Attend(Workers workers, Panels qkv, AttentionShape shape, float* cos, float* sin, float* room, Panels mixed)
    {
        long ofHead = 2L * shape.HeadWidth * shape.Vectors * L.Count;
        workers.Phase(shape.Images * shape.Heads, task => Prepare(qkv, shape, task / shape.Heads, task % shape.Heads, cos, sin, room + (task * ofHead)));

        // A panel may hold queries of two images; each image takes its own vectors of it.
        int panelsPerImage = (shape.Vectors + 4) / 3;
        workers.Phase(shape.Images * shape.Heads * panelsPerImage, task =>
        {
            int image = task / (shape.Heads * panelsPerImage), head = task / panelsPerImage % shape.Heads;
            int start = image * shape.Vectors, panel = (start / 3) + (task % panelsPerImage);
            int first = Math.Max(start, 3 * panel), end = Math.Min(start + shape.Vectors, (3 * panel) + 3);
            if (first < end) Head(qkv, shape, head, first, end - first, room + (((image * shape.Heads) + head) * ofHead), mixed);
        });
    }

    // Rotates the queries in place, scaled so that their products are exponents of two. Rotated keys become [group of tokens][E][token of the group] and
    // values [group of channels][token][channel of the group].
    [MethodImpl(Kernels.Hot)]
    private static void Prepare(Panels qkv, AttentionShape shape, int image, int head, float* cos, float* sin, float* keys)
    {
        int e = shape.HeadWidth, half = e / 2, width = qkv.Width, rows = L.Rows, tokens = shape.Vectors * L.Count;
        float* values = keys + ((long)e * tokens);
        V scale = L.All(1.44269504f / MathF.Sqrt(e));
        for (int v = 0; v < shape.Vectors; v++)
        {
            int vector = (image * shape.Vectors) + v;
            float* query = qkv.Vector(vector, head * e), key = qkv.Vector(vector, (shape.Heads + head) * e), value = qkv.Vector(vector, ((2 * shape.Heads) + head) * e);
            float* lower = keys + ((long)v * L.Count * e), upper = lower + (rows * e);
            for (int i = 0; i < half; i++)
            {
                long table = ((long)i * tokens) + (v * L.Count);
                V c = L.Load(cos + table), s = L.Load(sin + table), a = L.Load(key), b = L.Load(key + ((long)half * width));
                L.StoreHalves(lower + (i * rows), upper + (i * rows), L.Subtract(L.Multiply(a, c), L.Multiply(b, s)));
                L.StoreHalves(lower + ((half + i) * rows), upper + ((half + i) * rows), L.Fma(b, c, L.Multiply(a, s)));
                (c, s, a, b) = (L.Multiply(c, scale), L.Multiply(s, scale), L.Load(query), L.Load(query + ((long)half * width)));
                L.Store(query, L.Subtract(L.Multiply(a, c), L.Multiply(b, s)));
                L.Store(query + ((long)half * width), L.Fma(b, c, L.Multiply(a, s)));
                query += width;
                key += width;
            }

            for (int row = 0; row < e; row += rows)
            {
                float* target = values + ((long)row * tokens) + (v * L.Count * rows);
                for (int t = 0; t < L.Count && rows == Transposition.Side; t += rows) Transposition.Copy(value + t, width, target + (t * rows), rows, rows);
                for (int t = 0; t < L.Count && rows < Transposition.Side; t++)
                {
                    for (int i = 0; i < rows; i += 4)
                    {
                        float* from = value + (i * width) + t;
                        (target[i], target[i + 1], target[i + 2], target[i + 3]) = (from[0], from[width], from[2 * width], from[3 * width]);
                    }

                    target += rows;
                }

                value += rows * width;
            }
        }
    }

    [MethodImpl(Kernels.Hot), SkipLocalsInit]
    private static void Head(Panels qkv, AttentionShape shape, int head, int query, int vectors, float* keys, Panels mixed)
    {
        int e = shape.HeadWidth, width = qkv.Width, n = L.Count, rows = L.Rows, tokens = shape.Vectors * n;
        float* queries = qkv.Vector(query, head * e), values = keys + ((long)e * tokens);
        int blocks = (shape.Tokens + MostKeys - 1) / MostKeys, ofBlock = ((shape.Tokens + blocks - 1) / blocks + rows - 1) / rows * rows; // blocks of one size: a short one would waste its tiles
        float* memory = stackalloc float[((ofBlock + e + 2) * width) + 16];
        float* scores = PanelOperations<L, V>.Aligned(memory), output = scores + (ofBlock * width), max = output + (e * width), sum = max + width;
        for (int j = 0; j < vectors; j++)
        {
            L.Store(max + (j * n), L.All(float.NegativeInfinity));
            L.Store(sum + (j * n), L.All(0));
        }

        for (int block = 0; block < shape.Tokens; block += ofBlock)
        {
            int count = Math.Min(ofBlock, shape.Tokens - block);
            float* value = values + ((long)block * rows);
            for (int key = 0; key < count; key += rows)
            {
                float* a = keys + ((long)(block + key) * e);
                Tile<L, V>.Multiply(vectors, e, a, key + rows < count ? a + (rows * e) : value, queries, queries, scores + (key * width), accumulate: false);
            }

            for (int j = 0; j < vectors; j++) Softmax(scores + (j * n), count, width, max + (j * n), sum + (j * n), block == 0 ? null : output + (j * n), e);
            for (int row = 0; row < e; row += rows)
            {
                float* a = value + ((long)row * tokens);
                Tile<L, V>.Multiply(vectors, count, a, row + rows < e ? a + ((long)rows * tokens) : keys + ((long)(block + count) * e), scores, scores, output + (row * width), accumulate: block > 0);
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
    private static void Softmax(float* scores, int count, int step, float* max, float* sum, float* output, int outputRows)
    {
        V before = L.Load(max), largest = before, total = L.All(0);
        for (int k = 0; k < count; k++) largest = L.Max(largest, L.Load(scores + (k * step)));
        bool shrinks = output == null || L.AnyAbove(largest, L.Add(before, L.All(MostGrowth)));
        if (!shrinks) largest = before;
        for (int k = 0; k < count; k++)
        {
            V weight = Functions<L, V>.Exp2(L.Subtract(L.Load(scores + (k * step)), largest));
            total = L.Add(total, weight);
            L.Store(scores + (k * step), weight);
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
    }
}

/// <summary>How tokens are laid out for attention.</summary>
/// <param name="Images">Images B.</param>
/// <param name="Tokens">Tokens of an image N.</param>
/// <param name="Vectors">Vectors of an image; the lanes beyond N in the last are padding.</param>
/// <param name="Heads">Heads A.</param>
/// <param name="HeadWidth">Width of a head E.</param>
internal readonly record struct AttentionShape(int Images, int Tokens, int Vectors, int Heads, int HeadWidth);
