using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DinoSharp.Inference;

/// <summary>One side of a product of matrices: lines of the same depth, in either order of memory.</summary>
/// <param name="data">Numbers in rows without gaps.</param>
/// <param name="lines">How many lines.</param>
/// <param name="depth">Numbers of a line.</param>
/// <param name="alongDepth">Whether a line lies in one piece, [lines, depth]; otherwise the matrix is stored as [depth, lines].</param>
internal readonly unsafe struct Side(float* data, int lines, int depth, bool alongDepth)
{
    public float* Data => data;

    public int Lines => lines;

    public int Depth => depth;

    public bool AlongDepth => alongDepth;
}

/// <summary>Products of ordinary row-major matrices on the register tile, for what is trained: weights change at every step, so both sides are laid out anew each time.</summary>
/// <remarks><c>C[i, j] = bias[j] + Σₖ left[i, k]·right[j, k]</c>. Both sides are packed as the tile reads them, 512 steps at a time (left lines by the task that multiplies them, so that they
/// are in its second-level cache; right lines by all workers). The order of the additions depends on the depth alone, neither on the number of threads nor on the other lines.</remarks>
/// <typeparam name="L">The lanes.</typeparam>
/// <typeparam name="V">The vector type.</typeparam>
internal static unsafe class MatrixProduct<L, V>
    where L : struct, ILanes<V>
    where V : struct
{
    private const int DepthAtOnce = 512;

    // Of a panel so many steps stay in the first-level cache (24 KB on 512 bits) while all groups of a task meet them.
    private const int StepsAtOnce = 128;

    private const int GroupsAtOnce = 16;

    // Right lines at once: 512 steps of them take 6 MB.
    private const int LinesAtOnce = 3072;

    private const int MostTile = 8 * 48; // rows times a row of a panel, on 512 bits

    private static readonly NativeBuffer Right = new();

    [ThreadStatic] private static NativeBuffer? _left;

    private static int Width => 3 * L.Count;

    /// <summary>Computes the product.</summary>
    /// <param name="workers">All of them; the caller has their turn.</param>
    /// <param name="left">[M lines]</param>
    /// <param name="right">[N lines], as deep as the left.</param>
    /// <param name="bias">[N], or null.</param>
    /// <param name="result">[M, N]</param>
    public static void Multiply(Workers workers, Side left, Side right, float* bias, float* result)
    {
        int groups = (left.Lines + L.Rows - 1) / L.Rows, perTask = Math.Clamp(groups / (6 * workers.Count), 1, GroupsAtOnce);
        for (int first = 0; first < right.Lines; first += LinesAtOnce)
        {
            int lines = Math.Min(LinesAtOnce, right.Lines - first), panels = (lines + Width - 1) / Width;
            for (int k = 0; k < right.Depth; k += DepthAtOnce)
            {
                int depth = Math.Min(DepthAtOnce, right.Depth - k);
                float* packed = Right.Get((long)panels * depth * Width);
                (int start, int line) = (k, first);
                workers.Phase(panels, panel => Pack(right, line + (panel * Width), Math.Min(Width, lines - (panel * Width)), Width, start, depth, packed + ((long)panel * depth * Width)));
                workers.Phase((groups + perTask - 1) / perTask, task =>
                    Block(left, task * perTask, Math.Min(perTask, groups - (task * perTask)), start, depth, packed, lines, bias == null ? null : bias + line, result + line, right.Lines));
            }
        }
    }

    // Groups of left lines against all packed right lines.
    [MethodImpl(Kernels.Hot), SkipLocalsInit]
    private static void Block(Side left, int firstGroup, int groups, int k, int depth, float* packed, int lines, float* bias, float* result, long stride)
    {
        float* memory = stackalloc float[(GroupsAtOnce * MostTile) + 16], tiles = PanelOperations<L, V>.Aligned(memory);
        int ofGroup = depth * L.Rows, firstLine = firstGroup * L.Rows;
        float* a = (_left ??= new NativeBuffer()).Get((long)GroupsAtOnce * DepthAtOnce * L.Rows);
        for (int g = 0; g < groups; g++) Pack(left, firstLine + (g * L.Rows), Math.Min(L.Rows, left.Lines - firstLine - (g * L.Rows)), L.Rows, k, depth, a + (g * ofGroup));
        for (int column = 0; column < lines; column += Width)
        {
            int columns = Math.Min(Width, lines - column), vectors = (columns + L.Count - 1) / L.Count;
            float* b = packed + ((long)column * depth);
            for (int step = 0; step < depth; step += StepsAtOnce)
            {
                int steps = Math.Min(StepsAtOnce, depth - step);
                for (int g = 0; g < groups; g++)
                {
                    float* rows = a + (g * ofGroup) + (step * L.Rows), tile = tiles + (g * MostTile);
                    Tile<L, V>.Multiply(vectors, steps, rows, g + 1 < groups ? rows + ofGroup : a, b + (step * Width), b + (step * Width), tile, accumulate: step > 0);
                    if (step + steps < depth) continue;
                    int row = firstLine + (g * L.Rows);
                    Finish(tile, Math.Min(L.Rows, left.Lines - row), columns, k > 0 || bias == null ? null : bias + column, result + (row * stride) + column, stride, accumulate: k > 0);
                }
            }
        }
    }

    [MethodImpl(Kernels.Hot)]
    private static void Finish(float* tile, int rows, int columns, float* bias, float* target, long stride, bool accumulate)
    {
        for (int r = 0; r < rows; r++)
        {
            int c = 0;
            for (; c + L.Count <= columns; c += L.Count)
            {
                V value = L.Load(tile + c);
                if (bias != null) value = L.Add(value, L.Load(bias + c));
                if (accumulate) value = L.Add(value, L.Load(target + c));
                L.Store(target + c, value);
            }

            for (; c < columns; c++)
            {
                float value = tile[c];
                if (bias != null) value += bias[c];
                if (accumulate) value += target[c];
                target[c] = value;
            }

            tile += Width;
            target += stride;
        }
    }

    // Lines side by side, step after step; missing ones are zero.
    [MethodImpl(Kernels.Hot)]
    private static void Pack(Side source, int line, int lines, int width, int k, int depth, float* target)
    {
        if (source.AlongDepth)
        {
            int i = 0;
            for (; i + 8 <= lines; i += 8) Transpose(source.Data + ((long)(line + i) * source.Depth) + k, source.Depth, depth, target + i, width);
            for (; i < lines; i++)
            {
                float* from = source.Data + ((long)(line + i) * source.Depth) + k;
                for (int s = 0; s < depth; s++) target[(s * width) + i] = from[s];
            }
        }
        else
        {
            float* from = source.Data + ((long)k * source.Lines) + line;
            for (int s = 0; s < depth; s++)
            {
                float* to = target + (s * width);
                int i = 0;
                for (; i + 8 <= lines; i += 8) Vector256.Load(from + i).Store(to + i);
                for (; i < lines; i++) to[i] = from[i];
                from += source.Lines;
            }
        }

        if (lines == width) return;
        for (int s = 0; s < depth; s++) new Span<float>(target + (s * width) + lines, width - lines).Clear();
    }

    // Eight lines become eight columns.
    [MethodImpl(Kernels.Hot)]
    private static void Transpose(float* source, int stride, int depth, float* target, int width)
    {
        float* s0 = source, s1 = s0 + stride, s2 = s1 + stride, s3 = s2 + stride, s4 = s3 + stride, s5 = s4 + stride, s6 = s5 + stride, s7 = s6 + stride;
        int k = 0;
        for (; k + 8 <= depth; k += 8)
        {
            Vector256<float> a = Vector256.Load(s0 + k), b = Vector256.Load(s1 + k), c = Vector256.Load(s2 + k), d = Vector256.Load(s3 + k);
            Vector256<float> e = Vector256.Load(s4 + k), f = Vector256.Load(s5 + k), g = Vector256.Load(s6 + k), h = Vector256.Load(s7 + k);
            (Vector256<float> ab0, Vector256<float> ab1, Vector256<float> cd0, Vector256<float> cd1) = (Avx.UnpackLow(a, b), Avx.UnpackHigh(a, b), Avx.UnpackLow(c, d), Avx.UnpackHigh(c, d));
            (Vector256<float> ef0, Vector256<float> ef1, Vector256<float> gh0, Vector256<float> gh1) = (Avx.UnpackLow(e, f), Avx.UnpackHigh(e, f), Avx.UnpackLow(g, h), Avx.UnpackHigh(g, h));
            (a, b, c, d) = (Avx.Shuffle(ab0, cd0, 0x44), Avx.Shuffle(ab0, cd0, 0xEE), Avx.Shuffle(ab1, cd1, 0x44), Avx.Shuffle(ab1, cd1, 0xEE));
            (e, f, g, h) = (Avx.Shuffle(ef0, gh0, 0x44), Avx.Shuffle(ef0, gh0, 0xEE), Avx.Shuffle(ef1, gh1, 0x44), Avx.Shuffle(ef1, gh1, 0xEE));
            Avx.Permute2x128(a, e, 0x20).Store(target);
            Avx.Permute2x128(b, f, 0x20).Store(target + width);
            Avx.Permute2x128(c, g, 0x20).Store(target + (2 * width));
            Avx.Permute2x128(d, h, 0x20).Store(target + (3 * width));
            Avx.Permute2x128(a, e, 0x31).Store(target + (4 * width));
            Avx.Permute2x128(b, f, 0x31).Store(target + (5 * width));
            Avx.Permute2x128(c, g, 0x31).Store(target + (6 * width));
            Avx.Permute2x128(d, h, 0x31).Store(target + (7 * width));
            target += 8 * width;
        }

        for (; k < depth; k++)
        {
            (target[0], target[1], target[2], target[3], target[4], target[5], target[6], target[7]) = (s0[k], s1[k], s2[k], s3[k], s4[k], s5[k], s6[k], s7[k]);
            target += width;
        }
    }
}
