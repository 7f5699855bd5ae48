using System.CommandLine;
using System.Globalization;
using DinoSharp.Features;

namespace DinoSharp.Cli.Pictures;

/// <summary>The options that say at what size, in which tiles and within how much memory the patches of pictures are computed.</summary>
internal sealed class ResolutionOptions
{
    private readonly Option<PictureSize> _size = PictureSize.Option();
    private readonly Option<int?> _tile = new("--tile") { Description = "Compute larger pictures in overlapping tiles of this side [default: as a whole, or what --max-memory allows]", HelpName = "PIXELS" };
    private readonly Option<int?> _overlap = new("--overlap") { Description = "Overlap of tiles, over which they are blended [default: a quarter of a tile]", HelpName = "PIXELS" };
    private readonly Option<long?> _maxMemory = MaxMemory("Most memory to use, for example 4GB: pictures that would take more are computed in the largest tiles that fit");

    /// <summary>The option <c>--max-memory</c>.</summary>
    public static Option<long?> MaxMemory(string description) => new("--max-memory")
    {
        Description = description,
        HelpName = "SIZE",
        CustomParser = result =>
        {
            string word = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
            if (Bytes(word) is { } bytes) return bytes;
            result.AddError($"--max-memory {word}: expected a number with MB or GB behind it, such as 4GB or 800MB");
            return null;
        },
    };

    /// <summary>The option <c>--guided</c> of the verbs that enlarge something from patches to pixels.</summary>
    public static Option<bool> Guided() => new("--guided") { Description = "Let borders follow the colours of the picture when patches are enlarged to pixels (joint bilateral upsampling)" };

    /// <summary>Adds them to a verb.</summary>
    public void AddTo(Command verb)
    {
        verb.Add(_size);
        verb.Add(_tile);
        verb.Add(_overlap);
        verb.Add(_maxMemory);
    }

    /// <summary>The size alone, for validators.</summary>
    public int? Size(System.CommandLine.Parsing.CommandResult result) => result.GetValue(_size)?.Pixels;

    /// <summary>What the user chose; null for the size means the picture's own.</summary>
    public ExtractOptions Read(ParseResult arguments) => new()
    {
        ImageSizePixels = arguments.GetValue(_size)!.Pixels,
        TileSizePixels = arguments.GetValue(_tile),
        TileOverlapPixels = arguments.GetValue(_overlap),
        MaxMemoryBytes = arguments.GetValue(_maxMemory),
    };

    // Powers of 1024, as memory is sold.
    internal static long? Bytes(string word)
    {
        string number = word.TrimEnd('B', 'b').TrimEnd('i');
        (long unit, string digits) = number.Length == 0 ? (0, "") : char.ToUpperInvariant(number[^1]) switch
        {
            'K' => (1L << 10, number[..^1]),
            'M' => (1L << 20, number[..^1]),
            'G' => (1L << 30, number[..^1]),
            'T' => (1L << 40, number[..^1]),
            _ => (0, ""), // a bare number could be bytes, megabytes or a mistake
        };
        return unit > 0 && double.TryParse(digits.Trim(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) && value * unit is >= 1 and < long.MaxValue ? (long)(value * unit) : null;
    }
}
