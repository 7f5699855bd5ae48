using System.Text.Json;
using DinoSharp.Diagnostics;
using Xunit;

namespace DinoSharp.Tests.Diagnostics;

/// <summary>A folder like that of an installed PyTorch, made of the libraries that came with the package.</summary>
public sealed class InstalledLibtorchTests : IDisposable
{
    private static readonly string Here = Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native");

    private static readonly string Picture = Path.Combine(Repository.Root, "samples", "images", "robin.jpg");

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TheVersionIsTheOneThatTorchSharpWasBuiltFor() => Assert.StartsWith(InstalledLibtorch.Version + ".", TorchSharp.torch.__version__ + ".");

    [Fact]
    public async Task AnInstalledLibtorchComputes()
    {
        string lib = await InstallAsync("2.10.0+cpu");
        OtherProgram.Outcome doctor = await DinoAsync(lib, "doctor", "--json");
        Assert.Equal(Path.Combine(lib, "libtorch_cpu.so"), JsonDocument.Parse(doctor.Succeeded()).RootElement.GetProperty("libtorch").GetProperty("path").GetString());

        (await DinoAsync(lib, "embed", Picture, "--out", _folder.File("installed.npy"))).Succeeded();
        (await DinoAsync(null, "embed", Picture, "--out", _folder.File("packaged.npy"))).Succeeded();
        Assert.Equal(File.ReadAllBytes(_folder.File("packaged.npy")), File.ReadAllBytes(_folder.File("installed.npy")));
        OtherProgram.Outcome words = await DinoAsync(Path.GetDirectoryName(lib), "doctor");
        Assert.Contains($"{Path.Combine(lib, "libtorch_cpu.so")} (DINOSHARP_LIBTORCH)", words.Succeeded());
    }

    [Theory]
    [InlineData("2.9.1+cu128")]
    [InlineData("2.10.1")]
    public async Task AnotherVersionIsRefused(string version)
    {
        OtherProgram.Outcome outcome = await DinoAsync(await InstallAsync(version), "embed", Picture, "--out", _folder.File("never.npy"));
        Assert.Equal(1, outcome.Code);
        Assert.Contains($"version.py says {version}, but this program needs exactly 2.10.0", outcome.Error);
        Assert.DoesNotContain("   at ", outcome.Error);
        Assert.False(File.Exists(_folder.File("never.npy")));
    }

    [Fact]
    public async Task AFolderWithoutLibtorchOrWithoutVersionIsRefused()
    {
        Assert.Contains("there is no libtorch_cpu.so there", Assert.Throws<DinoSharpException>(() => InstalledLibtorch.Find(_folder.Path)).Message);
        string lib = await InstallAsync("2.10.0");
        File.Delete(_folder.File("torch/version.py"));
        Assert.Contains("says which version it is", Assert.Throws<DinoSharpException>(() => InstalledLibtorch.Find(lib)).Message);
        File.WriteAllText(_folder.File("torch/build-version"), "2.10.0+cpu\n");
        Assert.Equal(lib, InstalledLibtorch.Find(_folder.File("torch")));
    }

    private async Task<string> InstallAsync(string version)
    {
        if (!OperatingSystem.IsLinux()) Assert.Skip("the layout of a Linux package");
        string lib = _folder.File("torch/lib");
        Directory.CreateDirectory(lib);
        // Half a gigabyte is linked where the file system allows it; libc10.so is a file of its own, so that a second libtorch in the process would show.
        string script = $"cp -l '{Here}'/libtorch*.so '{Here}'/libgomp* '{lib}' 2>/dev/null || cp '{Here}'/libtorch*.so '{Here}'/libgomp* '{lib}'; cp '{Here}'/libc10.so '{lib}'";
        (await OtherProgram.RunAsync(lib, "sh", "-c", script)).Succeeded();
        File.WriteAllText(_folder.File("torch/version.py"), $"__all__ = ['__version__']\n__version__ = '{version}'\ndebug = False\n");
        return lib;
    }

    private static Task<OtherProgram.Outcome> DinoAsync(string? libtorch, params string[] arguments) =>
        OtherProgram.RunAsync(AppContext.BaseDirectory, "env", [.. libtorch is null ? Array.Empty<string>() : [$"DINOSHARP_LIBTORCH={libtorch}"], "dotnet", Path.Combine(AppContext.BaseDirectory, "dino.dll"), .. arguments]);
}
