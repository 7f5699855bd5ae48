using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Depth;
using DinoSharp.Images;
using DinoSharp.Layers;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Protocols.Benchmarks;
using DinoSharp.Training.Views.Dense;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols;

/// <summary>Linear depth (paper, appendix D.2): batch norm and one linear layer to 256 depth bins on the patches of the last block; or a head that is ready. The mean over pictures of each figure.</summary>
public static class DepthProtocol
{
    private const int Bins = 256;
    private const double WeightDecay = 1e-4, Clip = 35, WarmupShare = 12_800.0 / 38_400;

    /// <summary>The published length: 38,400 steps of 16 fresh views.</summary>
    public static DenseProbeOptions Published { get; } = new() { Steps = 38_400, Views = 0, Rate = 3e-4, Seed = 321 };

    /// <summary>Runs the protocol.</summary>
    /// <param name="model">The backbone.</param>
    /// <param name="train">Pictures to learn from; the views are 416 x 544 pixels of the pictures as they are, or as much of that as the smallest of them has.</param>
    /// <param name="val">Pictures to score, seen whole and mirrored.</param>
    /// <param name="maxMeters">Largest depth that counts.</param>
    /// <param name="options">Length and views; its size is of no account. Null: a short form on stored features.</param>
    /// <param name="progress">Told how far it is: views, steps, then validation pictures.</param>
    /// <param name="cancel">Checked between steps and pictures.</param>
    /// <param name="onPicture">Given every validation picture with its prediction.</param>
    /// <exception cref="DinoSharpException">A picture is smaller than a patch, cannot be read, or differs in size from its depth map; nothing was computed then.</exception>
    public static EvaluationResult Run(
        DinoModel model, DepthImages train, DepthImages val, double maxMeters = 10, DenseProbeOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default, Action<int, ImageBuffer, DepthMap>? onPicture = null)
    {
        options ??= new DenseProbeOptions();
        var bins = DepthBins.Nyu with { MaxMeters = maxMeters };
        int patch = model.Preprocessing.PatchSizePixels;
        (int Width, int Height)[] sizes = PictureSizes.Require(train.Images, train.Depths);
        PictureSizes.Require(val.Images, val.Depths);
        using var scope = NewDisposeScope();
        var head = new LinearDepthHead([model.Backbone.Config.EmbedDim], Bins);
        var input = new HeadInput
        {
            Layers = [model.Backbone.Config.LayerCount - 1],
            Preprocessing = new Preprocessing { Size = SizePolicy.Native, PatchSizePixels = 1, Normalization = model.Preprocessing.Normalization },
            Fit = ImageFit.CenterPaddingKept,
            MultiplePixels = patch,
        };
        using var estimator = new DepthEstimator(model.Backbone, input, head, bins);
        var augmentation = new DepthAugmentation { NyuFrameCrop = train.Region == DepthRegion.NyuEigen, Normalization = model.Preprocessing.Normalization };
        augmentation = Fitting(augmentation, sizes, patch);
        var schedule = new OneCycleSchedule { BaseRate = options.RateInUse, WarmupSteps = (long)(WarmupShare * options.Steps) };
        new DenseProbe(model.Backbone, head, options).Train(train.Images.Count, View, Loss, schedule, (WeightDecay, 0.9, 0.99, Clip), late: false, progress, cancel);
        EvaluationResult result = Score(estimator, model.Name, val, maxMeters, progress: new Shifted(progress, DenseProbe.Length(train.Images.Count, options)), cancel: cancel, onPicture: onPicture);
        return result with
        {
            Settings = new Dictionary<string, string>(options.Settings().Concat(result.Settings)) { ["trainImages"] = train.Images.Count.ToString(CultureInfo.InvariantCulture) },
        };

        Tensor Loss(Tensor scoresOfBins, Tensor truth, int step)
        {
            using var loss = NewDisposeScope();
            Tensor meters = MapResize.Bilinear(bins.ToMeters(scoresOfBins), truth.shape[2], truth.shape[3]); // [B, 1, H, W]
            Tensor valid = truth.gt(Num(0)) & truth.le(Num(maxMeters));
            return DepthLosses.ScaleInvariantLog(meters, truth, valid, variance: step >= DepthLosses.StepsWithoutVariance(options.Steps)).MoveToOuterDisposeScope();
        }

        (Tensor Image, Tensor Truth) View(int index, ulong seed)
        {
            ImageBuffer picture = ImageFile.Read(ImageSource.Stored(train.Images[index])).ToRgb8();
            (float[] meters, int width, int height) = train.Read(index);
            using var view = NewDisposeScope();
            Tensor image = tensor(picture.Samples<byte>().ToArray(), [picture.Height, picture.Width, 3]).permute(2, 0, 1).to(ScalarType.Float32) / Num(255); // [3, H, W]
            (Tensor x, Tensor y) = augmentation.Apply(image, tensor(meters, [1, height, width]), seed); // [3, h, w], [1, h, w]
            return (x.MoveToOuterDisposeScope(), y.MoveToOuterDisposeScope());
        }
    }

