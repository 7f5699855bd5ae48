using System.Globalization;
using System.Text;

namespace DinoSharp.Heads.Text;

/// <summary>Unicode normalisation form C and normal character widths. Programs without the system's Unicode library (invariant globalization) get no normalisation from
/// <see cref="string.Normalize()"/>, so the tables travel with us.</summary>
internal static class CanonicalForms
{
    private const int HangulBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TailBase = 0x11A7;
    private const int LeadCount = 19, VowelCount = 21, TailCount = 28, HangulCount = LeadCount * VowelCount * TailCount;

    private static readonly Lazy<Tables> Loaded = new(Load);

    /// <summary>Decomposes, sorts combining marks and composes again.</summary>
    public static string Compose(string text)
    {
        if (text.All(c => c < 0x300)) return text; // nothing below combines or is replaced
        var points = new List<int>();
        foreach (Rune rune in text.EnumerateRunes()) Decompose(rune.Value, points);
        Sort(points);
        Combine(points);
        return ToText(points);
    }

    /// <summary>Full-width and half-width forms to their normal width.</summary>
    public static string NormalWidth(string text)
    {
        if (text.All(c => c < 0x3000)) return text;
        var result = new StringBuilder(text.Length);
        foreach (char c in text) result.Append(Loaded.Value.Widths.TryGetValue(c, out string? normal) ? normal : c.ToString());
        return result.ToString();
    }

    private static void Decompose(int point, List<int> into)
    {
        int syllable = point - HangulBase;
        if (syllable is >= 0 and < HangulCount)
        {
            into.AddRange([LeadBase + syllable / (VowelCount * TailCount), VowelBase + syllable / TailCount % VowelCount]);
            if (syllable % TailCount > 0) into.Add(TailBase + syllable % TailCount);
        }
        else if (Loaded.Value.Decompositions.TryGetValue(point, out int[]? parts))
        {
            foreach (int part in parts) Decompose(part, into);
        }
        else
        {
            into.Add(point);
        }
    }

    // Marks of one base character are ordered by their class; equal classes keep their order.
    private static void Sort(List<int> points)
    {
        for (int i = 1; i < points.Count; i++)
        {
            int point = points[i], order = Class(point), j = i;
            if (order == 0) continue;
            for (; j > 0 && Class(points[j - 1]) > order; j--) points[j] = points[j - 1];
            points[j] = point;
        }
    }

    private static void Combine(List<int> points)
    {
        int starter = -1, last = -1, kept = 0; // last: class of the mark before, -1 directly after the starter
        for (int i = 0; i < points.Count; i++)
        {
            int point = points[i], order = Class(point);
            if (starter >= 0 && last < order && Pair(points[starter], point) is int composed)
            {
                points[starter] = composed;
                continue;
            }

            if (order == 0) (starter, last) = (kept, -1);
            else last = order;
            points[kept++] = point;
        }

        points.RemoveRange(kept, points.Count - kept);
    }

    private static int? Pair(int first, int second)
    {
        int lead = first - LeadBase, vowel = second - VowelBase, syllable = first - HangulBase, tail = second - TailBase;
        if (lead is >= 0 and < LeadCount && vowel is >= 0 and < VowelCount) return HangulBase + (lead * VowelCount + vowel) * TailCount;
        if (syllable is >= 0 and < HangulCount && syllable % TailCount == 0 && tail is > 0 and < TailCount) return first + tail;
        return Loaded.Value.Compositions.TryGetValue((first, second), out int composed) ? composed : null;
    }

    private static int Class(int point) => Loaded.Value.Classes.GetValueOrDefault(point);

    private static string ToText(IEnumerable<int> points) => string.Concat(points.Select(char.ConvertFromUtf32));

    private static Tables Load()
    {
        var tables = new Tables([], [], [], []);
        using var reader = new StreamReader(typeof(CanonicalForms).Assembly.GetManifestResourceStream("DinoSharp.canonical-forms.txt")!);
        while (reader.ReadLine() is { } line)
        {
            string[] parts = line.Split(' ');
            if (parts[0] == "#") continue;
            int[] points = [.. parts.Skip(1).Select(p => int.Parse(p, NumberStyles.HexNumber, CultureInfo.InvariantCulture))];
            if (parts[0] == "=") tables.Compositions.Add((points[1], points[2]), points[0]);
            if (parts[0] is "=" or "<") tables.Decompositions.Add(points[0], points[1..]);
            if (parts[0] == "w") tables.Widths.Add((char)points[0], ToText(points[1..]));
            if (parts[0] != "~") continue;
            for (int point = points[0]; point <= points[1]; point++) tables.Classes.Add(point, int.Parse(parts[3], CultureInfo.InvariantCulture));
        }

        return tables;
    }

    private sealed record Tables(Dictionary<int, int[]> Decompositions, Dictionary<(int, int), int> Compositions, Dictionary<int, int> Classes, Dictionary<char, string> Widths);
}
