using System.Reflection;
using System.Runtime.InteropServices;
using Xunit;

namespace DinoSharp.Tests.Package;

/// <summary>A stranger references the package: everything must work with what the package itself brings.</summary>
public class PackageConsumerTests
{
    [Fact]
    [Trait("Category", "Long")]
    public async Task AProgramThatReferencesThePackageBuildsRunsAndPublishes()
    {
        using var folder = new TemporaryFolder();
        string version = "0.0.1-test";
        (await DotnetAsync(Repository.Root, "pack", "src/DinoSharp", "-c", "Release", "-o", folder.File("source"), "--artifacts-path", folder.File("artifacts"), $"-p:Version={version}")).Succeeded();

        // Packages of this machine are read where they are; the package under test goes to a folder that disappears with the test.
        string platform = OperatingSystem.IsWindows() ? "win-x64" : OperatingSystem.IsMacOS() ? "osx-arm64" : "linux-x64";
        string packages = typeof(PackageConsumerTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "NuGetPackageRoot").Value!;
        Directory.CreateDirectory(folder.File("app"));
        File.WriteAllText(folder.File("app", "nuget.config"), $"""
            <configuration>
              <config><add key="globalPackagesFolder" value="{folder.File("packages")}" /></config>
              <packageSources><add key="under-test" value="{folder.File("source")}" /></packageSources>
              <fallbackPackageFolders><add key="machine" value="{packages}" /></fallbackPackageFolders>
            </configuration>
            """);
        File.WriteAllText(folder.File("app", "app.csproj"), $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <ImplicitUsings>enable</ImplicitUsings>
                <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="DinoSharp" Version="{version}" />
                <PackageReference Include="libtorch-cpu-{platform}" Version="2.10.0" />
              </ItemGroup>
            </Project>
            """);
        File.WriteAllText(folder.File("app", "Program.cs"), "Console.WriteLine(TorchSharp.torch.ones(2, 2).sum().item<float>());");

        string first = (await DotnetAsync(folder.File("app"), "build", "-v", "n")).Succeeded();
        string second = (await DotnetAsync(folder.File("app"), "build", "-v", "n")).Succeeded();
        Assert.Equal(OperatingSystem.IsLinux(), first.Contains("DinoSharp: "));
        Assert.DoesNotContain("DinoSharp: ", second);
        Assert.Equal("4", (await DotnetAsync(folder.File("app"), "bin/Debug/net10.0/app.dll")).Succeeded().Trim());

        (await DotnetAsync(folder.File("app"), "publish", "-c", "Release", "-o", folder.File("portable"))).Succeeded();
        Assert.Equal("4", (await DotnetAsync(folder.Path, folder.File("portable", "app.dll"))).Succeeded().Trim());

        (await DotnetAsync(folder.File("app"), "publish", "-c", "Release", "-r", RuntimeInformation.RuntimeIdentifier, "--self-contained", "-o", folder.File("whole"))).Succeeded();
        Assert.Equal("4", (await OtherProgram.RunAsync(folder.Path, folder.File("whole", OperatingSystem.IsWindows() ? "app.exe" : "app"))).Succeeded().Trim());
    }

    // Without -nodeReuse:false a build leaves processes behind that keep the temporary folder busy.
    private static Task<OtherProgram.Outcome> DotnetAsync(string folder, string verb, params string[] arguments) =>
        OtherProgram.RunAsync(folder, "dotnet", verb.EndsWith(".dll", StringComparison.Ordinal) ? [verb, .. arguments] : [verb, .. arguments, "-nodeReuse:false", "-nologo"]);
}
