using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace DinoSharp.Cli;

/// <summary>The library's help followed by what people look for first: an example that works. The help of <c>dino</c> itself ends with the exit codes.</summary>
internal sealed class HelpWithExamples : SynchronousCommandLineAction
{
    public override bool Terminating => true;

    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        Write(parseResult, parseResult.InvocationConfiguration.Output);
        return (int)ExitCode.Ok;
    }

    public void Write(ParseResult parsed, TextWriter writer)
    {
        TextWriter output = parsed.InvocationConfiguration.Output;
        parsed.InvocationConfiguration.Output = writer;
        new HelpAction().Invoke(parsed);
        parsed.InvocationConfiguration.Output = output;
        if (parsed.CommandResult.Command is Verb verb)
        {
            writer.WriteLine(verb.Examples.Count == 1 ? "Example:" : "Examples:");
            foreach (string example in verb.Examples) writer.WriteLine("  " + example);
            writer.WriteLine();
        }
        else
        {
            writer.WriteLine("""
                Exit codes:
                  0  everything asked for was done
                  1  it failed, or some of the inputs did
                  2  the command line is wrong
                  130, 143  stopped by Ctrl-C, by a termination request

                'dino VERB --help' shows the options of a verb and an example.
                """);
        }
    }
}
