using System.CommandLine;
using DinoSharp.Cli.Evaluating;

namespace DinoSharp.Cli;

/// <summary><c>dino eval</c>: the paper's protocols, one command each.</summary>
internal static class EvalVerb
{
    /// <summary>The protocols.</summary>
    public static EvaluationVerb[] Tasks() => [new EvalKnnVerb(), new EvalLogregVerb(), new EvalLinearVerb(), new EvalSegmentVerb(), new EvalDepthVerb(), new EvalRetrieveVerb(), new EvalMatchVerb(), new EvalTrackVerb(), new EvalDetectVerb(), new EvalDiscoverVerb(), new EvalTextVerb()];

    /// <summary>The verb with its own verbs.</summary>
    public static Command Create()
    {
        var eval = new Command("eval", "Measure a backbone on your data by the protocols of the paper");
        foreach (EvaluationVerb task in Tasks()) eval.Add(task);
        eval.Add(new EvalCompareVerb());
        return eval;
    }
}
