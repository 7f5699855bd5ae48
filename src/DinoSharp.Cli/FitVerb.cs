using System.CommandLine;
using DinoSharp.Cli.Fitting;

namespace DinoSharp.Cli;

/// <summary><c>dino fit</c>: heads for pictures of your own.</summary>
internal static class FitVerb
{
    /// <summary>The verb with its own verbs.</summary>
    public static Command Create() => new Command("fit", "Train a small head on pictures of your own; the backbone stays as it is")
    {
        new FitClassifyVerb(),
        new FitSegmentVerb(),
        new FitDepthVerb(),
        new FitDetectVerb(),
        new FitAnomalyVerb(),
    };
}
