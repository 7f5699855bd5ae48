using System.IO.Compression;
using Microsoft.ML.Tokenizers;

namespace DinoSharp.Heads.Text;

/// <summary>Byte-pair tokenizer of CLIP, which dino.txt uses: 49,408 tokens, lower case, sequences of fixed length (Radford et al. 2021).</summary>
/// <remarks>The vocabulary comes with the library. Safe for use from several threads.</remarks>
public sealed class ClipTokenizer
{
    /// <summary>Id that begins every sequence.</summary>
    public const int StartOfText = 49406;

    /// <summary>Id that ends every sequence; the largest id.</summary>
    public const int EndOfText = 49407;

    private const int Merges = 48894;

    private static readonly Lazy<ClipTokenizer> Shared = new(() =>
    {
        using Stream vocabulary = typeof(ClipTokenizer).Assembly.GetManifestResourceStream("DinoSharp.bpe_simple_vocab_16e6.txt.gz")!;
        return new ClipTokenizer(vocabulary);
    });

    private readonly BpeTokenizer _tokenizer;

    private ClipTokenizer(Stream vocabulary)
    {
        using var reader = new StreamReader(new GZipStream(vocabulary, CompressionMode.Decompress));
        string[] merges = [.. Lines(reader).Skip(1).Take(Merges)];
        string[] bytes = ByteCharacters();
        string[] tokens = [.. bytes, .. bytes.Select(b => b + "</w>"), .. merges.Select(m => m.Replace(" ", "", StringComparison.Ordinal)), ClipPieces.StartOfText, ClipPieces.EndOfText];
        _tokenizer = BpeTokenizer.Create(new BpeOptions(tokens.Select((token, id) => KeyValuePair.Create(token, id)))
        {
            Merges = merges,
            PreTokenizer = new ClipPieces(),
            SpecialTokens = new Dictionary<string, int> { [ClipPieces.StartOfText] = StartOfText, [ClipPieces.EndOfText] = EndOfText },
            EndOfWordSuffix = "</w>",
            ByteLevel = true,
        });
    }

    /// <summary>The tokenizer with the published vocabulary.</summary>
    public static ClipTokenizer Default => Shared.Value;

    /// <summary>Ids of a text of any length, without start and end.</summary>
    /// <param name="text">Any text; it is cleaned first (markup, look-alike characters, white space, case).</param>
    public IReadOnlyList<int> Encode(string text) => _tokenizer.EncodeToIds(TextCleaning.Clean(text));

    /// <summary>A sequence for the text tower: start, ids, end, then zeros. Longer texts are cut, the last id is always the end.</summary>
    /// <param name="text">Any text.</param>
    /// <param name="contextLength">Length of the sequence; published model 77.</param>
    public long[] Tokenize(string text, int contextLength = 77)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(contextLength, 2);
        long[] sequence = new long[contextLength];
        int[] ids = [StartOfText, .. Encode(text), EndOfText];
        for (int i = 0; i < Math.Min(ids.Length, contextLength); i++) sequence[i] = ids[i];
        if (ids.Length > contextLength) sequence[^1] = EndOfText;
        return sequence;
    }

    private static IEnumerable<string> Lines(StreamReader reader)
    {
        while (reader.ReadLine() is { } line) yield return line;
    }

    // Printable bytes stand for themselves and come first; the other 68 are moved to U+0100 and following.
    private static string[] ByteCharacters()
    {
        int[] printable = [.. Enumerable.Range(33, 94), .. Enumerable.Range(161, 12), .. Enumerable.Range(174, 82)];
        return [.. printable.Select(b => ((char)b).ToString()), .. Enumerable.Range(256, 256 - printable.Length).Select(c => ((char)c).ToString())];
    }
}
