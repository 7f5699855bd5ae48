using static TorchSharp.torch;

namespace DinoSharp.Features.Propagation;

/// <summary>The computation of one step: every patch of a frame takes the labels of the most similar patches nearby in earlier frames.</summary>
internal static class LabelPropagation
{
    // Rows of patches handled together: enough for the matrix product to run at full speed, few enough to skip what is out of reach.
    private const int RowsAtOnce = 4;

    // Entries of a block of similarities, 256 MiB.
    private const long MaxBlock = 1 << 26;

    /// <summary>Label probabilities of a frame.</summary>
    /// <param name="current">Unit patch vectors of the frame. [h, w, D]</param>
    /// <param name="context">Unit patch vectors of earlier frames, each [h, w, D].</param>
    /// <param name="labels">Label probabilities of the same frames, each [h, w, M].</param>
    /// <param name="options">How.</param>
    /// <returns>[h, w, M]</returns>
    public static Tensor Step(Tensor current, IReadOnlyList<Tensor> context, IReadOnlyList<Tensor> labels, PropagationOptions options)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        int h = (int)current.shape[0], w = (int)current.shape[1], reach = Reach(h, options);
        int rows = Rows(h, w, context.Count, reach);
        var blocks = new List<Tensor>();
        for (int row = 0; row < h; row += rows)
        {
            using var block = NewDisposeScope();
            int count = Math.Min(rows, h - row), from = Math.Max(0, row - reach), to = Math.Min(h, row + count + reach);
            Tensor queries = current.narrow(0, row, count).flatten(0, 1); // [q, D]
            Tensor keys = cat([.. context.Select(frame => frame.narrow(0, from, to - from).flatten(0, 1))]); // [t·c, D]
            Tensor values = cat([.. labels.Select(frame => frame.narrow(0, from, to - from).flatten(0, 1))]); // [t·c, M]
            Tensor outside = Neighborhood(w, row, count, from, to - from, options).logical_not(); // [q, c]
            Tensor similarities = queries.matmul(keys.t()).view(outside.shape[0], context.Count, -1); // [q, t, c]
            similarities = similarities.masked_fill_(outside.unsqueeze(1), Num(double.NegativeInfinity)).flatten(1); // [q, t·c]
            Tensor least = similarities.topk((int)Math.Min(options.TopK, similarities.shape[1]), 1).values.select(1, -1).unsqueeze(1); // [q, 1]
            Tensor weights = similarities.masked_fill_(similarities.lt(least), Num(double.NegativeInfinity)).div_(Num(options.Temperature)).softmax(1); // [q, t·c]
            Tensor votes = weights.matmul(values); // [q, M]
            blocks.Add((votes / votes.sum([1], keepdim: true)).view(count, w, -1).MoveToOuterDisposeScope()); // [rows, w, M]
        }

        return cat(blocks).MoveToOuterDisposeScope(); // [h, w, M]
    }

    /// <summary>Bytes that a step holds at its peak with a full context: several tables of similarities and the candidates themselves.</summary>
    /// <param name="height">Patch rows h.</param>
    /// <param name="width">Patch columns w.</param>
    /// <param name="dim">Length D of a vector.</param>
    /// <param name="options">How.</param>
    public static long StepBytes(int height, int width, int dim, PropagationOptions options)
    {
        const int Tables = 6;
        int frames = options.ContextLength + 1, reach = Reach(height, options), rows = Rows(height, width, frames, reach);
        long candidates = (long)frames * width * Math.Min(height, rows + (2 * reach));
        return sizeof(float) * candidates * ((Tables * rows * width) + dim);
    }

    private static int Reach(int height, PropagationOptions options) => options.Radius is double radius ? (int)Math.Min(radius, height) : height;

    private static int Rows(int height, int width, int frames, int reach)
    {
        long rowCost = (long)width * frames * width * Math.Min(height, RowsAtOnce + (2 * reach));
        return (int)Math.Clamp(MaxBlock / Math.Max(1, rowCost), 1, RowsAtOnce);
    }

    /// <summary>Which of some rows of patches lie in the neighbourhood of the patches of other rows.</summary>
    /// <param name="width">Patch columns w.</param>
    /// <param name="row">First row of queries.</param>
    /// <param name="rows">Number of rows of queries; q = rows·w.</param>
    /// <param name="from">First row of candidates.</param>
    /// <param name="count">Number of rows of candidates; c = count·w.</param>
    /// <param name="options">Radius and shape.</param>
    /// <returns>[q, c]</returns>
    public static Tensor Neighborhood(int width, int row, int rows, int from, int count, PropagationOptions options)
    {
        using var scope = NewDisposeScope();
        Tensor columns = arange(Num(0), Num(width), Num(1), dtype: ScalarType.Float64);
        Tensor dy = arange(Num(row), Num(row + rows), Num(1), dtype: ScalarType.Float64).view(-1, 1, 1, 1) - arange(Num(from), Num(from + count), Num(1), dtype: ScalarType.Float64).view(1, 1, -1, 1); // [rows, 1, count, 1]
        Tensor dx = columns.view(1, -1, 1, 1) - columns.view(1, 1, 1, -1); // [1, w, 1, w]
        double radius = options.Radius ?? double.PositiveInfinity;
        Tensor distance = options.Shape == NeighborhoodShape.Circle ? dy.pow(Num(2)).Plus(dx.pow(Num(2))).sqrt() : maximum(dy.abs(), dx.abs()); // [rows, w, count, w]
        return distance.le(Num(radius)).view(rows * width, count * width).MoveToOuterDisposeScope();
    }
}
