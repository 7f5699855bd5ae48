using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace DinoSharp.Inference;

/// <summary>The tile of dot products for AVX-512 as machine code written at start, because .NET 10 has no intrinsics for <c>vpdpbusd</c> (VNNI) and <c>vdpbf16ps</c> (BF16) on 512 bits.</summary>
/// <remarks>One small loop in eleven variants, Linux on x64 only (its calling convention is assumed). Memory is writable first and executable afterwards, never both.
/// Encodings: Intel SDM volume 2, section 2.7 (EVEX) and the pages of the five instructions.</remarks>
internal static unsafe class DotCode
{
    /// <summary>Rows of a tile.</summary>
    public const int Rows = 8;

    private const int RowBytes = 192; // of B and C: three vectors

    private static readonly byte* Memory;
    private static readonly int[] Starts = new int[11];

    static DotCode()
    {
        if (!OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != Architecture.X64 || !Avx512F.IsSupported) return;
        bool bytes = (X86Base.CpuId(7, 0).Ecx >> 11 & 1) != 0, halves = X86Base.CpuId(7, 0).Eax >= 1 && (X86Base.CpuId(7, 1).Eax >> 5 & 1) != 0;
        if (!bytes && !halves) return;
        var code = new List<byte>();
        for (int kind = 0; kind < 3; kind++)
        {
            for (int vectors = 1; vectors <= 3; vectors++)
            {
                while (code.Count % 64 != 0) code.Add(0xCC);
                Starts[(3 * kind) + vectors - 1] = code.Count;
                Write(code, Rows, vectors, bytes: kind == 0, accumulate: kind == 2);
            }
        }

        for (int kind = 0; kind < 2; kind++)
        {
            while (code.Count % 64 != 0) code.Add(0xCC);
            Starts[9 + kind] = code.Count;
            Write(code, 2 * Rows, 1, bytes: kind == 0, accumulate: false);
        }

        const int read = 1, write = 2, execute = 4, privateAndAnonymous = 0x22;
        void* memory = Map(null, (nuint)code.Count, read | write, privateAndAnonymous, -1, 0);
        if (memory == (void*)-1) return;
        CollectionsMarshal.AsSpan(code).CopyTo(new Span<byte>(memory, code.Count));
        if (Protect(memory, (nuint)code.Count, read | execute) != 0) return; // a system that forbids it computes without
        Memory = (byte*)memory;
        (SupportsBytes, SupportsHalves) = (bytes, halves);
    }

    /// <summary>Why a kind of tile does not run here.</summary>
    public static string Missing(string instructions) => OperatingSystem.IsLinux()
        ? $"this processor has no {instructions}, or the system forbids memory that is made executable"
        : $"kernels with {instructions} exist for Linux only";

    /// <summary>Whether <see cref="Bytes"/> runs here.</summary>
    public static bool SupportsBytes { get; }

    /// <summary>Whether <see cref="Halves"/> runs here.</summary>
    public static bool SupportsHalves { get; }

    /// <summary><c>C[r, j] = Σₖ Σᵢ A[k, r, i]·B[k, j, i]</c> over four bytes i: A signed, B unsigned, C int32 [8, 16·vectors] with 48 to a row.</summary>
    public static void Bytes(int vectors, int depth, void* a, int aStep, void* b, void* c) => Call(vectors - 1, depth, a, aStep, b, c, null);

    /// <summary>The same over two bfloat16 numbers i, C being float32.</summary>
    public static void Halves(int vectors, int depth, void* a, int aStep, void* b, void* c, bool accumulate) => Call((accumulate ? 6 : 3) + vectors - 1, depth, a, aStep, b, c, null);

    /// <summary>Two tiles of one vector, the second below the first in C: eight sums alone wait for each other, which costs bfloat16 a third of its speed.</summary>
    public static void Pair(bool bytes, int depth, void* a, void* aBelow, int aStep, void* b, void* c) => Call(bytes ? 9 : 10, depth, a, aStep, b, c, aBelow);

    private static void Call(int variant, int depth, void* a, int aStep, void* b, void* c, void* aBelow) =>
        ((delegate* unmanaged[SuppressGCTransition]<nint, void*, nint, void*, void*, void*, void>)(Memory + Starts[variant]))(depth, a, 4 * (nint)aStep, b, c, aBelow);

