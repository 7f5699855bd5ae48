using System.Diagnostics;

namespace DinoSharp.Benchmarks;

/// <summary>Measurements that need a process in which nothing was computed before: memory, starts.</summary>
internal static class OwnProcess
{
    /// <summary>Starts this program again and returns what it prints.</summary>
    public static string Again(params string[] arguments) => Dotnet([Path.Combine(AppContext.BaseDirectory, "DinoSharp.Benchmarks.dll"), .. arguments]);

    /// <summary>Runs <c>dotnet</c> and returns what it prints.</summary>
    public static string Dotnet(params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true, RedirectStandardError = true }) ?? throw new DinoSharpException("dotnet does not start");
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0) throw new DinoSharpException($"{string.Join(' ', arguments)} ended with {process.ExitCode}: {error}{output.Result}");
        return output.Result.Trim();
    }

    /// <summary>The most that this process has held, MiB.</summary>
    public static long PeakMebibytes()
    {
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64 >> 20;
    }
}
