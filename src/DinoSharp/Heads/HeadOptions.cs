using DinoSharp.Heads.Depth;

namespace DinoSharp.Heads;

/// <summary>What to take instead of what a head's file says, or where it says nothing.</summary>
public sealed record HeadOptions
{
    /// <summary>Names of the classes; must be as many as the head has. Null: those of the file, or of the published data set if their number is the same.</summary>
    public ClassNames? Classes { get; init; }

    /// <summary>What the head wants to see.</summary>
    public HeadInput? Input { get; init; }

    /// <summary>Which classifier of a file with several, as the official linear probe leaves one for each learning rate: its name, or a part that only it has.</summary>
    public string? Classifier { get; init; }

    /// <summary>How scores become metres (depth heads).</summary>
    public DepthBins? Bins { get; init; }
}
