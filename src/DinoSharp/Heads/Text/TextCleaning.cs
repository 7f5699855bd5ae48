using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace DinoSharp.Heads.Text;

/// <summary>Brings text into the form that the tokenizer was trained on: repaired, without markup, one space between words, lower case.</summary>
/// <remarks>Follows CLIP's cleaning with ftfy 6. Different: broken encodings are found by a simpler rule (<see cref="Mojibake"/>).</remarks>
internal static partial class TextCleaning
{
    private static readonly Dictionary<char, string> Ligatures =
        "ĲIJ ĳij ŉʼn ǄDŽ ǅDž ǆdž ǇLJ ǈLj ǉlj ǊNJ ǋNj ǌnj ǱDZ ǲDz ǳdz ﬀff ﬁfi ﬂfl ﬃffi ﬄffl ﬅſt ﬆst".Split(' ').ToDictionary(pair => pair[0], pair => pair[1..]);

    /// <summary>The text as the tokenizer splits it.</summary>
    public static string Clean(string text)
    {
        text = HtmlEntities.Unescape(HtmlEntities.Unescape(Repair(text)));
        return Lower(Spaces().Replace(text, " ").Trim());
    }

    /// <summary>Broken encodings, look-alike characters and control characters undone, line by line until nothing changes.</summary>
    internal static string Repair(string text)
    {
        var result = new StringBuilder(text.Length);
        bool entities = true;
        foreach (string line in Lines().Split(text))
        {
            entities &= !line.Contains('<', StringComparison.Ordinal); // markup is kept as it is from here on
            string fixedLine = line;
            for (string before = ""; before != fixedLine;)
            {
                before = fixedLine;
                fixedLine = RepairOnce(fixedLine, entities);
            }

            result.Append(fixedLine);
        }

        return result.ToString();
    }

    private static string RepairOnce(string line, bool entities)
    {
        if (entities) line = HtmlEntities.Repair(line);
        line = TerminalEscapes().Replace(line, "");
        line = Mojibake.Repair(line);
        line = string.Concat(line.Select(c => Ligatures.TryGetValue(Mojibake.ReadControl(c), out string? letters) ? letters : Mojibake.ReadControl(c).ToString()));
        line = CanonicalForms.NormalWidth(line);
        line = DoubleQuotes().Replace(SingleQuotes().Replace(line, "'"), "\"");
        line = LineBreaks().Replace(line, "\n");
        line = Controls().Replace(line, "");
        return CanonicalForms.Compose(string.Concat(line.EnumerateRunes())); // a lone surrogate becomes U+FFFD
    }

    /// <summary>Full Unicode lower case as other languages have it; .NET leaves İ and the final sigma out.</summary>
    internal static string Lower(string text)
    {
        if (text.All(char.IsAscii)) return text.ToLowerInvariant();
        var result = new StringBuilder(text.Length);
        string lower = text.ToLowerInvariant(); // one char for one char
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == 'İ') result.Append("i\u0307");
            else if (text[i] == 'Σ') result.Append(IsFinal(text, i) ? 'ς' : 'σ');
            else result.Append(lower[i]);
        }

        return result.ToString();
    }

    // A letter before and none after; marks and apostrophes between do not count (Unicode, Final_Sigma).
    private static bool IsFinal(string text, int index)
    {
        int before = index - 1, after = index + 1;
        while (before >= 0 && Ignorable(text, before)) before--;
        while (after < text.Length && Ignorable(text, after)) after++;
        return before >= 0 && Cased(text, before) && !(after < text.Length && Cased(text, after));
    }

    private static bool Cased(string text, int index) =>
        CharUnicodeInfo.GetUnicodeCategory(text, index) is UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter;

    private static bool Ignorable(string text, int index) => text[index] is '\'' or '.' or ':' or '’' or '·' || CharUnicodeInfo.GetUnicodeCategory(text, index)
        is UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format or UnicodeCategory.ModifierLetter or UnicodeCategory.ModifierSymbol;

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();

    [GeneratedRegex(@"(?<=\n)")]
    private static partial Regex Lines();

    [GeneratedRegex(@"\u001B\[[\d;]*[a-zA-Z]")]
    private static partial Regex TerminalEscapes();

    [GeneratedRegex("[\u02BC\u2018-\u201B]")]
    private static partial Regex SingleQuotes();

    [GeneratedRegex("[\u201C-\u201F]")]
    private static partial Regex DoubleQuotes();

    [GeneratedRegex("\r\n|[\r\u2028\u2029\u0085]")]
    private static partial Regex LineBreaks();

    [GeneratedRegex("[\\u0000-\\u0008\\u000B\\u000E-\\u001F\\u007F\\u206A-\\u206F\\uFEFF\\uFFF9-\\uFFFB]")]
    private static partial Regex Controls();
}
