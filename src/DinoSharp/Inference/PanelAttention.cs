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
    private const int KeyBlock = 128;

    // Rotates queries and keys in place and lays the values of each head out by token: [image][head][token][E].
    private static void Prepare(Workers workers, Panels qkv, AttentionShape shape, float* cos, float* sin, float* values)
    {
        workers.Phase(shape.Images * shape.Heads, [MethodImpl(Kernels.Hot)] (task) =>
        {
            int image = task / shape.Heads, head = task % shape.Heads, e = shape.HeadWidth, half = e / 2;
            float* target = values + ((long)task * shape.Tokens * e);
            for (int v = 0; v < shape.Vectors; v++)
            {
                int vector = (image * shape.Vectors) + v;
                for (int part = 0; part < 2; part++)
                {
                    float* row = qkv.Vector(vector, (part * shape.Heads * e) + (head * e)), other = row + ((long)half * qkv.Width);
                    for (int i = 0; i < half; i++)
                    {
                        long table = ((long)i * shape.Vectors * L.Count) + (v * L.Count);
                        V c = L.Load(cos + table), s = L.Load(sin + table), a = L.Load(row), b = L.Load(other);
                        L.Store(row, L.Subtract(L.Multiply(a, c), L.Multiply(b, s)));
                        L.Store(other, L.Fma(b, c, L.Multiply(a, s)));
                        row += qkv.Width;
                        other += qkv.Width;
                    }
                }

                float* value = qkv.Vector(vector, (2 * shape.Heads * e) + (head * e));
                int first = v * L.Count, count = Math.Min(L.Count, shape.Tokens - first);
                for (int i = 0; i < e; i++)
                {
                    for (int t = 0; t < count; t++) target[((long)(first + t) * e) + i] = value[t];
                    value += qkv.Width;
                }
            }
        });
    }

    /// <summary>Rotates queries and keys, then softmax(q kᵀ / √E) v for every head, written head-major.</summary>
    /// <param name="workers">All of them.</param>
    /// <param name="qkv">Rows [Q | K | V], each head-major; queries and keys are rotated in place.</param>
    /// <param name="shape">Images, heads and tokens.</param>
    /// <param name="cos">[E/2][vectors of an image][lanes]</param>
    /// <param name="sin">The same shape.</param>
    /// <param name="values">Room for the values [B, A, N, E].</param>
    /// <param name="mixed">Receives the result.</param>
    public static void Attend(Workers workers, Panels qkv, AttentionShape shape, float* cos, float* sin, float* values, Panels mixed)
    {
        Prepare(workers, qkv, shape, cos, sin, values);
        // A panel may hold queries of two images; each image takes its own vectors of it.
        int panelsPerImage = (shape.Vectors + 4) / 3;
        workers.Phase(shape.Images * shape.Heads * panelsPerImage, task =>
        {
            int image = task / (shape.Heads * panelsPerImage), head = task / panelsPerImage % shape.Heads;
            int start = image * shape.Vectors, panel = (start / 3) + (task % panelsPerImage);
            int first = Math.Max(start, 3 * panel), end = Math.Min(start + shape.Vectors, (3 * panel) + 3);
            if (first < end) Head(qkv, shape, start, head, first, end - first, values + ((long)((image * shape.Heads) + head) * shape.Tokens * shape.HeadWidth), mixed);
        });
    }

    [MethodImpl(Kernels.Hot)]
    private static void Head(Panels qkv, AttentionShape shape, int imageStart, int head, int query, int vectors, float* values, Panels mixed)
    {
        int e = shape.HeadWidth, width = qkv.Width, n = L.Count;
        float* queries = qkv.Vector(query, head * e);
        float* memory = stackalloc float[((KeyBlock + e + 2) * width) + 16];
        float* scores = PanelOperations<L, V>.Aligned(memory), output = scores + (KeyBlock * width), max = output + (e * width), sum = max + width;
        V scale = L.All(1f / MathF.Sqrt(e));
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
                float* keys = qkv.Vector(imageStart + ((block + key) / n), (shape.Heads * e) + (head * e)) + ((block + key) % n);
                Tile<L, V>.Multiply(vectors, e, keys, width, queries, width, scores + (key * width), width, accumulate: false);
            }

            for (int j = 0; j < vectors; j++) Softmax(scores + (j * n), count, width, scale, max + (j * n), sum + (j * n), block == 0 ? null : output + (j * n), e);
            for (int row = 0; row < e; row += L.Rows)
            {
                Tile<L, V>.Multiply(vectors, count, values + ((long)block * e) + row, e, scores, width, output + (row * width), width, accumulate: block > 0);
            }
        }

        for (int j = 0; j < vectors; j++)
        {
            V inverse = L.Divide(L.All(1f), L.Load(sum + (j * n)));
            float* target = mixed.Vector(query + j, head * e);
            for (int row = 0; row < e; row++) L.Store(target + ((long)row * width), L.Multiply(L.Load(output + (row * width) + (j * n)), inverse));
        }
    }

    // One vector of queries against a block of keys: scores become weights relative to the running maximum; earlier results are scaled down to it.
    [MethodImpl(Kernels.Hot)]
    private static void Softmax(float* scores, int count, int step, V scale, float* max, float* sum, float* output, int outputRows)
    {
        V before = L.Load(max), largest = before;
        for (int k = 0; k < count; k++) largest = L.Max(largest, L.Load(scores + (k * step)));
        V shift = L.Multiply(largest, scale), total = L.All(0);
        for (int k = 0; k < count; k++)
        {
            V weight = Functions<L, V>.Exp(L.Subtract(L.Multiply(L.Load(scores + (k * step)), scale), shift));
            total = L.Add(total, weight);
            L.Store(scores + (k * step), weight);
        }

        if (output != null)
        {
            V shrink = Functions<L, V>.Exp(L.Multiply(L.Subtract(before, largest), scale));
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
