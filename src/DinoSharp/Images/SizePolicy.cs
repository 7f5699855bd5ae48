namespace DinoSharp.Images;

/// <summary>Which size a picture is brought to before a model sees it.</summary>
public sealed record SizePolicy
{
    private SizePolicy(Rule how, int width, int height)
    {
        How = how;
        Width = width;
        Height = height;
    }

    internal enum Rule
    {
        Exact,
        KeepAspect,
        ShorterSide,
        ShorterSideRounded,
        LongerSide,
        FixedHeight,
        Native,
    }

    /// <summary>The picture as it is, less the rim of at most one patch at the right and bottom that makes no whole patch. The original ignores that rim, too.</summary>
    public static SizePolicy Native { get; } = new(Rule.Native, 0, 0);

    internal Rule How { get; }

    internal int Width { get; }

    internal int Height { get; }

    /// <summary>Stretched to a square; what Hugging Face's processor and the model card do.</summary>
    /// <param name="pixels">Side, a multiple of the patch size.</param>
    public static SizePolicy Square(int pixels) => Exact(pixels, pixels);

    /// <summary>Stretched to a given size.</summary>
    /// <param name="width">Width, a multiple of the patch size.</param>
    /// <param name="height">Height, a multiple of the patch size.</param>
    public static SizePolicy Exact(int width, int height) => new(Rule.Exact, Positive(width), Positive(height));

    /// <summary>The shorter side to a given length, the longer one to the multiple of the patch size that keeps the aspect best.</summary>
    /// <param name="shorterSidePixels">Length of the shorter side, a multiple of the patch size.</param>
    public static SizePolicy KeepAspect(int shorterSidePixels) => new(Rule.KeepAspect, Positive(shorterSidePixels), shorterSidePixels);

    /// <summary>
    /// The shorter side to a given length, the longer one in exact proportion, rounded down: not in general a multiple of the patch size, so
    /// <see cref="Preprocessing.CenterCropPixels"/> follows. The official evaluation is 256 with a crop of 224.
    /// </summary>
    /// <param name="pixels">Length of the shorter side.</param>
    public static SizePolicy ShorterSide(int pixels) => new(Rule.ShorterSide, Positive(pixels), pixels);

    /// <summary>Like <see cref="ShorterSide"/>, the other side rounded to the nearest pixel instead of down: the rule of the paper's linear segmentation.</summary>
    /// <param name="pixels">Length of the shorter side.</param>
    public static SizePolicy ShorterSideRounded(int pixels) => new(Rule.ShorterSideRounded, Positive(pixels), pixels);

    /// <summary>Like <see cref="ShorterSide"/> for the longer side.</summary>
    /// <param name="pixels">Length of the longer side.</param>
    public static SizePolicy LongerSide(int pixels) => new(Rule.LongerSide, Positive(pixels), pixels);

    /// <summary>The rule of the official notebooks (there with 768): fixed height whatever the orientation, width in proportion, rounded down to whole patches.</summary>
    /// <param name="pixels">Height, a multiple of the patch size.</param>
    public static SizePolicy FixedHeight(int pixels) => new(Rule.FixedHeight, Positive(pixels), pixels);

    /// <summary>For messages.</summary>
    public override string ToString() => How switch
    {
        Rule.Native => "native size",
        Rule.Exact => $"{Width}×{Height}",
        _ => $"{How} {Height}",
    };

    /// <summary>The size to resize to; sides may be 0 if the picture is too narrow.</summary>
    internal (long Width, long Height) Target(int width, int height, int patch)
    {
        (int shorter, int longer) = width <= height ? (width, height) : (height, width);
        return How switch
        {
            Rule.Exact => (Width, Height),
            Rule.Native => (width, height),
            Rule.FixedHeight => ((long)((double)width * Height / ((double)height * patch)) * patch, Height),
            Rule.KeepAspect => Sides(Height, Math.Max(1, (long)Math.Round((double)longer * Height / shorter / patch, MidpointRounding.AwayFromZero)) * patch),
            Rule.ShorterSideRounded => Sides(Height, (long)(((double)Height * longer / shorter) + 0.5)),
            Rule.ShorterSide => Sides(Height, (long)((double)Height * longer / shorter)),
            _ => Sides((long)((double)Height * shorter / longer), Height),
        };

        (long Width, long Height) Sides(long forShorter, long forLonger) => width <= height ? (forShorter, forLonger) : (forLonger, forShorter);
    }

    /// <summary>A policy as it was written down.</summary>
    internal static SizePolicy Of(Rule how, int width, int height) => how == Rule.Native ? Native : new(how, Positive(width), Positive(height));

    /// <summary>The same policy for a picture that is larger or smaller by a factor; lengths are rounded down, or up to a multiple.</summary>
    internal SizePolicy Scaled(double factor, int multiple, int width, int height)
    {
        return How == Rule.Native ? Exact(Length(width), Length(height)) : new SizePolicy(How, Length(Width), Length(Height));

        int Length(int pixels)
        {
            int scaled = Math.Max(1, (int)(pixels * factor + 1e-9));
            return (scaled + multiple - 1) / multiple * multiple;
        }
    }

    private static int Positive(int pixels) => pixels > 0 ? pixels : throw new DinoSharpException($"an image size must be above 0 pixels, not {pixels}");
}
