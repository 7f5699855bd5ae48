using DinoSharp.Inference;

namespace DinoSharp.Benchmarks;

/// <summary>What forward passes are to reach, against plain libtorch in float32 and against ONNX Runtime in its best precision.</summary>
internal static class ForwardGoals
{
    private const string Libtorch = "times libtorch", Onnx = "times ONNX Runtime";

    private static readonly string[] WithoutAmx = [Machine.Avx2, Machine.Avx512], WithAmx = [Machine.Amx];

    /// <summary>What the rows are, for the report.</summary>
    public static string Text => $"Reduced precision counts only within a relative error of {FeatureError.RelativeLimit:0.000} and a cosine of {FeatureError.CosineLimit:0.0000} for every token. "
        + "Matrix products: column \"products\", of the peak of the precision they are in.";

    /// <param name="rows">Of this run.</param>
    /// <param name="peaks">Of this machine.</param>
    /// <param name="all">Works of all runs that decide these goals together.</param>
    public static IEnumerable<Goal> OfTransformers(IReadOnlyList<ForwardRow> rows, Peaks peaks, IEnumerable<Work> all)
    {
        int small = all.Count(IsSmall);
        ForwardRow[] few = [.. rows.Where(row => IsSmall(row.Work))], large = [.. rows.Where(row => row.Work.Size == 768)];
        ForwardRow[] largeBase = [.. large.Where(row => row.Work.Preset == "dinov3-vitb16" && row.Pass.IsAuto)];
        IEnumerable<Goal> goals =
        [
            .. Both("ViT-S/B/L, 224 and 256 px, batch 1 and 8, Float32", Exact(few), 1.2, 1.05, [], small),
            .. Both("ViT-S/B/L, 224 and 256 px, Int8", [.. few.Where(row => row.Pass.IsOurs && row.Pass.Type == ComputeType.Int8)], 1.6, 1.0, WithoutAmx, small),
            .. Both("ViT-S/B/L, 224 and 256 px, Auto", [.. few.Where(row => row.Pass.IsAuto)], 3.5, 2, WithAmx, small),
        ];
        if (large.Length > 0) goals = [.. goals, .. Both("ViT-S/B, 768 px, batch 1, Float32", Exact(large), 1.4, 1.3, [], null), .. Both("ViT-B, 768 px, batch 1, Auto", largeBase, 3, 2, WithAmx, null)];
        return [.. goals, .. Products(rows, peaks)];
    }

    public static IEnumerable<Goal> OfConvNeXts(IReadOnlyList<ForwardRow> rows, Peaks peaks)
    {
        ForwardRow[] auto = [.. rows.Where(row => row.Pass.IsAuto)];
        return [.. Both("ConvNeXt-T/B, 256 px, Auto", auto, 1.15, 1.0, [], null), .. Both("ConvNeXt-T/B, 256 px, Auto", auto, 2, 1.2, WithAmx, null), .. Products(rows, peaks)];
    }

    private static IEnumerable<Goal> Both(string work, ForwardRow[] rows, double libtorch, double onnx, string[] classes, int? all) =>
    [
        new(work, Libtorch, libtorch, [.. rows.Select(row => row.To(row.Libtorch))]) { Classes = classes, AllRows = all },
        new(work, Onnx, onnx, [.. rows.Select(row => row.To(row.Onnx!))]) { Classes = classes, AllRows = all },
    ];

    private static IEnumerable<Goal> Products(IReadOnlyList<ForwardRow> rows, Peaks peaks)
    {
        foreach ((string name, Func<ForwardRow, bool> which) in new (string, Func<ForwardRow, bool>)[] { ("Float32", row => row.Pass.Type == ComputeType.Float32), ("BFloat16", row => row.Pass.Type == ComputeType.BFloat16), ("Int8", row => row.Pass.Type == ComputeType.Int8), ("Auto", row => row.Pass.IsAuto) })
            yield return new Goal($"matrix products, {name}", "of the peak", 0.75, [.. rows.Where(which).Select(row => row.Products(peaks)).OfType<Reached>()]) { IsShare = true };
    }

    private static ForwardRow[] Exact(ForwardRow[] rows) => [.. rows.Where(row => row.Pass.IsOurs && row.Pass.Type == ComputeType.Float32)];

    private static bool IsSmall(Work work) => work.Size is 224 or 256;
}
