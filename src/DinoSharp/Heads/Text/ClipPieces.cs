using System.Buffers;
using System.Globalization;
using System.Text;
using Microsoft.ML.Tokenizers;

namespace DinoSharp.Heads.Text;

/// <summary>Splits cleaned text into the pieces that are encoded one by one: special tokens, English endings ('s 't 're 've 'm 'll 'd), runs of letters, single digits, runs of
/// anything else that is no space. Works on code points, so letters beyond U+FFFF are letters.</summary>
internal sealed class ClipPieces : PreTokenizer
{
    public const string StartOfText = "<|startoftext|>";
    public const string EndOfText = "<|endoftext|>";

    private static readonly string[] Fixed = [StartOfText, EndOfText, "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

    private enum Kind
    {
        Space,
        Letter,
        Number,
        Other,
    }

    public override IEnumerable<(int Offset, int Length)> PreTokenize(string text)
    {
        for (int start = 0; start < text.Length;)
        {
            int end = End(text.AsSpan(), start, out Kind kind);
            if (kind != Kind.Space) yield return (start, end - start);
            start = end;
        }
    }

    public override IEnumerable<(int Offset, int Length)> PreTokenize(ReadOnlySpan<char> text) => PreTokenize(text.ToString());

    private static int End(ReadOnlySpan<char> text, int start, out Kind kind)
    {
        kind = Kind.Other;
        foreach (string piece in Fixed)
        {
            if (text[start..].StartsWith(piece, StringComparison.OrdinalIgnoreCase)) return start + piece.Length;
        }

        (kind, int end) = Next(text, start);
        while (end < text.Length && kind is not Kind.Number)
        {
            (Kind following, int after) = Next(text, end);
            if (following != kind) break;
            end = after;
        }

        return end;
    }

    private static (Kind Kind, int End) Next(ReadOnlySpan<char> text, int start)
    {
        bool whole = Rune.DecodeFromUtf16(text[start..], out Rune rune, out int length) == OperationStatus.Done;
        Kind kind = !whole ? Kind.Other : Rune.IsWhiteSpace(rune) ? Kind.Space : Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter => Kind.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Kind.Number,
            _ => Kind.Other,
        };
        return (kind, start + length);
    }
}
