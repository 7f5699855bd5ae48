using DinoSharp.Diagnostics;

namespace DinoSharp.Benchmarks;

/// <summary>The class of processor that the goals speak of.</summary>
internal static class Machine
{
    public const string Amx = "AMX", Avx512 = "AVX-512", Avx2 = "AVX2", Other = "other";

    /// <summary>The processor's own name.</summary>
    public static string Processor { get; } = Inspected.Model;

    /// <summary>Of several the newest. Instruction sets that are switched off do not count.</summary>
    public static string Class { get; } = Of(Inspected.InstructionSets);

    /// <summary>The class, and what it includes.</summary>
    public static string Words => Class == Amx ? $"{Avx512}, {Amx}" : Class;

    private static Processor Inspected => Diagnostics.Processor.Inspect();

    // AMX shows itself even where .NET was told to leave out AVX-512, on which our use of it would rest.
    private static string Of(IReadOnlyList<string> sets) => !sets.Contains("avx512f") ? sets.Contains("avx2") ? Avx2 : Other : sets.Contains("amx_tile") ? Amx : Avx512;
}
