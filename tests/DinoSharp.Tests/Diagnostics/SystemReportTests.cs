using System.Runtime.Intrinsics.X86;
using DinoSharp.Diagnostics;
using Xunit;

namespace DinoSharp.Tests.Diagnostics;

public class SystemReportTests
{
    [Fact]
    public void TheProcessorAgreesWithTheRuntimeAndTheKernel()
    {
        Processor processor = Processor.Inspect();
        Assert.Equal(Avx2.IsSupported, processor.InstructionSets.Contains("avx2"));
        Assert.Equal(Environment.ProcessorCount, processor.LogicalProcessors);
        Assert.InRange(processor.PhysicalCores ?? 1, 1, 4096);
        Assert.SkipUnless(File.Exists("/proc/cpuinfo") && X86Base.IsSupported, "the rest compares with /proc/cpuinfo of an x86 machine");
        string[] flags = File.ReadLines("/proc/cpuinfo").First(line => line.StartsWith("flags")).Split(':')[1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Superset(processor.InstructionSets.ToHashSet(), flags.ToHashSet());
        string NumberOf(string name) => File.ReadLines("/proc/cpuinfo").First(line => line.Split(':')[0].Trim() == name).Split(':')[1].Trim();
        Assert.EndsWith($"(family {NumberOf("cpu family")} model {NumberOf("model")})", processor.Model);
        string[] interesting = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8"];
        Assert.Equal(flags.Intersect(interesting).Order(), processor.InstructionSets.Intersect(interesting).Order());
    }

    [Theory]
    [InlineData(0x000806F8, "family 6 model 143")] // Sapphire Rapids
    [InlineData(0x00A10F11, "family 25 model 17")] // Genoa
    [InlineData(0x00000513, "family 5 model 1")] // the extended numbers do not count
    public void FamilyAndModelAreThoseOfTheManuals(int signature, string expected) => Assert.Equal(expected, Processor.FamilyAndModel(signature));

    [Theory]
    [InlineData("0-3,8", new[] { 0, 1, 2, 3, 8 })]
    [InlineData(" 5\n", new[] { 5 })]
    [InlineData("", new int[0])]
    [InlineData("x-2", new int[0])]
    public void ReadsTheKernelsLists(string text, int[] expected) => Assert.Equal(expected, Processor.ParseRanges(text));

    [Fact]
    public void MemoryIsPlausible()
    {
        Memory memory = Memory.Inspect();
        Assert.InRange(memory.TotalBytes, 1 << 28, 1L << 50);
        Assert.InRange(memory.AvailableBytes, 1 << 20, memory.TotalBytes);
    }

    [Fact]
    public void TheTightestControlGroupCounts()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("outer", "inner"));
        File.WriteAllText(folder.File("cgroup"), "0::/outer/inner\n");
        File.WriteAllText(folder.File("outer", "memory.max"), "1000000\n");
        File.WriteAllText(folder.File("outer", "memory.current"), "400000\n");
        File.WriteAllText(folder.File("outer", "inner", "memory.max"), "max\n");
        Assert.Equal((1000000, 600000), Memory.ControlGroups(folder.File("cgroup"), folder.Path));

        Directory.CreateDirectory(folder.File("memory", "job"));
        File.WriteAllText(folder.File("cgroup"), "7:cpu:/job\n4:memory:/job\n");
        File.WriteAllText(folder.File("memory", "memory.limit_in_bytes"), "9223372036854771712\n");
        File.WriteAllText(folder.File("memory", "job", "memory.limit_in_bytes"), "5000\n");
        File.WriteAllText(folder.File("memory", "job", "memory.usage_in_bytes"), "6000\n");
        Assert.Equal((5000, 0), Memory.ControlGroups(folder.File("cgroup"), folder.Path));
    }

    [Fact]
    public void LibtorchLoadsAndSaysWhatItIs()
    {
        Libtorch torch = Libtorch.Inspect();
        Assert.Null(torch.Error);
        Assert.Matches(@"^\d+\.\d+\.\d+", torch.TorchSharpVersion);
        Assert.InRange(torch.Threads, 1, 1024);
        Assert.SkipUnless(OperatingSystem.IsLinux(), "libtorch tells its versions only on Linux");
        Assert.True(File.Exists(torch.Path));
        Assert.Equal("2.10.0", torch.Version);
        Assert.Matches("^(DEFAULT|AVX2|AVX512)$", torch.CpuCapability);
        Assert.Contains(torch.Backends, backend => backend.StartsWith("MKL 20"));
        Assert.Contains(torch.Backends, backend => backend.StartsWith("oneDNN 3"));
        Assert.NotNull(torch.NativeFix);
    }

    [Fact]
    public void AdviceSaysWhatToDo()
    {
        SystemReport well = SystemReport.Collect() with
        {
            Processor = new("a processor", "X64", ["avx2", "amx_tile"], AmxTilePaletteIsReadable: true, PhysicalCores: 4, LogicalProcessors: 8),
            Memory = new(16L << 30, 8L << 30, null),
            Libtorch = new("0.107.0", null, "/lib/libtorch_cpu.so", "2.10.0", "AVX2", [], Threads: 4, CudaDevices: 1, "/lib/libstdc++.so.6", true, ""),
            ImageLibrary = new("libvips 8.18.0", null),
            Caches = new([new("DinoSharp", "/cache", 1)], null),
        };
        Assert.Empty(well.Advice);

        string Only(SystemReport report) => Assert.Single(report.Advice).ToDo;
        Assert.Equal("set OMP_NUM_THREADS=2", Only(well with { Processor = well.Processor with { LogicalProcessors = 2 } }));
        Assert.Contains("virtual machine", Only(well with { Processor = well.Processor with { InstructionSets = ["avx"] } }));
        Assert.Contains("bfloat16", Only(well with { Processor = well.Processor with { AmxTilePaletteIsReadable = false } }));
        Assert.Contains("--size 224", Only(well with { Memory = new(16L << 30, 1L << 30, null) }));

        Assert.Contains("random:vits16", Only(well with { Caches = new([new("DinoSharp", "/cache", null)], "HF_TOKEN") }));
        Assert.Contains("NetVips.Native", Only(well with { ImageLibrary = new("libvips", "no such file") }));

        SystemReport broken = well with { Libtorch = well.Libtorch with { Error = "cannot open", LibstdcxxIsCurrent = false, NativeFix = "needs it only for a symbol, which no relocation uses" } };
        Assert.True(Assert.Single(broken.Advice).IsProblem);
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the rest is about Linux");
        Assert.Contains("DinoSharpFixNativeLibrary=always", Only(broken));
        Assert.Contains("libstdc++6", Only(broken with { Libtorch = broken.Libtorch with { Libstdcxx = null } }));
    }
}
