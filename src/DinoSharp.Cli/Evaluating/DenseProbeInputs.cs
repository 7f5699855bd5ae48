using System.CommandLine;
using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary>The options that the linear dense protocols share, and the sheet of their pictures.</summary>
internal sealed class DenseProbeInputs
{
    private const int MostRows = 8, PanelWidth = 360;

    private readonly DenseProbeOptions _published;
    private readonly Option<bool> _exact = new("--published") { Description = "The published length with fresh views in every step: the backbone runs in each, which takes days without a graphics card" };
    private readonly Option<int?> _steps = Count("--steps", "Steps of the optimizer [default: 1000; published: many more]");
    private readonly Option<int?> _batch = Count("--train-batch", "Views per step [default: 16, as published]");
    private readonly Option<int?> _views = Count("--views", "Random views of each picture whose features are computed once and used again [default: 4]");
    private readonly Option<double?> _rate = new("--rate") { Description = "Largest learning rate [default: 0.001; published for depth: 0.0003]", HelpName = "LR" };
    private readonly Option<int?> _size = SharedOptions.Size("Shorter side at which pictures are seen [default: 512, as published]");
    private readonly List<IReadOnlyList<PictureSheet.Panel>> _rows = [];

    public DenseProbeInputs(Command verb, DenseProbeOptions published, bool sized)
    {
        _published = published;
        _rate.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double?>() is double rate && !(rate > 0)) result.AddError("--rate must be above 0");
        });
        foreach (Option option in (Option[])[_exact, _steps, _batch, _views, _rate]) verb.Add(option);
        if (sized) verb.Add(_size);
    }

    /// <summary>What the user asked for.</summary>
    public DenseProbeOptions Read(ParseResult arguments)
    {
        DenseProbeOptions start = arguments.GetValue(_exact) ? _published : new DenseProbeOptions();
        return start with
        {
            Steps = arguments.GetValue(_steps) ?? start.Steps,
            BatchSize = arguments.GetValue(_batch) ?? start.BatchSize,
            Views = arguments.GetValue(_views) ?? start.Views,
            Rate = arguments.GetValue(_rate) ?? start.Rate,
            SizePixels = arguments.GetValue(_size) ?? start.SizePixels,
        };
    }

    /// <summary>Draws what was kept; null if nothing was.</summary>
    public Func<ImageBuffer>? Sheet => _rows.Count == 0 ? null : () => PictureSheet.Compose(_rows);

    /// <summary>Keeps a row of pictures for the sheet, a few of them evenly over the data.</summary>
    public void Keep(int index, int count, Func<ImageBuffer[]> pictures)
    {
        if (index % Math.Max(1, count / MostRows) == 0 && _rows.Count < MostRows) _rows.Add([.. pictures().Select(p => new PictureSheet.Panel(Small(p)))]);
    }

    private static ImageBuffer Small(ImageBuffer picture)
    {
        int height = Math.Max(1, PanelWidth * picture.Height / picture.Width);
        byte[] small = new byte[PanelWidth * height * 3];
        Resize.UInt8(picture.Samples<byte>(), picture.Width, picture.Height, 3, new PixelWindow(0, 0, picture.Width, picture.Height), small, PanelWidth, height, Interpolation.Bilinear, ResizeArithmetic.Pillow);
        return ImageBuffer.FromSamples<byte>(PanelWidth, height, 3, small);
    }

    private static Option<int?> Count(string name, string description)
    {
        var option = new Option<int?>(name) { Description = description, HelpName = "N" };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() < 1) result.AddError($"{name} must be at least 1");
        });
        return option;
    }
}
