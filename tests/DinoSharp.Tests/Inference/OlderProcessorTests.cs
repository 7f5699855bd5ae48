using System.Runtime.Intrinsics;
using DinoSharp.Inference;
using Xunit;

namespace DinoSharp.Tests.Inference;

/// <summary>The tests of the kernels again, in a process that is told that its processor is an older one: what runs there must compute the same.</summary>
public sealed class OlderProcessorTests
{
    private const string PairsIn16Bits = "DINOSHARP_TEST_PAIRS_IN_16_BITS"; // set for the process that is told so

    [Theory]
    [InlineData(false, "DOTNET_EnableAVX512F=0", "DOTNET_EnableAVX512=0")]
    [InlineData(true, "DOTNET_EnableAVX512F=0", "DOTNET_EnableAVX512=0", "DOTNET_EnableAVXVNNI=0")]
    public async Task KernelsComputeTheSame(bool pairsIn16Bits, params string[] settings)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "sets variables by `env`");
        Assert.SkipUnless(Lanes256.IsSupported && (pairsIn16Bits || !DotTile<Lanes256, Vector256<float>>.SumsPairsIn16Bits), "this processor is as old itself");
        Type[] classes = [typeof(LinearTests), typeof(DotTileTests), typeof(FunctionsTests), typeof(EngineTests), typeof(ConvNeXtEngineTests), typeof(ComputeTypeTests), typeof(OlderProcessorTests)];
        string output = (await OtherProgram.RunAsync(
            AppContext.BaseDirectory,
            "env",
            [$"{PairsIn16Bits}={pairsIn16Bits}", .. settings, "dotnet", typeof(OlderProcessorTests).Assembly.Location, "-noColor", .. classes.SelectMany(type => new[] { "-class", type.FullName! }), "-method-", $"*{nameof(KernelsComputeTheSame)}"])).Succeeded();
        Assert.Contains("Failed: 0,", output);
        Assert.DoesNotContain("Total: 0,", output);
    }

    [Fact]
    public void KernelsTakeWhatTheProcessorOffersAndTheProcessAllows()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "reads /proc/cpuinfo");
        string[] flags = File.ReadLines("/proc/cpuinfo").First(line => line.StartsWith("flags", StringComparison.Ordinal)).Split(' ');
        Assert.Equal(flags.Contains("avx512f") && !Off("DOTNET_EnableAVX512") && !Off("DOTNET_EnableAVX512F"), Lanes512.IsSupported);
        bool pairs = !flags.Contains("avx_vnni") || Off("DOTNET_EnableAVXVNNI");
        Assert.Equal(pairs, DotTile<Lanes256, Vector256<float>>.SumsPairsIn16Bits);
        if (Environment.GetEnvironmentVariable(PairsIn16Bits) is { } told) Assert.Equal(bool.Parse(told), pairs);

        static bool Off(string variable) => Environment.GetEnvironmentVariable(variable) == "0";
    }
}
