using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace DinoSharp.Cli.Pictures;

/// <summary>At what size the network sees a picture.</summary>
/// <param name="Pixels">Length of the side that the verb speaks of; null: the picture's own size.</param>
internal sealed record PictureSize(int? Pixels)
{
    private const int Default = 768;

    /// <summary>The option <c>--size</c> of the verbs that make pictures.</summary>
    public static Option<PictureSize> Option() =>
        Option("Height at which the network sees the picture (the width follows), or 'native' for its own size. Time grows with the square of the area; see --max-memory", Default);

    /// <summary>The option <c>--size</c> where another side is meant.</summary>
    /// <param name="description">For the help.</param>
    /// <param name="byDefault">In pixels.</param>
    public static Option<PictureSize> Option(string description, int byDefault) => new("--size") { Description = description, HelpName = "PIXELS|native", DefaultValueFactory = _ => new PictureSize(byDefault), CustomParser = Parse };

    /// <summary>The option <c>--size</c> where there may be none.</summary>
    /// <param name="description">For the help.</param>
    public static Option<PictureSize?> Optional(string description) => new("--size") { Description = description, HelpName = "PIXELS|native", CustomParser = Parse };

    public override string ToString() => Pixels?.ToString(CultureInfo.InvariantCulture) ?? "native";

    private static PictureSize Parse(ArgumentResult result)
    {
        string word = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        if (word == "native") return new PictureSize(Pixels: null);
        if (int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out int pixels) && pixels > 0) return new PictureSize(pixels);
        result.AddError($"--size {word}: expected a number of pixels above 0, or 'native'");
        return new PictureSize(Default);
    }
}
