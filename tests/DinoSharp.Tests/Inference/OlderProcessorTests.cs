using System.Runtime.Intrinsics;
using DinoSharp.Inference;
using Xunit;

namespace DinoSharp.Tests.Inference;

/// <summary>The tests of the kernels again, in a process that is told that its processor is an older one: what runs there must compute the same.</summary>
public sealed class OlderProcessorTests
{
    private const string LargestByte = "DINOSHARP_TEST_LARGEST_BYTE"; // set for the process that is told so

    [Theory]
    [InlineData("255", "DOTNET_EnableAVX512F=0", "DOTNET_EnableAVX512=0")]
    [InlineData("127", "DOTNET_EnableAVX512F=0", "DOTNET_EnableAVX512=0", "DOTNET_EnableAVXVNNI=0")]
    public async Task KernelsComputeTheSame(string largestByte, params string[] settings)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "sets variables by `env`");
        Assert.SkipUnless(Lanes256.IsSupported && DotTile<Lanes256, Vector256<float>>.MostByte >= int.Parse(largestByte), "this processor is as old itself");
        Type[] classes = [typeof(LinearTests), typeof(DotTileTests), typeof(FunctionsTests), typeof(EngineTests), typeof(ConvNeXtEngineTests), typeof(OlderProcessorTests)];
        string output = (await OtherProgram.RunAsync(
            AppContext.BaseDirectory,
            "env",
            [$"{LargestByte}={largestByte}", .. settings, "dotnet", typeof(OlderProcessorTests).Assembly.Location, "-noColor", .. classes.SelectMany(type => new[] { "-class", type.FullName! }), "-method-", $"*{nameof(KernelsComputeTheSame)}"])).Succeeded();
        Assert.Contains("Failed: 0,", output);
        Assert.DoesNotContain("Total: 0,", output);
    }

    [Fact]
    public void KernelsTakeWhatTheProcessorOffersAndTheProcessAllows()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "reads /proc/cpuinfo");
        string[] flags = File.ReadLines("/proc/cpuinfo").First(line => line.StartsWith("flags", StringComparison.Ordinal)).Split(' ');
        Assert.Equal(flags.Contains("avx512f") && !Off("DOTNET_EnableAVX512") && !Off("DOTNET_EnableAVX512F"), Lanes512.IsSupported);
        int largest = flags.Contains("avx_vnni") && !Off("DOTNET_EnableAVXVNNI") ? 255 : 127;
        Assert.Equal(largest, DotTile<Lanes256, Vector256<float>>.MostByte);
        if (Environment.GetEnvironmentVariable(LargestByte) is { } told) Assert.Equal(int.Parse(told), largest);

        static bool Off(string variable) => Environment.GetEnvironmentVariable(variable) == "0";
    }
}
