using DinoSharp.Evaluation;
using DinoSharp.Heads.Detection;
using DinoSharp.Training.Features;
using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

/// <summary>What a <see cref="CenterHead"/> is taught (Liu et al. 2020, TTFNet): a Gaussian hill around the middle of each object, and near the top of each hill the sides of its box.</summary>
internal static class CenterTargets
{
    private const double HillShare = 0.54; // of the box, as published
    private const double SideWeight = 5; // of the boxes against the hills, as published
    private const double StartProbability = 0.01;

    /// <summary>Hills (K maps), sides in pixels of the input (4 maps), and how much each cell counts for the sides (1 map). [K + 5, 2h, 2w]</summary>
    public static Tensor Draw(StoredImage image, IReadOnlyList<AnnotatedObject> objects, int classes)
    {
        PatchGrid grid = image.Grid;
        (int rows, int columns) = (grid.Rows * CenterHead.CellsPerPatch, grid.Columns * CenterHead.CellsPerPatch);
        (double stepX, double stepY) = ((double)grid.FittedWidth / columns, (double)grid.FittedHeight / rows);
        int area = rows * columns;
        float[] maps = new float[(classes + 5) * area];
        // Small objects are drawn last: where boxes overlap, the smaller one is the harder to see.
        foreach (AnnotatedObject o in objects.Where(o => !o.Ignored && o.Box.Width > 0 && o.Box.Height > 0).OrderByDescending(o => o.Box.Area))
        {
            (double oneSide, double top) = grid.ToFitted(o.Box.X, o.Box.Y, image.Mirrored);
            (double otherSide, double bottom) = grid.ToFitted(o.Box.X + o.Box.Width, o.Box.Y + o.Box.Height, image.Mirrored);
            // Only what is on the picture can be seen, and answers end at its edges.
            (double left, double right) = (Math.Clamp(Math.Min(oneSide, otherSide), 0, grid.FittedWidth), Math.Clamp(Math.Max(oneSide, otherSide), 0, grid.FittedWidth));
            (top, bottom) = (Math.Clamp(top, 0, grid.FittedHeight), Math.Clamp(bottom, 0, grid.FittedHeight));
            if (right <= left || bottom <= top) continue;
            int column = (int)Math.Clamp((left + right) / 2 / stepX, 0, columns - 1), row = (int)Math.Clamp((top + bottom) / 2 / stepY, 0, rows - 1);
            double spreadX = Spread((right - left) / stepX), spreadY = Spread((bottom - top) / stepY);
            (int reachX, int reachY) = ((int)(3 * spreadX), (int)(3 * spreadY));
            var hill = new List<(int Cell, double Height)>();
            for (int r = Math.Max(0, row - reachY); r <= Math.Min(rows - 1, row + reachY); r++)
            {
                for (int c = Math.Max(0, column - reachX); c <= Math.Min(columns - 1, column + reachX); c++)
                {
                    double dx = (c - column) / spreadX, dy = (r - row) / spreadY, height = Math.Exp(-((dx * dx) + (dy * dy)) / 2);
                    int cell = (r * columns) + c;
                    maps[(o.Category * area) + cell] = Math.Max(maps[(o.Category * area) + cell], (float)height);
                    double x = (c + 0.5) * stepX, y = (r + 0.5) * stepY;
                    if ((x > left && x < right && y > top && y < bottom) || (r == row && c == column)) hill.Add((cell, height));
                }
            }

            double weight = Math.Log(Math.Max(2, hill.Count)) / hill.Sum(h => h.Height);
            foreach ((int cell, double height) in hill)
            {
                (double x, double y) = (((cell % columns) + 0.5) * stepX, ((cell / columns) + 0.5) * stepY);
                double[] sides = [x - left, y - top, right - x, bottom - y];
                for (int s = 0; s < 4; s++) maps[((classes + s) * area) + cell] = (float)Math.Max(0.5, sides[s]);
                maps[((classes + 4) * area) + cell] = (float)(height * weight);
            }
        }

        return tensor(maps, [classes + 5, rows, columns]);

        static double Spread(double cells) => Math.Max(0.35, HillShare * cells / 6);
    }

    /// <summary>Focal loss of the hills (Law and Deng 2018) and generalised IoU of the boxes (Rezatofighi et al. 2019), each for one object on average.</summary>
    /// <param name="maps">Prediction.</param>
    /// <param name="targets">[B, K + 5, 2h, 2w]</param>
    public static Tensor Loss(CenterMaps maps, Tensor targets)
    {
        using var scope = NewDisposeScope();
        long classes = maps.Heat.shape[1];
        Tensor hills = targets.narrow(1, 0, classes), sides = targets.narrow(1, classes, 4), weights = targets.narrow(1, classes + 4, 1); // [B, K, r, c], [B, 4, r, c], [B, 1, r, c]
        Tensor p = maps.Heat.sigmoid().clamp(Num(1e-4), Num(1 - 1e-4)), top = hills.eq(Num(1)).to(ScalarType.Float32); // [B, K, r, c]
        Tensor found = (-p).Plus(Num(1)).pow(Num(2)) * p.log() * top, spared = (-hills).Plus(Num(1)).pow(Num(4)) * p.pow(Num(2)) * (-p).Plus(Num(1)).log() * (-top).Plus(Num(1));
        Tensor heat = -found.sum().Plus(spared.sum()) / top.sum().clamp_min(Num(1));
        Tensor overlap = GeneralisedIou(maps.Sides, sides); // [B, 1, r, c]
        Tensor boxes = ((-overlap).Plus(Num(1)) * weights).sum() / weights.sum().clamp_min(Num(1e-4));
        return heat.Plus(Num(SideWeight) * boxes).MoveToOuterDisposeScope();
    }

    /// <summary>Weights as usual, and a start at which nearly nothing is an object.</summary>
    public static void Initialize(CenterHead head, int seed)
    {
        DenseTraining.Initialize(head, seed);
        using var random = new Generator((ulong)seed + 1);
        using var quiet = no_grad();
        head.HeatOutput.Weight.normal_(0, 0.01, random);
        head.HeatOutput.Bias!.fill_(Num(-Math.Log((1 - StartProbability) / StartProbability)));
        head.SideOutput.Weight.normal_(0, 0.01, random);
        head.SideOutput.Bias!.fill_(Num(Math.Log(4))); // cells: objects of some sixty pixels
    }

    // Both boxes contain the cell, so the overlap is a product of the nearer sides.
    private static Tensor GeneralisedIou(Tensor predicted, Tensor wanted)
    {
        Tensor least = predicted.minimum(wanted), most = predicted.maximum(wanted); // [B, 4, r, c]
        Tensor both = Area(least), outer = Area(most), union = Area(predicted).Plus(Area(wanted)) - both; // [B, 1, r, c]
        return both / union.clamp_min(Num(1e-6)) - (outer - union) / outer.clamp_min(Num(1e-6));

        static Tensor Area(Tensor sides) => sides.narrow(1, 0, 1).Plus(sides.narrow(1, 2, 1)) * sides.narrow(1, 1, 1).Plus(sides.narrow(1, 3, 1));
    }
}
