using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace DinoSharp.Cli.Pictures;

/// <summary>A pixel that was named on the command line.</summary>
/// <param name="X">Column from the left.</param>
/// <param name="Y">Row from the top.</param>
internal readonly record struct Place(int X, int Y)
{
    /// <summary>The option <c>--at</c>, repeated for several places.</summary>
    /// <param name="description">For the help.</param>
    /// <param name="required">Whether there must be one.</param>
    public static Option<Place[]> Several(string description, bool required = true) => new("--at")
    {
        Description = description,
        HelpName = "X,Y",
        Required = required,
        CustomParser = Parse,
    };

    private static Place[] Parse(ArgumentResult result)
    {
        var places = new List<Place>();
        foreach (string word in result.Tokens.Select(token => token.Value))
        {
            string[] parts = word.Split(',');
            if (parts.Length == 2 && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int x) && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int y)) places.Add(new Place(x, y));
            else result.AddError($"--at {word}: expected two whole numbers with a comma between, such as --at 120,80");
        }

        if (places.Count > byte.MaxValue) result.AddError($"--at: {places.Count} places; at most {byte.MaxValue} can be told apart by colours");
        return [.. places];
    }
}
