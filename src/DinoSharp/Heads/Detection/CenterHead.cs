using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Layers;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Detection;

/// <summary>What a <see cref="CenterHead"/> says: how likely the middle of an object of each class lies in a cell, and how far the sides of its box are.</summary>
/// <param name="Heat">Logits [B, K, 2h, 2w].</param>
/// <param name="Sides">Distances to left, top, right and bottom in pixels of the input, above 0 [B, 4, 2h, 2w].</param>
internal sealed record CenterMaps(Tensor Heat, Tensor Sides);

/// <summary>A compact one-stage detector on a map of two cells to a patch: objects as points (Zhou et al. 2019), trained as by Liu et al. 2020 (TTFNet).</summary>
internal sealed class CenterHead : nn.Module
{
    /// <summary>Cells along the side of a patch.</summary>
    public const int CellsPerPatch = 2;

    private const double MaxLogSide = 8;

    [ComponentName(Name = "norm")] private readonly BatchNorm _norm;
    [ComponentName(Name = "reduce")] private readonly Convolution _reduce;
    [ComponentName(Name = "mix")] private readonly Convolution _mix;
    [ComponentName(Name = "mix_norm")] private readonly GroupNorm _mixNorm;
    [ComponentName(Name = "fine")] private readonly Convolution _fine;
    [ComponentName(Name = "fine_norm")] private readonly GroupNorm _fineNorm;
    [ComponentName(Name = "heat_hidden")] private readonly Convolution _heatHidden;
    [ComponentName(Name = "heat_output")] private readonly Convolution _heatOutput;
    [ComponentName(Name = "side_hidden")] private readonly Convolution _sideHidden;
    [ComponentName(Name = "side_output")] private readonly Convolution _sideOutput;

    /// <param name="channels">Width of all layers together.</param>
    /// <param name="width">Channels inside, a multiple of 32.</param>
    /// <param name="classes">Number K of classes.</param>
    /// <param name="device">Where the weights live.</param>
    public CenterHead(int channels, int width, int classes, Device? device = null)
        : base(nameof(CenterHead))
    {
        if (width < 32 || width % 32 != 0) throw new ArgumentException($"the width of the head must be a multiple of 32, found {width}", nameof(width));
        _norm = new BatchNorm(channels, device);
        _reduce = new Convolution(channels, width, kernel: 1, stride: 1, device: device);
        _mix = new Convolution(width, width, kernel: 3, stride: 1, padding: 1, device: device, bias: false);
        _mixNorm = new GroupNorm(width, device);
        _fine = new Convolution(width, width, kernel: 3, stride: 1, padding: 1, device: device, bias: false);
        _fineNorm = new GroupNorm(width, device);
        _heatHidden = new Convolution(width, width, kernel: 3, stride: 1, padding: 1, device: device);
        _heatOutput = new Convolution(width, classes, kernel: 1, stride: 1, device: device);
        _sideHidden = new Convolution(width, width, kernel: 3, stride: 1, padding: 1, device: device);
        _sideOutput = new Convolution(width, 4, kernel: 1, stride: 1, device: device);
        RegisterComponents();
    }

    /// <summary>The last layer of the heat, which starts at a low probability everywhere.</summary>
    public Convolution HeatOutput => _heatOutput;

    /// <summary>The last layer of the sides.</summary>
    public Convolution SideOutput => _sideOutput;

