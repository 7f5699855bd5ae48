using System.Text.Json;
using DinoSharp.Cli;

namespace DinoSharp.Tests.Cli;

/// <summary>Runs command lines of the tool inside the test process.</summary>
internal static class Dino
{
    /// <summary>Runs one command line with the real verbs.</summary>
    public static Task<Outcome> RunAsync(params string[] args) => RunAsync(DinoSharp.Cli.Program.Verbs(), args);

    /// <summary>Runs one command line with the given verbs.</summary>
    public static async Task<Outcome> RunAsync(System.CommandLine.Command[] verbs, string[] args, CancellationToken cancel = default)
    {
        using StringWriter output = new(), error = new();
        int code = await CommandLine.RunAsync(() => verbs, args, output, error, cancel);
        return new Outcome(code, output.ToString(), error.ToString());
    }

    /// <summary>What a command line did.</summary>
    public sealed record Outcome(int Code, string Output, string Error)
    {
        /// <summary>Standard output as one JSON document; fails if there is anything else.</summary>
        public JsonElement Json() => JsonDocument.Parse(Output).RootElement;
    }
}
