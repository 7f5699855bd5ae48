using System.CommandLine;
using System.Runtime.InteropServices;

namespace DinoSharp.Cli;

/// <summary>The table of contents of <c>dino</c>. Each verb has a file of its own: parse, call the library, show.</summary>
internal static class Program
{
    /// <summary>The verbs in the order of the help. Only the one that is asked for is made: all of them take ten milliseconds.</summary>
    private static readonly (string Name, Func<Command> Create)[] Table =
    [
        ("demo", () => new DemoVerb()),
        ("embed", () => new EmbedVerb()),
        ("extract", () => new ExtractVerb()),
        ("pca", () => new PcaVerb()),
        ("similarity", () => new SimilarityVerb()),
        ("attention", () => new AttentionVerb()),
        ("match", () => new MatchVerb()),
        ("track", () => new TrackVerb()),
        ("cluster", () => new ClusterVerb()),
        ("discover", () => new DiscoverVerb()),
        ("similar", () => new SimilarVerb()),
        ("change", () => new ChangeVerb()),
        ("segment", () => new SegmentVerb()),
        ("index", IndexVerb.Create),
        ("eval", EvalVerb.Create),
        ("fit", FitVerb.Create),
        ("enroll", () => new EnrollVerb()),
        ("recognise", PredictVerb.Recognise),
        ("predict", PredictVerb.Predict),
        ("advise", () => new AdviseVerb()),
        ("train", () => new TrainVerb()),
        ("info", () => new InfoVerb()),
        ("convert", () => new ConvertVerb()),
        ("doctor", () => new DoctorVerb()),
    ];

    /// <summary>All verbs, in the order of the help.</summary>
    public static Command[] Verbs() => [.. Table.Select(verb => verb.Create())];

    /// <summary>The verb that a command line begins with; all where it begins with none.</summary>
    public static Command[] Verbs(string[] args) => args.Length > 0 && Array.Find(Table, verb => verb.Name == args[0]).Create is { } create ? [create()] : Verbs();

    public static async Task<int> Main(string[] args)
    {
        return End(await CommandLine.RunAsync(() => Verbs(args), args, Console.Out, Console.Error));
    }

    // Everything is written and closed. Leaving by the front door would let libtorch deregister its thousands of operators one by one: a tenth of a second in which the user waits for nothing.
    private static int End(int code)
    {
        Console.Out.Flush();
        Console.Error.Flush();
        if (OperatingSystem.IsLinux()) EndProcess(code);
        return code;
    }

    [DllImport("libc", EntryPoint = "_exit")]
    private static extern void EndProcess(int code);
}
