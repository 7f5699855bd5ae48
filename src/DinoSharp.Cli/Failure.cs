using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Runtime.InteropServices;

namespace DinoSharp.Cli;

/// <summary>Errors as a user sees them: <c>error: …</c> on stderr, with <c>--json</c> also <c>{"error":"…"}</c> on stdout, and never a stack trace unless asked for.</summary>
/// <param name="Output">Standard output.</param>
/// <param name="Error">Standard error.</param>
/// <param name="Json">Whether a program reads stdout.</param>
internal sealed record Failure(TextWriter Output, TextWriter Error, bool Json)
{
    /// <summary>The command line is wrong.</summary>
    public ExitCode Usage(ParseResult parsed)
    {
        // One unknown word makes everything behind it unknown too, so only the first is worth showing.
        string? unknown = Typos.MistakenForPath(parsed) ?? parsed.UnmatchedTokens.FirstOrDefault();
        IEnumerable<string> messages = unknown is not null ? [Unknown(parsed, unknown)] : parsed.Errors.Select(Explain).Distinct();
        string path = string.Join(' ', Path(parsed.CommandResult.Command));
        Show(string.Join(Environment.NewLine + "error: ", messages));
        Error.WriteLine($"See '{path} --help'.");
        return ExitCode.Usage;
    }

    /// <summary>The work was stopped from outside.</summary>
    public ExitCode Stopped(ExitCode code)
    {
        Show("stopped before the end");
        return code;
    }

    /// <summary>The work failed.</summary>
    public ExitCode Report(Exception exception)
    {
        while (exception is AggregateException { InnerExceptions: [var only] } || exception is TypeInitializationException { InnerException: not null })
            exception = (exception as AggregateException)?.InnerExceptions[0] ?? exception.InnerException!;
        Show(Describe(exception));
        if (Environment.GetEnvironmentVariable("DINO_TRACE") == "1") Error.WriteLine(exception);
        return ExitCode.Failed;
    }

    private static string Describe(Exception exception)
    {
        string first = exception.Message.Split('\n', 2)[0].TrimEnd();
        return exception switch
        {
            DinoSharpException or IOException or UnauthorizedAccessException => exception.Message,
            OutOfMemoryException => "not enough memory. Use a smaller --size, a smaller batch or a smaller model; 'dino doctor' shows how much there is.",
            ExternalException when first.Contains("allocate memory", StringComparison.Ordinal) =>
                $"not enough memory ({first}). Use a smaller --size, a smaller batch or a smaller model; 'dino doctor' shows how much there is.",
            DllNotFoundException or BadImageFormatException =>
                $"a native library does not load: {first}{Environment.NewLine}Run 'dino doctor': it says what is missing and what to do.",
            _ => $"unexpected {exception.GetType().Name}: {first}{Environment.NewLine}"
                + "This is a fault of dino. Please report it as CONTRIBUTING.md says, with the command and what it prints with DINO_TRACE=1 set.",
        };
    }

    private void Show(string message)
    {
        Error.WriteLine("error: " + message);
        if (Json) Output.WriteLine(Cli.Output.ToJson(new { error = message }));
    }

    // The parser names the .NET type it wanted, which tells a user nothing.
    private static string Explain(ParseError error)
    {
        OptionResult? result = error.SymbolResult as OptionResult ?? error.SymbolResult?.Parent as OptionResult;
        bool wantsNumber = result is not null && (Nullable.GetUnderlyingType(result.Option.ValueType) ?? result.Option.ValueType) == typeof(int);
        return wantsNumber && result!.Tokens is [var word] && !int.TryParse(word.Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _)
            ? $"{result.Option.Name} {word.Value}: expected a whole number"
            : error.Message;
    }

    private static string Unknown(ParseResult parsed, string word)
    {
        Command command = parsed.CommandResult.Command;
        if (Typos.LooksLikeOption(word)) return Typos.UnknownOption(parsed.CommandResult, word);
        return command.Subcommands.Count > 0
            ? $"unknown verb '{word}'" + Typos.Suggestion(word, command.Subcommands.Select(c => c.Name))
            : $"unexpected argument '{word}'";
    }

    private static IEnumerable<string> Path(Command command) =>
        command is RootCommand ? ["dino"] : [.. command.Parents.OfType<Command>().Take(1).SelectMany(Path), command.Name];
}
