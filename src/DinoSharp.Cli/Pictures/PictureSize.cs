using System.CommandLine;
using System.Globalization;

namespace DinoSharp.Cli.Pictures;

/// <summary>At what size the network sees a picture.</summary>
/// <param name="Height">Height in pixels; null: the picture's own size.</param>
internal sealed record PictureSize(int? Height)
{
    private const int Default = 768;

    /// <summary>The option <c>--size</c> of the verbs that make pictures.</summary>
    public static Option<PictureSize> Option() => new("--size")
    {
        Description = "Height at which the network sees the picture (the width follows), or 'native' for its own size. Time grows with the square of the area; see --max-memory",
        HelpName = "PIXELS|native",
        DefaultValueFactory = _ => new PictureSize(Default),
        CustomParser = result =>
        {
            string word = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
            if (word == "native") return new PictureSize(Height: null);
            if (int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out int height) && height > 0) return new PictureSize(height);
            result.AddError($"--size {word}: expected a number of pixels or 'native'");
            return new PictureSize(Default);
        },
    };

    public override string ToString() => Height?.ToString(CultureInfo.InvariantCulture) ?? "native";
}
