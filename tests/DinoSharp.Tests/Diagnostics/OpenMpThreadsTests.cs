using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DinoSharp.Diagnostics;
using Xunit;

namespace DinoSharp.Tests.Diagnostics;

public sealed class OpenMpThreadsTests
{
    private const string Expected = "DINOSHARP_TEST_SPINCOUNT"; // set for a process that was started with a setting of its own

    [Fact]
    public void LibrariesSeeTheSetting()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the OpenMP library of other systems is another one");
        Assert.SkipWhen(Environment.GetEnvironmentVariable("OMP_WAIT_POLICY") is not null, "the user has set the policy");
        RuntimeHelpers.RunModuleConstructor(typeof(OpenMpThreads).Module.ModuleHandle); // as the first use of anything in it does
        string expected = Environment.GetEnvironmentVariable(Expected) ?? OpenMpThreads.Rounds;
        Assert.Equal(expected, Marshal.PtrToStringUTF8(Get(OpenMpThreads.Variable)));
    }

    [Fact]
    public async Task WhatTheUserSetsStays()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "sets variables by `env`");
        string output = (await OtherProgram.RunAsync(
            AppContext.BaseDirectory,
            "env",
            [$"{OpenMpThreads.Variable}=77", $"{Expected}=77", "dotnet", typeof(OpenMpThreadsTests).Assembly.Location, "-noColor", "-method", $"*{nameof(LibrariesSeeTheSetting)}"])).Succeeded();
        Assert.Contains("Total: 1, Errors: 0, Failed: 0, Skipped: 0", output);
    }

    [DllImport("libc", EntryPoint = "getenv")]
    private static extern nint Get([MarshalAs(UnmanagedType.LPUTF8Str)] string name);
}
