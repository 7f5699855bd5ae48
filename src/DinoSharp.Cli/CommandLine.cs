using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using DinoSharp.Diagnostics;

namespace DinoSharp.Cli;

/// <summary>From the words on the command line to a verb and back to an exit code; the only place that turns errors into text.</summary>
internal static class CommandLine
{
    /// <summary>Runs one command line.</summary>
    /// <param name="verbs">Makes the verbs on offer.</param>
    /// <param name="args">The words after <c>dino</c>.</param>
    /// <param name="output">Standard output: results only.</param>
    /// <param name="error">Standard error: errors, warnings and progress.</param>
    /// <param name="cancel">Stops the verb, as Ctrl-C does.</param>
    /// <returns>An <see cref="ExitCode"/>.</returns>
    public static async Task<int> RunAsync(Func<Command[]> verbs, string[] args, TextWriter output, TextWriter error, CancellationToken cancel = default)
    {
        using var stop = new StopRequest(error, cancel);
        if (args is ["embed", ..]) FirstUse.Begin(); // the libraries open while the verb is made and the command line read
        var failure = new Failure(output, error, Json: args.Contains("--json"));
        try
        {
            ParseResult parsed = Root(verbs()).Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
            if (parsed.Action is ParseErrorAction || Typos.MistakenForPath(parsed) is not null) return (int)failure.Usage(parsed);
            return await parsed.InvokeAsync(
                new InvocationConfiguration { Output = output, Error = error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null },
                stop.Token);
        }
        catch (OperationCanceledException) when (stop.Token.IsCancellationRequested)
        {
            return (int)failure.Stopped(stop.ExitCode);
        }
        catch (Exception e)
        {
            return (int)failure.Report(e);
        }
    }

    private static RootCommand Root(Command[] verbs)
    {
        var root = new RootCommand("DINOv3 image features: look at them, save them, compare with them.") { HelpName = "dino" };
        foreach (Command verb in verbs) root.Add(verb);
        var help = new HelpWithExamples();
        root.Options.OfType<HelpOption>().Single().Action = help;
        root.Options.OfType<VersionOption>().Single().Action = new ShowVersion();
        root.SetAction(parsed =>
        {
            help.Write(parsed, parsed.InvocationConfiguration.Error);
            return (int)ExitCode.Usage;
        });
        return root;
    }

    private sealed class ShowVersion : SynchronousCommandLineAction
    {
        public override bool Terminating => true;

        public override int Invoke(ParseResult parseResult)
        {
            parseResult.InvocationConfiguration.Output.WriteLine("dino " + SystemReport.LibraryVersion);
            return (int)ExitCode.Ok;
        }
    }
}
