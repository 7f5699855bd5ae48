using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using System.Text;

namespace DinoSharp.Diagnostics;

/// <summary>The processor as far as it decides which kernels run: instruction sets and how many threads make sense.</summary>
/// <param name="Model">Brand string of the processor, on x86 with the numbers of family and model: virtual machines shorten brand strings until generations share them.</param>
/// <param name="Architecture">For example <c>X64</c>.</param>
/// <param name="InstructionSets">Those that matter for inference, in the spelling of <c>/proc/cpuinfo</c>; only what the operating system lets programs use.</param>
/// <param name="AmxTilePaletteIsReadable">False where AMX is there but CPUID leaf 0x1D reads zero, a trait of some virtual machines; null without AMX.</param>
/// <param name="PhysicalCores">Cores this process may run on; null where the system does not tell.</param>
/// <param name="LogicalProcessors">Hardware threads this process may run on, container limits included.</param>
internal sealed record Processor(
    string Model,
    string Architecture,
    IReadOnlyList<string> InstructionSets,
    bool? AmxTilePaletteIsReadable,
    int? PhysicalCores,
    int LogicalProcessors)
{
    /// <summary>Looks at the machine this process runs on.</summary>
    public static Processor Inspect()
    {
        string[] sets = X86Base.IsSupported ? [.. X86InstructionSets()] : [.. ArmInstructionSets()];
        bool? palette = sets.Contains("amx_tile") ? X86Base.CpuId(0x1D, 0).Eax > 0 : null;
        return new(X86Base.IsSupported ? $"{BrandString()} ({FamilyAndModel(X86Base.CpuId(1, 0).Eax)})" : NameOfOthers(), RuntimeInformation.ProcessArchitecture.ToString(), sets, palette, CountCores(), Environment.ProcessorCount);
    }

    /// <summary>Intel SDM volume 2, CPUID leaves 1 and 7; AVX and AVX-512 as .NET sees them, which includes the operating system's consent.</summary>
    private static IEnumerable<string> X86InstructionSets()
    {
        int leaves = X86Base.CpuId(0, 0).Eax;
        (int Eax, int Ebx, int Ecx, int Edx) seven = leaves >= 7 ? X86Base.CpuId(7, 0) : default, sevenOne = leaves >= 7 ? X86Base.CpuId(7, 1) : default;
        bool Bit(int register, int bit) => (register >> bit & 1) != 0;
        if (Sse42.IsSupported) yield return "sse4_2";
        if (Avx.IsSupported) yield return "avx";
        if (Avx2.IsSupported) yield return "avx2";
        if (Fma.IsSupported) yield return "fma";
        if (Avx.IsSupported && Bit(X86Base.CpuId(1, 0).Ecx, 29)) yield return "f16c";
        if (AvxVnni.IsSupported) yield return "avx_vnni";
        if (Avx512F.IsSupported)
        {
            yield return "avx512f";
            if (Avx512BW.IsSupported) yield return "avx512bw";
            if (Bit(seven.Ecx, 11)) yield return "avx512_vnni";
            if (Bit(sevenOne.Eax, 5)) yield return "avx512_bf16";
            if (Bit(seven.Edx, 23)) yield return "avx512_fp16";
        }

        if (!Bit(seven.Edx, 24) || !KernelAllowsAmx()) yield break;
        yield return "amx_tile";
        if (Bit(seven.Edx, 22)) yield return "amx_bf16";
        if (Bit(seven.Edx, 25)) yield return "amx_int8";
        if (Bit(sevenOne.Eax, 21)) yield return "amx_fp16";
    }

    private static bool KernelAllowsAmx() => !OperatingSystem.IsLinux() || ReadLines("/proc/cpuinfo").Any(line => line.StartsWith("flags", StringComparison.Ordinal) && line.Contains(" amx_tile"));

    private static IEnumerable<string> ArmInstructionSets()
    {
        if (AdvSimd.IsSupported) yield return "neon";
        if (Dp.IsSupported) yield return "dotprod";
    }

    private static string BrandString()
    {
        if ((uint)X86Base.CpuId(unchecked((int)0x80000000), 0).Eax < 0x80000004) return "unknown";
        var text = new StringBuilder();
        for (uint leaf = 0x80000002; leaf <= 0x80000004; leaf++)
        {
            (int a, int b, int c, int d) = X86Base.CpuId(unchecked((int)leaf), 0);
            foreach (int register in (int[])[a, b, c, d]) text.Append(Encoding.ASCII.GetString(BitConverter.GetBytes(register)));
        }

        return string.Join(' ', text.ToString().TrimEnd('\0').Split(' ', StringSplitOptions.RemoveEmptyEntries));
    }

    /// <summary>Intel SDM volume 2 and AMD64 volume 3, CPUID leaf 1: the extended numbers count for families 6 and 15.</summary>
    internal static string FamilyAndModel(int signature)
    {
        int family = signature >> 8 & 15, model = signature >> 4 & 15;
        if (family is 6 or 15) model += (signature >> 16 & 15) << 4;
        if (family == 15) family += signature >> 20 & 255;
        return $"family {family} model {model}";
    }

    private static string NameOfOthers() =>
        ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':', 2)[1].Trim() ?? "unknown";

    private static int? CountCores()
    {
        string[] allowed = [.. ReadLines("/proc/self/status").Where(line => line.StartsWith("Cpus_allowed_list:", StringComparison.Ordinal))];
        if (allowed.Length == 0) return null;
        var cores = new HashSet<string>();
        foreach (int cpu in ParseRanges(allowed[0].Split(':', 2)[1]))
        {
            string siblings = ReadLines($"/sys/devices/system/cpu/cpu{cpu.ToString(CultureInfo.InvariantCulture)}/topology/thread_siblings_list").FirstOrDefault() ?? "";
            if (siblings.Length > 0) cores.Add(siblings);
        }

        return cores.Count > 0 ? cores.Count : null;
    }

    /// <summary>The kernel's list format: <c>0-3,8</c>.</summary>
    internal static IEnumerable<int> ParseRanges(string list)
    {
        foreach (string range in list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            string[] ends = range.Split('-');
            if (!int.TryParse(ends[0], out int first) || !int.TryParse(ends[^1], out int last)) yield break;
            for (int i = first; i <= last; i++) yield return i;
        }
    }

    private static string[] ReadLines(string path) => File.Exists(path) ? File.ReadAllLines(path) : [];
}