    // rdi: steps, rsi: A, rdx: bytes of a step of A, rcx: B, r8: C, r9: A of rows from 8 on. zmm0–23 hold the tile, zmm24–26 a row of B, zmm27–31 numbers of A.
    private static void Write(List<byte> code, int rows, int vectors, bool bytes, bool accumulate)
    {
        const int a = 6, b = 1, c = 8, below = 9;
        for (int r = 0; r < rows; r++)
        {
            for (int j = 0; j < vectors; j++)
            {
                int sum = (vectors * r) + j;
                if (accumulate) Memory512(code, load: true, sum, c, (r * RowBytes) + (64 * j));
                else Evex(code, map: 1, prefix: 1, 0xEF, sum, sum, sum); // vpxord
            }
        }

        int loop = code.Count;
        for (int j = 0; j < vectors; j++) Memory512(code, load: true, 24 + j, b, 64 * j);
        for (int r = 0; r < rows; r++)
        {
            int number = 27 + (r % 5);
            EvexMemory(code, map: 2, prefix: 1, 0x58, number, r < Rows ? a : below, 4 * (r % Rows), unit: 4); // vpbroadcastd
            for (int j = 0; j < vectors; j++) Evex(code, map: 2, prefix: bytes ? 1 : 2, bytes ? (byte)0x50 : (byte)0x52, (vectors * r) + j, 24 + j, number); // vpdpbusd, vdpbf16ps
        }

        code.AddRange([0x48, 0x01, 0xD6]); // add rsi, rdx
        if (rows > Rows) code.AddRange([0x49, 0x01, 0xD1]); // add r9, rdx
        code.AddRange([0x48, 0x81, 0xC1, RowBytes, 0, 0, 0]); // add rcx, 192
        code.AddRange([0x48, 0xFF, 0xCF]); // dec rdi
        code.AddRange([0x0F, 0x85, .. BitConverter.GetBytes(loop - code.Count - 6)]); // jnz loop
        for (int r = 0; r < rows; r++)
        {
            for (int j = 0; j < vectors; j++) Memory512(code, load: false, (vectors * r) + j, c, (r * RowBytes) + (64 * j));
        }

        code.AddRange([0xC5, 0xF8, 0x77, 0xC3]); // vzeroupper, ret
    }

    private static void Memory512(List<byte> code, bool load, int register, int address, int offset) =>
        EvexMemory(code, map: 1, prefix: 0, load ? (byte)0x10 : (byte)0x11, register, address, offset, unit: 64); // vmovups

    private static void Evex(List<byte> code, int map, int prefix, byte opcode, int target, int first, int second)
    {
        Prefix(code, map, prefix, target, first, (second >> 4 & 1) == 0, (second >> 3 & 1) == 0);
        code.AddRange([opcode, (byte)(0xC0 | ((target & 7) << 3) | (second & 7))]);
    }

    // A displacement of one byte counts in units of the operand.
    private static void EvexMemory(List<byte> code, int map, int prefix, byte opcode, int register, int address, int offset, int unit)
    {
        Prefix(code, map, prefix, register, 0, true, (address >> 3 & 1) == 0);
        code.AddRange([opcode, (byte)(0x40 | ((register & 7) << 3) | (address & 7)), checked((byte)(offset / unit))]);
    }

    private static void Prefix(List<byte> code, int map, int prefix, int target, int first, bool x, bool b)
    {
        static int Bit(bool set, int at) => set ? 1 << at : 0;
        code.Add(0x62);
        code.Add((byte)(Bit((target >> 3 & 1) == 0, 7) | Bit(x, 6) | Bit(b, 5) | Bit((target >> 4 & 1) == 0, 4) | map));
        code.Add((byte)(((~first & 15) << 3) | 4 | prefix));
        code.Add((byte)(0x40 | Bit((first >> 4 & 1) == 0, 3)));
    }

    [DllImport("libc", EntryPoint = "mmap", SetLastError = false)]
    private static extern void* Map(void* address, nuint length, int protection, int flags, int file, nint offset);

    [DllImport("libc", EntryPoint = "mprotect", SetLastError = false)]
    private static extern int Protect(void* address, nuint length, int protection);
}
