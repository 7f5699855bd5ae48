using System.CommandLine;
using System.Diagnostics;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Heads.Depth;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;

namespace DinoSharp.Cli.Fitting;

/// <summary><c>dino fit depth</c>: metres for each pixel.</summary>
internal sealed class FitDepthVerb : Verb
{
    private readonly Option<double> _scale = new("--depth-scale") { Description = "Metres of one unit of the depth maps; 0.001 if they are in millimetres", HelpName = "METRES", DefaultValueFactory = _ => 0.001 };
    private readonly DenseOptionsOfFit _dense;

    public FitDepthVerb()
        : base(
            "depth",
            "Learn the distance of each pixel from measured depth",
            "dino fit depth --images rgb --depth depth --depth-scale 0.001 --out table.safetensors --model dinov3-vits16",
            "dino fit depth --images train/rgb --depth train/depth --val-images val/rgb --val-depth val/depth --decoder dpt --out table.safetensors --model dinov3-vits16 --json")
    {
        Add(_scale);
        _dense = new DenseOptionsOfFit(this, "depth", "Folder of depth maps (16-bit .png or float .tif, 0 where nothing was measured) named like their pictures");
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        (string headPath, string picture) = _dense.Shared.Outputs(arguments, "examples");
        (MapPairs train, MapPairs? validation) = _dense.Pairs(arguments);
        DenseFitOptions options = _dense.Options(arguments);
        using DinoModel model = _dense.Shared.Load(arguments, cancel);
        var time = Stopwatch.StartNew();
        using DepthFitResult result = await output.WithProgressAsync(
            "fitting",
            train.Count + (validation?.Count ?? 0) + options.Steps,
            progress => Task.Run(() => DepthFit.Run(model, train, validation, arguments.GetValue(_scale), options, progress, cancel), CancellationToken.None));
        double seconds = time.Elapsed.TotalSeconds;
        result.Head.Save(headPath);
        SavedPicture sheet = SavedPicture.Save(PictureSheet.Compose([.. result.Examples.Select(Row)]), picture);
        ExitCode code = FitOptions.Report(output, result.Unreadable, result.Leaked);
        output.Show(
            new
            {
                output = headPath,
                metrics = new { rmse = result.Rmse.Value, absRel = result.AbsoluteRelative.Value, delta1 = result.Delta1.Value },
                interval = FitOptions.Interval(result.Rmse),
                intervals = new { rmse = FitOptions.Interval(result.Rmse), absRel = FitOptions.Interval(result.AbsoluteRelative), delta1 = FitOptions.Interval(result.Delta1) },
                constant = new { absRel = result.ConstantAbsoluteRelative },
                n = result.Counts.Validation,
                groups = result.Groups,
                trained = result.Counts.Training,
                decoder = options.Decoder,
                loss = result.FinalLoss,
                picture = sheet.Path,
                computed = result.Computed,
                seconds = Math.Round(seconds, 3),
                leaked = result.Leaked,
                skipped = result.Unreadable.Select(e => new { path = e.Name, reason = e.Cause }),
            },
            [
                FormattableString.Invariant($"RMSE {result.Rmse.Value:0.000} m [{result.Rmse.Low:0.000}, {result.Rmse.High:0.000}] on {result.Counts.Validation} pictures not seen in training ({result.Counts.Training} pictures)"),
                $"within a factor of 1.25: {FitOptions.Percent(result.Delta1)}; relative error {FitOptions.Percent(result.AbsoluteRelative)}",
                FormattableString.Invariant($"(saying the median depth everywhere has a relative error of {100 * result.ConstantAbsoluteRelative:0.0} %)"),
                $"{sheet} (picture, truth, prediction; dark is near, gray was not measured)",
                FitOptions.Saved(headPath, result.Computed, seconds),
            ]);
        return code;
    }

    private static IReadOnlyList<PictureSheet.Panel> Row(DepthExample example)
    {
        float[] known = [.. example.Truth.Meters.ToArray().Where(m => m > 0)];
        var range = new ValueRange(known.Min(), known.Max());
        return
        [
            new(Photo.Panel(Photo.Read([example.Image])[0].Pixels), "picture"),
            new(Photo.Panel(Measured(example.Truth, range)), FormattableString.Invariant($"truth, {range.Low:0.00} to {range.High:0.00} m")),
            new(Photo.Panel(example.Predicted.ToImage(range)), "prediction"),
        ];
    }

    // What was not measured is gray: in the colours of the map it would look nearest of all.
    private static ImageBuffer Measured(DepthMap truth, ValueRange range)
    {
        byte[] pixels = truth.ToImage(range).Samples<byte>().ToArray();
        float[] meters = truth.Meters.ToArray();
        for (int i = 0; i < meters.Length; i++)
        {
            if (!(meters[i] > 0)) pixels.AsSpan(i * 3, 3).Fill(160);
        }

        return ImageBuffer.FromSamples<byte>(truth.Width, truth.Height, 3, pixels);
    }
}
