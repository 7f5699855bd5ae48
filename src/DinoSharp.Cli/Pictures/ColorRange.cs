using System.CommandLine;
using System.Globalization;
using DinoSharp.Images;

namespace DinoSharp.Cli.Pictures;

/// <summary>The numbers at the ends of a colour scale.</summary>
/// <param name="Fixed">As chosen; null: those that occur.</param>
internal sealed record ColorRange(ValueRange? Fixed)
{
    /// <summary>The option <c>--range</c>.</summary>
    /// <param name="description">For the help.</param>
    /// <param name="byDefault">The same for every picture, so that sheets can be compared.</param>
    public static Option<ColorRange> Option(string description, ValueRange byDefault) => new("--range")
    {
        Description = description,
        HelpName = "LOW,HIGH|auto",
        DefaultValueFactory = _ => new ColorRange(byDefault),
        CustomParser = result =>
        {
            string word = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
            if (word == "auto") return new ColorRange(Fixed: null);
            double[] ends = [.. word.Split(',').Select(part => double.TryParse(part, NumberStyles.Float, CultureInfo.InvariantCulture, out double end) ? end : double.NaN)];
            if (ends is [double low, double high] && low < high) return new ColorRange(new ValueRange(low, high));
            result.AddError($"--range {word}: expected two numbers, the smaller first, such as --range -0.2,0.8, or 'auto'");
            return null;
        },
    };
}
