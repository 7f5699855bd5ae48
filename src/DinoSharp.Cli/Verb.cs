using System.CommandLine;
using DinoSharp.Diagnostics;

namespace DinoSharp.Cli;

/// <summary>
/// One verb of the tool. A verb declares its arguments and options in its constructor and, when run, reads them, calls the library and shows the result.
/// It computes nothing itself and catches nothing: <see cref="CommandLine"/> turns errors into messages and exit codes.
/// </summary>
/// <remarks>See <see cref="DoctorVerb"/> for the pattern. Every verb has <c>--json</c>: one JSON document on stdout and nothing else there.</remarks>
internal abstract class Verb : Command
{
    private readonly Option<bool> _json = new("--json") { Description = "Print the result as one JSON document on stdout" };

    /// <param name="name">What the user types.</param>
    /// <param name="description">One sentence for the list of verbs.</param>
    /// <param name="examples">Command lines that work as they stand; shown under the verb's help.</param>
    protected Verb(string name, string description, params string[] examples)
        : base(name, description)
    {
        ArgumentOutOfRangeException.ThrowIfZero(examples.Length, nameof(examples));
        Examples = examples;
        Add(_json);
        if (Computes) Add(SharedOptions.Device());
        SetAction(async (arguments, cancel) =>
        {
            if (NeedsLibtorch) Libtorch.Require();
            var streams = arguments.InvocationConfiguration;
            return (int)await RunAsync(arguments, new Output(streams.Output, streams.Error, arguments.GetValue(_json)), cancel);
        });
    }

    /// <summary>Command lines for the help, each starting with <c>dino</c>.</summary>
    public IReadOnlyList<string> Examples { get; }

    /// <summary>Whether the verb computes; one that only reads files says no and starts half a second sooner.</summary>
    protected virtual bool NeedsLibtorch => true;

    /// <summary>Whether the verb runs a network, and so has <c>--device</c>.</summary>
    protected virtual bool Computes => true;

    /// <summary>Does the work.</summary>
    /// <param name="arguments">The parsed command line; read with <c>arguments.GetValue(option)</c>.</param>
    /// <param name="output">Where the result, notes and progress go.</param>
    /// <param name="cancel">Signalled by Ctrl-C; pass it on and let <see cref="OperationCanceledException"/> through.</param>
    protected abstract Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel);
}
