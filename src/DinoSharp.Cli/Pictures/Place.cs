using System.CommandLine;
using System.Globalization;

namespace DinoSharp.Cli.Pictures;

/// <summary>A pixel that was named on the command line.</summary>
/// <param name="X">Column from the left.</param>
/// <param name="Y">Row from the top.</param>
internal readonly record struct Place(int X, int Y)
{
    /// <summary>The option <c>--at</c>.</summary>
    public static Option<Place> Option(string description) => new("--at")
    {
        Description = description,
        HelpName = "X,Y",
        Required = true,
        CustomParser = result =>
        {
            string word = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
            string[] parts = word.Split(',');
            if (parts.Length == 2 && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int x) && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int y)) return new Place(x, y);
            result.AddError($"--at {word}: expected two whole numbers with a comma between, such as --at 120,80");
            return default;
        },
    };
}
