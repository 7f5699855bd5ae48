using System.Globalization;

namespace DinoSharp.Training.Runs.Reports;

/// <summary>One curve: a figure over the steps of a run.</summary>
/// <param name="Name">In the legend.</param>
/// <param name="Points">By ascending step.</param>
internal sealed record Curve(string Name, IReadOnlyList<(double Step, double Value)> Points);

/// <summary>Curves over steps, with the beginnings of phases marked.</summary>
internal static class LineChart
{
    public const int Width = 720, Height = 320;
    private const double Left = 84, Right = 14, Top = 54, Bottom = 58;
    private const int MostPoints = 400;

    // Okabe and Ito's colours, which people of all kinds of sight tell apart.
    private static readonly (byte, byte, byte)[] Colors = [(0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (120, 120, 120)];

    /// <summary>Draws a chart.</summary>
    /// <param name="title">Above it.</param>
    /// <param name="curves">At least one with a point.</param>
    /// <param name="phases">Names and first steps of the phases.</param>
    public static Drawing Draw(string title, IReadOnlyList<Curve> curves, IReadOnlyList<(string Name, long Step)> phases)
    {
        var drawing = new Drawing(Width, Height);
        double last = Math.Max(1, curves.Max(c => c.Points.Max(p => p.Step)));
        (double low, double high, double step) = Axis(curves.Min(c => c.Points.Min(p => p.Value)), curves.Max(c => c.Points.Max(p => p.Value)));
        double X(double s) => Left + (s / last * (Width - Left - Right));
        double Y(double v) => Height - Bottom - ((v - low) / (high - low) * (Height - Top - Bottom));
        for (double v = low; v <= high + (step / 2); v += step)
        {
            drawing.Line([(Left, Y(v)), (Width - Right, Y(v))], (225, 225, 225), 1);
            drawing.Text(Left - 6, Y(v), Number(Math.Abs(v) < step / 1e6 ? 0 : v), 1);
        }

        (_, double end, double every) = Axis(0, last);
        for (double s = 0; s <= Math.Min(end, last); s += every) drawing.Text(X(s), Height - Bottom + 14, Number(s), 0.5);
        foreach (((string name, long first), int i) in phases.Select((p, i) => (p, i)).Where(p => p.p.Step <= last))
        {
            if (first > 0) drawing.Line([(X(first), Top), (X(first), Height - Bottom)], (150, 150, 150), 1);
            bool overflows = X(first) + (12 * name.Length) > Width;
            if (phases.Count > 1) drawing.Text(overflows ? Width - 2 : X(first) + 4, Top - 11 - (14 * (i % 2)), name, overflows ? 1 : 0); // neighbours in two rows
        }

        drawing.Text(Left, 14, title);
        double at = Left;
        foreach ((Curve curve, int i) in curves.Select((c, i) => (c, i)))
        {
            (byte, byte, byte) color = Colors[i % Colors.Length];
            drawing.Line([.. Thinned(curve.Points).Select(p => (X(p.Step), Y(p.Value)))], color, 2);
            if (curve.Points.Count <= 40) foreach ((double s, double v) in curve.Points) drawing.Line([(X(s) - 1, Y(v)), (X(s) + 1, Y(v))], color, 6);
            drawing.Line([(at, Height - 16), (at + 18, Height - 16)], color, 4);
            drawing.Text(at + 24, Height - 16, curve.Name);
            at += 46 + (12 * curve.Name.Length);
        }

        return drawing;
    }

    /// <summary>Ends and distance of the marks of an axis: 1, 2 or 5 times a power of ten apart, about five of them.</summary>
    internal static (double Low, double High, double Step) Axis(double low, double high)
    {
        double room = high == 0 ? 1 : Math.Abs(high) / 10; // for a figure that never changes
        if (high - low < 1e-9 * room) (low, high) = (low - room, high + room);
        double rough = (high - low) / 5, power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        double step = power * (rough / power) switch { <= 1 => 1, <= 2 => 2, <= 5 => 5, _ => 10 };
        return (Math.Floor(low / step) * step, Math.Ceiling(high / step) * step, step);
    }

    private static string Number(double value) => Math.Abs(value) switch
    {
        >= 1e6 => (value / 1e6).ToString("0.##", CultureInfo.InvariantCulture) + "m",
        >= 1e4 => (value / 1e3).ToString("0.##", CultureInfo.InvariantCulture) + "k",
        0 or >= 1e-3 => value.ToString("0.####", CultureInfo.InvariantCulture),
        _ => value.ToString("0.##e-0", CultureInfo.InvariantCulture),
    };

    // Means of neighbours, where there are more points than can be seen.
    private static IEnumerable<(double Step, double Value)> Thinned(IReadOnlyList<(double Step, double Value)> points) =>
        points.Chunk(Math.Max(1, (points.Count + MostPoints - 1) / MostPoints)).Select(chunk => (chunk.Average(p => p.Step), chunk.Average(p => p.Value)));
}