    /// <summary>Scores a depth head that is ready, such as a published one.</summary>
    /// <param name="head">The head.</param>
    /// <param name="model">Name of its backbone, for the report.</param>
    /// <param name="val">Pictures to score.</param>
    /// <param name="maxMeters">Largest depth that counts.</param>
    /// <param name="align">Brings each picture to the scale and shift with the least squared error first, as the published figures of the SYNTHMIX decoder do: they are of relative depth.</param>
    /// <param name="look">How to look at the pictures; null: as the head was made, and in a mirror as well, as published.</param>
    /// <param name="progress">Told how many pictures are done.</param>
    /// <param name="cancel">Checked between pictures.</param>
    /// <param name="onPicture">Given every picture with its prediction, aligned if asked for.</param>
    /// <exception cref="DinoSharpException">Pictures differ in size from their depth maps, or none can be read.</exception>
    public static EvaluationResult Score(
        DepthEstimator head, string model, DepthImages val, double maxMeters = 10, bool align = false, DenseOptions? look = null, IProgress<long>? progress = null, CancellationToken cancel = default, Action<int, ImageBuffer, DepthMap>? onPicture = null)
    {
        PictureSizes.Require(val.Images, val.Depths);
        look ??= new DenseOptions { Flip = true };
        (float least, float most) = ((float)DepthBins.Nyu.MinMeters, (float)maxMeters);
        var scores = new List<DepthScores>();
        (IReadOnlyList<int> scored, IReadOnlyList<ImageException> skipped) = ReadablePictures.ForEach(val.Images.Count, i =>
        {
            ImageBuffer picture = ImageFile.Read(ImageSource.Stored(val.Images[i]));
            (float[] truth, int width, int height) = val.Read(i);
            DepthMap predicted = head.Predict(picture, look, cancel);
            bool[] valid = val.Region.Mask(truth, width, limits: (least, most));
            if (align && valid.Contains(true)) predicted = new DepthMap(width, height, DepthAlignment.LeastSquares(truth, predicted.Meters, valid).Apply(predicted.Meters));
            float[] clamped = [.. predicted.Meters.ToArray().Select(m => Math.Clamp(m, least, most))];
            scores.Add(DepthScores.Measure(truth, clamped, valid));
            onPicture?.Invoke(i, picture, predicted);
        }, progress, cancel);

        if (scores.Count == 0) throw new DinoSharpException($"none of the {val.Images.Count} pictures to score can be read; the first says: {skipped[0].Message}");
        double[] rmse = [.. scores.Select(s => s.Rmse)];
        return new EvaluationResult
        {
            Task = "depth",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = new Dictionary<string, string>
            {
                ["maxMeters"] = maxMeters.ToString(CultureInfo.InvariantCulture),
                ["region"] = val.Region.ToString(),
                ["aligned"] = align ? "scale and shift" : "no",
            },
            Metrics = new Dictionary<string, double>
            {
                ["rmse"] = rmse.Average(),
                ["absRel"] = scores.Average(s => s.AbsoluteRelative),
                ["delta1"] = scores.Average(s => s.Delta1),
                ["delta2"] = scores.Average(s => s.Delta2),
                ["delta3"] = scores.Average(s => s.Delta3),
                ["log10"] = scores.Average(s => s.Log10),
                ["silog"] = scores.Average(s => s.SiLog),
                ["mae"] = scores.Average(s => s.MeanAbsolute),
            },
            Headline = "rmse",
            HigherIsBetter = false,
            Unit = "m",
            Items = [.. scored.Select(i => val.Images[i])],
            Skipped = skipped,
            Score = EvaluationResult.MeanOf(rmse),
        };
    }

    // Views in whole patches that fit into every picture.
    private static DepthAugmentation Fitting(DepthAugmentation published, (int Width, int Height)[] sizes, int patch)
    {
        (int Width, int Height)[] rooms = [.. sizes.Select(s => published.NyuFrameCrop ? DepthAugmentation.FrameSize(s.Width, s.Height) : s)];
        int height = Math.Min(published.HeightPixels, rooms.Min(r => r.Height)) / patch * patch, width = Math.Min(published.WidthPixels, rooms.Min(r => r.Width)) / patch * patch;
        if (height == 0 || width == 0) throw new DinoSharpException($"the smallest training picture leaves {rooms.Min(r => r.Width)}x{rooms.Min(r => r.Height)} pixels for a view, less than a patch of {patch}x{patch}; enlarge such pictures and their depth maps, or leave them out");
        return published with { HeightPixels = height, WidthPixels = width };
    }
}
