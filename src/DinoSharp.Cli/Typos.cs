using System.CommandLine;
using System.CommandLine.Parsing;

namespace DinoSharp.Cli;

/// <summary>Names that do not exist: refused, with the one that was probably meant.</summary>
internal static class Typos
{
    /// <summary>
    /// The first word that was taken for a path although it looks like an option: the parser hands <c>--ouut</c> to a list of paths, because anything may be a file name.
    /// A file whose name begins with a dash is given after <c>--</c>. Null if there is none.
    /// </summary>
    public static string? MistakenForPath(ParseResult parsed)
    {
        HashSet<string> paths = [.. parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(argument => argument.Tokens).Select(token => token.Value)];
        return parsed.Tokens.TakeWhile(token => token.Type != TokenType.DoubleDash)
            .FirstOrDefault(token => token.Type == TokenType.Argument && LooksLikeOption(token.Value) && paths.Contains(token.Value))?.Value;
    }

    /// <summary>The message for a name that looks like an option but is none of this verb's.</summary>
    public static string UnknownOption(CommandResult verb, string name) =>
        $"unknown option '{name}'" + Suggestion(name.Split('=', ':')[0], OptionNames(verb))
        + (verb.Command.Arguments.Count > 0 && File.Exists(name) ? " (the file of that name goes after '--')" : "");

    /// <summary><c>; did you mean 'pca'?</c>, or nothing if no candidate is near.</summary>
    public static string Suggestion(string name, IEnumerable<string> candidates) =>
        NearestName.Find(name, candidates) is { } nearest ? $"; did you mean '{nearest}'?" : "";

    public static bool LooksLikeOption(string token) => token.Length > 1 && token[0] == '-' && !char.IsAsciiDigit(token[1]) && token[1] != '.';

    private static IEnumerable<string> OptionNames(CommandResult verb)
    {
        for (SymbolResult? result = verb; result is not null; result = result.Parent)
        {
            if (result is not CommandResult { Command: var command }) continue;
            foreach (Option option in command.Options.Where(o => !o.Hidden && (result == verb || o.Recursive)))
            {
                yield return option.Name;
                foreach (string alias in option.Aliases) yield return alias;
            }
        }
    }
}
