using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using AngleSharp.Html;

namespace DinoSharp.Heads.Text;

/// <summary>Character references of HTML 5 as characters, by the rules that the tokenizer's text was cleaned with.</summary>
internal static partial class HtmlEntities
{
    // What the numbers 128 to 159 mean in practice: windows-1252.
    private const int FirstControl = 0x80, LastControl = 0x9F;

    /// <summary>All references, as browsers read them: the old names also without a semicolon, "&amp;notit;" as "¬it;".</summary>
    public static string Unescape(string text) => text.Contains('&', StringComparison.Ordinal) ? References().Replace(text, match => Decode(match.Groups[1].Value)) : text;

    /// <summary>Only what is surely a reference: it ends with a semicolon, and a name in capitals may stand for a capital letter.</summary>
    public static string Repair(string text) => text.Contains('&', StringComparison.Ordinal) ? CompleteReferences().Replace(text, match => RepairOne(match.Groups[1].Value)) : text;

    private static string RepairOne(string reference)
    {
        if (reference[0] == '#')
        {
            string decoded = Decode(reference);
            return decoded.Contains(';', StringComparison.Ordinal) ? "&" + reference : decoded;
        }

        if (HtmlEntityProvider.Resolver.GetSymbol(reference) is { Length: > 0 } symbol) return symbol;
        string small = reference.ToLowerInvariant();
        bool capitals = small != reference && reference == reference.ToUpperInvariant() && Decode(reference) == "&" + reference;
        return capitals && HtmlEntityProvider.Resolver.GetSymbol(small) is { Length: > 0 } letter ? letter == "ß" ? "SS" : letter.ToUpperInvariant() : "&" + reference;
    }

    private static string Decode(string reference)
    {
        if (reference[0] == '#') return Number(reference.TrimEnd(';')[1..]);
        for (int length = reference.Length; length > 1; length--)
        {
            if (HtmlEntityProvider.Resolver.GetSymbol(reference[..length]) is { Length: > 0 } symbol) return symbol + reference[length..];
        }

        return "&" + reference;
    }

    private static string Number(string digits)
    {
        bool hexadecimal = digits[0] is 'x' or 'X';
        bool small = hexadecimal
            ? int.TryParse(digits.AsSpan(1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int code) && code >= 0
            : int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out code);
        if (!small || code > 0x10FFFF || code is 0 or (>= 0xD800 and <= 0xDFFF)) return "\uFFFD";
        if (code is >= FirstControl and <= LastControl) return Mojibake.ReadControl((char)code).ToString();
        bool nothing = code is (>= 0x1 and <= 0x8) or 0xB or (>= 0xE and <= 0x1F) or 0x7F or (>= 0xFDD0 and <= 0xFDEF) || (code & 0xFFFE) == 0xFFFE;
        return nothing ? "" : new Rune(code).ToString();
    }

    [GeneratedRegex(@"&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)")]
    private static partial Regex References();

    [GeneratedRegex("&(#?[0-9A-Za-z]{1,24};)")]
    private static partial Regex CompleteReferences();
}
