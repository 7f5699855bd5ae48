using DinoSharp.Features;
using DinoSharp.Features.Matching;
using DinoSharp.Images;

namespace DinoSharp.Cli.Pictures;

/// <summary>Two pictures side by side with lines between equal places.</summary>
internal static class MatchPicture
{
    private const int Gap = 12, MostLines = 60, Components = 3;
    private const double Thickness = 2;

    /// <summary>Draws lines for a spread-out part of the matches: more than some sixty hide each other. Equal colours go with equal places of A.</summary>
    /// <param name="a">Picture A.</param>
    /// <param name="b">Picture B.</param>
    /// <param name="matches">The matches.</param>
    /// <param name="dense">Patches and foreground of both: below the lines, both in colours of which equal ones mean equal things, as in the original's example. Null: lines alone.</param>
    public static ImageBuffer Draw(Photo a, Photo b, IReadOnlyList<PatchMatch> matches, (PatchMap A, PatchMap B, PatchMask? ForegroundA, PatchMask? ForegroundB)? dense = null)
    {
        ImageBuffer left = a.Panel(), right = b.Panel();
        int height = Math.Max(left.Height, right.Height);
        var canvas = new Canvas(left.Width + Gap + right.Width, dense is null ? height : (2 * height) + Gap);
        canvas.Draw(left, 0, 0);
        canvas.Draw(right, left.Width + Gap, 0);
        double scaleA = (double)left.Width / a.Pixels.Width, scaleB = (double)right.Width / b.Pixels.Width;
        foreach (PatchMatch match in Spread(matches, a.Pixels))
        {
            (double, double) from = (match.A.X * scaleA, match.A.Y * scaleA), to = (left.Width + Gap + (match.B.X * scaleB), match.B.Y * scaleB);
            canvas.Line(from, to, Thickness, Color(match.A.X / a.Pixels.Width, match.A.Y / a.Pixels.Height));
        }

        if (dense is var (mapA, mapB, foregroundA, foregroundB) && matches.Count > Components)
        {
            (mapA, mapB) = (mapA.ToUnitLength(), mapB.ToUnitLength());
            bool[] matched = new bool[mapA.Count];
            foreach (PatchMatch match in matches) matched[match.PatchA] = true;
            Pca pca = Pca.Fit([mapA], Components, [new PatchMask(mapA.Height, mapA.Width, matched)]);
            canvas.Draw(pca.Project(mapA, foreground: foregroundA).ToImage(left.Width, left.Height), 0, height + Gap);
            canvas.Draw(pca.Project(mapB, foreground: foregroundB).ToImage(right.Width, right.Height), left.Width + Gap, height + Gap);
        }

        return canvas.ToPicture();
    }

    private static IEnumerable<PatchMatch> Spread(IReadOnlyList<PatchMatch> matches, ImageBuffer picture)
    {
        double spacing = Math.Sqrt((double)picture.Width * picture.Height / MostLines);
        PatchMatch[] best = [.. matches.GroupBy(m => ((int)(m.A.X * 2 / spacing), (int)(m.A.Y * 2 / spacing))).Select(cell => cell.MaxBy(m => m.Similarity)!)]; // of tens of thousands, those that can be seen
        return PointSpacing.Select([.. best.Select(m => m.A)], spacing).Select(i => best[i]);
    }

    // Around the colour circle from left to right, darker downwards.
    private static (byte Red, byte Green, byte Blue) Color(double x, double y)
    {
        double value = 255 * (1 - (0.45 * Math.Clamp(y, 0, 1)));
        return (Channel(0), Channel(2), Channel(4));

        byte Channel(int offset)
        {
            double position = ((Math.Clamp(x, 0, 1) * 5) + offset) % 6; // 5 of 6 parts: both ends of the circle are red
            return (byte)(value * Math.Clamp(Math.Abs(position - 3) - 1, 0, 1));
        }
    }
}
