using System.Text.Json;
using DinoSharp.Diagnostics;
using TorchSharp;
using Xunit;

namespace DinoSharp.Tests.Package;

/// <summary>The switch to a libtorch for GPUs, as far as it can be looked at without a GPU and without fetching gigabytes.</summary>
public class CudaPropertyTests
{
    [Theory]
    [InlineData("src/DinoSharp.Cli", "false", "libtorch-cpu-", ".lock.json")]
    [InlineData("src/DinoSharp.Cli", "true", "libtorch-cuda-12.8-", ".cuda.lock.json")]
    public async Task OnePropertyChoosesTheLibtorch(string project, string cuda, string package, string lockFile)
    {
        OtherProgram.Outcome outcome = await OtherProgram.RunAsync(Path.Combine(Repository.Root, project), "dotnet", "msbuild", $"-p:DinoSharpCuda={cuda}", "-getItem:PackageReference", "-getProperty:NuGetLockFilePath");
        JsonElement root = JsonDocument.Parse(outcome.Succeeded()).RootElement;
        string[] packages = [.. root.GetProperty("Items").GetProperty("PackageReference").EnumerateArray().Select(item => item.GetProperty("Identity").GetString()!)];
        Assert.StartsWith(package, Assert.Single(packages, name => name.StartsWith("libtorch", StringComparison.Ordinal)));
        string file = root.GetProperty("Properties").GetProperty("NuGetLockFilePath").GetString()!;
        Assert.EndsWith(lockFile, file);
        Assert.Equal(cuda == "true", file.Contains("cuda", StringComparison.Ordinal));
    }

    [Fact]
    public void Float32IsNotRoundedOnAGpu()
    {
        (bool products, bool convolutions) = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32);
        try
        {
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = true;
            Libtorch.UseFullFloat32();
            Assert.False(torch.backends.cuda.matmul.allow_tf32 || torch.backends.cudnn.allow_tf32);
        }
        finally
        {
            (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) = (products, convolutions);
        }
    }
}
