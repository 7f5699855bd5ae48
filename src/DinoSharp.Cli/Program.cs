using System.CommandLine;

namespace DinoSharp.Cli;

/// <summary>The table of contents of <c>dino</c>. Each verb has a file of its own: parse, call the library, show.</summary>
internal static class Program
{
    /// <summary>The verbs in the order of the help.</summary>
    public static Command[] Verbs() =>
    [
        new DemoVerb(),
        new EmbedVerb(),
        new ExtractVerb(),
        new PcaVerb(),
        new SimilarityVerb(),
        new AttentionVerb(),
        new MatchVerb(),
        new TrackVerb(),
        new ClusterVerb(),
        new DiscoverVerb(),
        new SimilarVerb(),
        new ChangeVerb(),
        new SegmentVerb(),
        IndexVerb.Create(),
        EvalVerb.Create(),
        FitVerb.Create(),
        new EnrollVerb(),
        PredictVerb.Recognise(),
        PredictVerb.Predict(),
        new AdviseVerb(),
        new TrainVerb(),
        new InfoVerb(),
        new ConvertVerb(),
        new DoctorVerb(),
    ];

    public static Task<int> Main(string[] args) => CommandLine.RunAsync(Verbs(), args, Console.Out, Console.Error);
}
