using System.CommandLine;

namespace DinoSharp.Cli;

/// <summary>Options that mean the same on every verb that has them.</summary>
internal static class SharedOptions
{
    /// <summary>Which weights.</summary>
    public static Option<string> Model() => new("--model", "-m")
    {
        Description = "Weights: an alias, a file, a folder, or random:NAME for an untrained model",
        HelpName = "MODEL",
        DefaultValueFactory = _ => "dinov3-vits16",
    };

    /// <summary>Side of the model's input; null: the verb's own default.</summary>
    public static Option<int?> Size(string description) => new("--size") { Description = description, HelpName = "PIXELS" };

    /// <summary>Where the result goes; null: the verb's own default.</summary>
    public static Option<string?> Out(string description) => new("--out", "-o") { Description = description, HelpName = "FILE" };
}