    /// <param name="layers">In network order; the first one's grid counts.</param>
    /// <param name="patchPixels">Side of a patch.</param>
    /// <param name="training">Use the statistics of the batch.</param>
    /// <returns>Maps of two cells to a patch; in the current dispose scope</returns>
    public CenterMaps Forward(IReadOnlyList<LayerFeatures> layers, int patchPixels, bool training = false)
    {
        using var scope = NewDisposeScope();
        (long h, long w) = (layers[0].GridHeight, layers[0].GridWidth);
        Tensor x = cat([.. layers.Select(l => MapResize.Bilinear(l.PatchMap(), h, w))], 1); // [B, C, h, w]
        x = _reduce.call(training ? _norm.ForwardTraining(x) : _norm.call(x)).relu(); // [B, W, h, w]
        x = x.Plus(_mixNorm.call(_mix.call(x)).relu());
        x = MapResize.Bilinear(x, CellsPerPatch * h, CellsPerPatch * w); // [B, W, 2h, 2w]
        x = x.Plus(_fineNorm.call(_fine.call(x)).relu());
        Tensor heat = _heatOutput.call(_heatHidden.call(x).relu()); // [B, K, 2h, 2w]
        Tensor sides = _sideOutput.call(_sideHidden.call(x).relu()).clamp(Num(-MaxLogSide), Num(MaxLogSide)).exp() * Num((double)patchPixels / CellsPerPatch); // [B, 4, 2h, 2w]
        return new CenterMaps(heat.MoveToOuterDisposeScope(), sides.MoveToOuterDisposeScope());
    }
}

/// <summary>From maps to boxes.</summary>
internal static class CenterPeaks
{
    private const int MostObjects = 100;
    private const double OverlapOfTwins = 0.6;

    /// <summary>The objects of a picture, surest first: cells above their eight neighbours, without boxes that cover a surer one of the same class.</summary>
    /// <param name="maps">B = 1.</param>
    /// <param name="features">Says how the picture was made to fit.</param>
    /// <param name="geometry">Where the input lies on the picture.</param>
    /// <param name="classes">Names.</param>
    public static Detections Find(CenterMaps maps, HeadFeatures features, ImageGeometry geometry, ClassNames classes)
    {
        using var scope = NewDisposeScope();
        Tensor heat = maps.Heat.sigmoid(); // [1, K, r, c]
        Tensor highest = nn.functional.max_pool2d(heat, [3, 3], [1, 1], [1, 1]); // [1, K, r, c]
        Tensor peaks = (heat * heat.eq(highest)).flatten().cpu(); // [K·r·c]
        (Tensor values, Tensor indices) = peaks.topk((int)Math.Min(MostObjects, peaks.numel()), 0);
        (long rows, long columns) = (heat.shape[2], heat.shape[3]);
        float[] scores = [.. values.data<float>()], sides = [.. maps.Sides.cpu().contiguous().data<float>()];
        long[] places = [.. indices.data<long>()];
        long area = rows * columns;
        (double stepX, double stepY) = ((double)features.Images.shape[3] / columns, (double)features.Images.shape[2] / rows);
        bool padded = features.Fit == ImageFit.CenterPadding;
        (double scaleX, double scaleY) = padded ? (1.0, 1.0) : ((double)features.Width / features.Images.shape[3], (double)features.Height / features.Images.shape[2]);
        (long padX, long padY) = padded ? ((features.Images.shape[3] - features.Width) / 2, (features.Images.shape[2] - features.Height) / 2) : (0, 0);
        var found = new List<Detection>();
        for (int i = 0; i < scores.Length && scores[i] > 0; i++)
        {
            int label = (int)(places[i] / area);
            long cell = places[i] % area;
            double x = (cell % columns + 0.5) * stepX, y = (cell / columns + 0.5) * stepY;
            (double left, double top) = Original(x - sides[cell], y - sides[area + cell]);
            (double right, double bottom) = Original(x + sides[(2 * area) + cell], y + sides[(3 * area) + cell]);
            var box = new Box(left, top, Math.Max(0, right - left), Math.Max(0, bottom - top));
            if (box.Area <= 0 || found.Any(f => f.Label == label && f.Box.Iou(box) > OverlapOfTwins)) continue;
            found.Add(new Detection(box, scores[i], label, classes[label]));
        }

        return new Detections(found);

        (double X, double Y) Original(double x, double y)
        {
            (double ox, double oy) = geometry.ToOriginal((x - padX) * scaleX, (y - padY) * scaleY);
            return (Math.Clamp(ox, 0, geometry.OriginalWidth), Math.Clamp(oy, 0, geometry.OriginalHeight));
        }
    }
}
