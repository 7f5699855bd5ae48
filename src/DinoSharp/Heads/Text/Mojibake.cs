using System.Text;
using System.Text.RegularExpressions;

namespace DinoSharp.Heads.Text;

/// <summary>Undoes UTF-8 text that was read as windows-1252: "cafÃ©" becomes "café".</summary>
/// <remarks>A small rule of our own in the place of ftfy's statistics: other code pages stay as they are.</remarks>
internal static partial class Mojibake
{
    // What windows-1252 has at 0x80 to 0x9F; the five unused bytes keep their control characters.
    private const string HighControls = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008DŽ\u008F\u0090‘’“”•–—˜™š›œ\u009DžŸ";
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>One line of text, repaired if it looks broken, as a whole or in parts.</summary>
    public static string Repair(string line)
    {
        if (line.All(char.IsAscii)) return line;
        return Decode(line) ?? Sequences().Replace(line, match => Decode(match.Value) ?? match.Value);
    }

    /// <summary>Null: the text is not one that was read in a wrong encoding.</summary>
    private static string? Decode(string text)
    {
        byte[]? bytes = ToBytes(text);
        if (bytes is null || !LooksBroken(bytes)) return null;
        try
        {
            return Strict.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }

    /// <summary>A C1 control character as the windows-1252 character that was meant.</summary>
    public static char ReadControl(char c) => c is >= '\u0080' and <= '\u009F' ? HighControls[c - 0x80] : c;

    private static byte[]? ToBytes(string line)
    {
        byte[] bytes = new byte[line.Length];
        for (int i = 0; i < line.Length; i++)
        {
            int high = HighControls.IndexOf(line[i], StringComparison.Ordinal);
            if (high < 0 && line[i] > 0xFF) return null;
            bytes[i] = (byte)(high >= 0 ? 0x80 + high : line[i]);
        }

        return bytes;
    }

    // Neighbouring sequences of bytes that UTF-8 allows: a beginning and one, two or three continuations, each as windows-1252 shows it.
    [GeneratedRegex("(?:[\u00C2-\u00DF]" + Continuation + "|[\u00E0-\u00EF]" + Continuation + "{2}|[\u00F0-\u00F4]" + Continuation + "{3})+")]
    private static partial Regex Sequences();

    private const string Continuation = "[\u0080-\u00BF€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]";

    // One pair such as "É»" can be meant. Pairs that begin with Â or Ã, longer sequences, or several pairs are never meant.
    private static bool LooksBroken(byte[] bytes)
    {
        int pairs = bytes.Count(b => b is >= 0xC2 and < 0xE0);
        return pairs >= 2 || bytes.Any(b => b is 0xC2 or 0xC3 or >= 0xE0);
    }
}
