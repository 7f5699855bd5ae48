using System.Runtime.InteropServices;
using DinoSharp.Weights;

namespace DinoSharp.Inference;

/// <summary>
/// Activations as the kernels want them: tokens lie side by side in vectors, three vectors make a panel, and a panel holds one row per feature:
/// <c>[panel][feature][3·lanes]</c>. Every step of a block reads and writes this form, so nothing is ever transposed or packed between steps,
/// and all reductions over features run down the rows without crossing lanes.
/// </summary>
/// <param name="memory">Room for <see cref="FloatsFor"/> floats; owned by somebody else.</param>
/// <param name="features">Rows of a panel.</param>
/// <param name="vectors">Vectors of tokens in use; the last panel may have one or two.</param>
/// <param name="lanes">Floats per vector.</param>
internal readonly unsafe struct Panels(float* memory, int features, int vectors, int lanes)
{
    public int Features => features;

    public int Vectors => vectors;

    /// <summary>Floats of a row: three vectors.</summary>
    public int Width => 3 * lanes;

    public int Count => (vectors + 2) / 3;

    public static long FloatsFor(int features, int vectors, int lanes) => (long)((vectors + 2) / 3) * features * 3 * lanes;

    /// <summary>First row of a panel.</summary>
    public float* Panel(int panel) => memory + ((long)panel * features * Width);

    /// <summary>A row of the vector at an index; the next feature lies <see cref="Width"/> floats on.</summary>
    public float* Vector(int vector, int feature) => Panel(vector / 3) + ((long)feature * Width) + (vector % 3 * lanes);

    /// <summary>Vectors in use of a panel: 3, or fewer in the last.</summary>
    public int VectorsOf(int panel) => Math.Min(3, vectors - (3 * panel));
}

/// <summary>Aligned memory outside the managed heap, grown when more is asked for and kept between calls: fresh pages cost more than the arithmetic on them.</summary>
internal sealed unsafe class NativeBuffer : IDisposable
{
    /// <summary>Buffers of an engine are kept for the next call up to this size in all.</summary>
    public const long MostKeptBytes = 256 << 20;

    private void* _memory;

    ~NativeBuffer() => Release();

    /// <summary>Floats there is room for.</summary>
    public long Floats { get; private set; }

    /// <summary>Gives back the buffers of an engine if they are large: fresh pages cost little beside the arithmetic on such a picture, and what comes after it may need the memory.</summary>
    public static void Trim(params ReadOnlySpan<NativeBuffer> buffers)
    {
        long floats = 0;
        foreach (NativeBuffer buffer in buffers) floats += buffer.Floats;
        if (floats * sizeof(float) <= MostKeptBytes) return;
        foreach (NativeBuffer buffer in buffers) buffer.Release();
    }

    /// <summary>Memory for so many floats; when it is new, so many of them are zeroed from the start on, all if not said.</summary>
    public float* Get(long floats, long zeroed = long.MaxValue)
    {
        if (floats > Floats)
        {
            Release();
            nuint bytes = checked((nuint)floats * sizeof(float));
            _memory = NativeMemory.AlignedAlloc(bytes, bytes < 2 * LargePages.PageBytes ? 64 : LargePages.PageBytes);
            LargePages.Ask(_memory, bytes);
            NativeMemory.Clear(_memory, (nuint)Math.Min(floats, zeroed) * sizeof(float));
            Floats = floats;
            GC.AddMemoryPressure(floats * sizeof(float));
        }

        return (float*)_memory;
    }

    public void Dispose()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives the memory back; the next call gets fresh pages.</summary>
    public void Release()
    {
        if (Floats > 0) GC.RemoveMemoryPressure(Floats * sizeof(float));
        NativeMemory.AlignedFree(_memory);
        _memory = null;
        Floats = 0;
    }
}
