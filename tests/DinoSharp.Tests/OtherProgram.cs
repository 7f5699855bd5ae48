using System.Diagnostics;
using Xunit;

namespace DinoSharp.Tests;

/// <summary>Runs another program to its end.</summary>
internal static class OtherProgram
{
    /// <summary>Runs it with nothing on standard input.</summary>
    public static async Task<Outcome> RunAsync(string folder, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return new Outcome(process.ExitCode, await output, await error);
    }

    /// <summary>What it did.</summary>
    public sealed record Outcome(int Code, string Output, string Error)
    {
        /// <summary>Standard output of a run that must have succeeded.</summary>
        public string Succeeded()
        {
            Assert.True(Code == 0, $"exit code {Code}\n{Output}\n{Error}");
            return Output;
        }
    }
}
