using System.CommandLine;
using System.Globalization;
using DinoSharp.Cli.Pictures;
using DinoSharp.Heads;
using DinoSharp.Images;
using DinoSharp.Weights;

namespace DinoSharp.Cli.Predicting;

/// <summary>The options that say how a head looks at a picture: at what size, in which windows, how often, within how much memory.</summary>
internal sealed class LookOptions
{
    private readonly Option<string?> _size = new("--size")
    {
        Description = "Heads with an answer for each pixel, and detectors: length of the shorter side at which the network sees a picture, or 'native' for its own size [default: as the head was made]",
        HelpName = "PIXELS|native",
    };

    private readonly Option<int?> _window = new("--window") { Description = "Answers for each pixel: see larger pictures in overlapping windows of this side, 0 for whole [default: as the head was made]", HelpName = "PIXELS" };
    private readonly Option<bool> _flip = new("--flip") { Description = "Answers for each pixel: see each picture in a mirror as well, and take the mean" };
    private readonly Option<double[]> _scales = new("--scales") { Description = "Answers for each pixel: see each picture at these multiples of the size, and take the mean", HelpName = "FACTOR", AllowMultipleArgumentsPerToken = true };
    private readonly Option<long?> _maxMemory = ResolutionOptions.MaxMemory("Answers for each pixel: most memory to use, for example 4GB; pictures that would take more are seen in the largest windows that fit");

    /// <summary>Adds them to a verb.</summary>
    public void AddTo(Command verb)
    {
        foreach (Option option in (Option[])[_size, _window, _flip, _scales, _maxMemory]) verb.Add(option);
        verb.Validators.Add(result =>
        {
            if (result.GetValue(_size) is { } word && Size(word) is null) result.AddError($"--size {word}: expected a number of pixels or 'native'");
            if (result.GetValue(_window) is < 0) result.AddError("--window must be a number of pixels, or 0 for whole");
        });
    }

    /// <summary>What was asked for; refuses what the head cannot do.</summary>
    /// <param name="arguments">The command line.</param>
    /// <param name="head">File of the head, for messages.</param>
    /// <param name="kind">What it is.</param>
    /// <param name="perPixel">Whether words are compared with pixels.</param>
    public DenseOptions Read(ParseResult arguments, string head, HeadKind kind, bool perPixel)
    {
        bool dense = kind is HeadKind.LinearSegmentation or HeadKind.DptSegmentation or HeadKind.Mask2Former or HeadKind.LinearDepth or HeadKind.DptDepth || perPixel, boxes = kind is HeadKind.CenterDetection or HeadKind.Detr;
        SizePolicy? size = arguments.GetValue(_size) is { } word ? Size(word) : null;
        bool more = arguments.GetValue(_window) is not null || arguments.GetValue(_flip) || arguments.GetValue(_scales) is { Length: > 0 } || arguments.GetValue(_maxMemory) is not null;
        if ((more && !dense) || (size is not null && !dense && !boxes))
            throw new DinoSharpException($"{head}: is a {kind} head; --window, --flip, --scales and --max-memory are for heads with an answer for each pixel, --size for those and for detectors");
        int? window = arguments.GetValue(_window);
        return new DenseOptions
        {
            Size = size,
            Windows = window is > 0 and int side ? new HeadWindows(side, Math.Max(1, side * 2 / 3)) : null,
            Whole = window == 0,
            Flip = arguments.GetValue(_flip),
            Scales = arguments.GetValue(_scales) is { Length: > 0 } scales ? scales : [1],
            MaxMemoryBytes = arguments.GetValue(_maxMemory),
        };
    }

    private static SizePolicy? Size(string word) =>
        word == "native" ? SizePolicy.Native : int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out int side) && side > 0 ? SizePolicy.ShorterSide(side) : null;
}
