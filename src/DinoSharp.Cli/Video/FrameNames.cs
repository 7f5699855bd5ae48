using System.Text.RegularExpressions;

namespace DinoSharp.Cli.Video;

/// <summary>Orders names as people count: 2 before 10.</summary>
internal static partial class FrameNames
{
    public static IOrderedEnumerable<string> InOrder(IEnumerable<string> paths) =>
        paths.OrderBy(path => Number().Replace(Path.GetFileName(path), m => m.Value.PadLeft(20, '0')), StringComparer.Ordinal).ThenBy(path => path, StringComparer.Ordinal);

    [GeneratedRegex("[0-9]+")]
    private static partial Regex Number();
}
