using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Result of one case.</summary>
/// <param name="Worst">The comparison nearest to (or furthest beyond) its limit.</param>
/// <param name="Problems">Empty if the case passed.</param>
/// <param name="Skipped">Why the case was not run; null if it was.</param>
internal sealed record GoldenResult(GoldenComparison? Worst, IReadOnlyList<string> Problems, string? Skipped);

/// <summary>Runs golden cases: each kind has one handler that repeats the calls of a case and compares every output.</summary>
internal static class GoldenRunner
{
    private static readonly Dictionary<string, Action<GoldenCase>> Handlers = new()
    {
        ["vit_backbone"] = VitBackboneCases.Run,
        ["rope_table"] = RotaryCases.Run,
        ["rope_augment"] = RotaryCases.Run,
        ["block_drop_path"] = DropPathCases.Run,
        ["convnext_backbone"] = ConvNeXtCases.Run,
        ["samplers"] = SamplerCases.Run,
        ["masking"] = MaskingCases.Run,
        ["dino_head"] = HeadCases.Run,
        ["teacher_centering"] = CenteringCases.Run,
        ["dino_loss"] = LossCases.Dino,
        ["ibot_loss"] = LossCases.Ibot,
        ["koleo_loss"] = LossCases.KoLeo,
        ["gram_loss"] = LossCases.Gram,
        ["clip_loss"] = LossCases.Contrastive,
        ["multi_rank"] = MultiRankCases.Run,
        ["param_groups"] = OptimizerCases.ParameterGroups,
        ["optimizer"] = OptimizerCases.AdamW,
        ["checkpoint_vit"] = CheckpointCases.Run,
        ["checkpoint_convnext"] = CheckpointCases.Run,
        ["ssl_train_step"] = TrainStepCases.Run,
        ["random_parameters"] = RandomParameterCases.Run,
        ["ssl_augment"] = ViewCases.Run,
        ["schedules"] = ScheduleCases.Run,
        ["schedules_config"] = OfficialScheduleCases.Run,
        ["image_decoding"] = ImageDecodingCases.Run,
        ["image_transforms"] = ImageTransformCases.Run,
        ["linear_head"] = DenseHeadCases.LinearHead,
        ["features_to_depth"] = DenseHeadCases.FeaturesToDepth,
        ["input_adapters"] = DenseHeadCases.InputAdapters,
        ["dpt_head"] = DenseHeadCases.Dpt,
        ["depther"] = DenseHeadCases.Depther,
        ["linear_classifier"] = DenseHeadCases.LinearClassifier,
        ["depth_losses"] = DenseLossCases.Depth,
        ["segmentation_losses"] = DenseLossCases.Segmentation,
        ["dinotxt"] = TextCases.DinoText,
        ["tokenizer"] = TextCases.Tokenizer,
        ["ms_deform_attn"] = SegmentationCases.DeformableAttention,
        ["mask2former"] = SegmentationCases.Mask2Former,
        ["segmentation_inference"] = SegmentationCases.Inference,
        ["knn"] = KnnCases.Run,
        ["segmentation_metrics"] = SegmentationMetricCases.Run,
        ["depth_metrics"] = DepthMetricCases.Run,
        ["matching"] = MatchingCases.Run,
        ["tracking"] = TrackingCases.Run,
        ["pca_logreg"] = PcaLogisticRegressionCases.Run,
        ["dense_transforms"] = DenseTransformCases.Run,
        ["dense_schedulers"] = DenseScheduleCases.Run,
        ["detr"] = DetectionCases.Run,
    };

    public static GoldenResult Run(GoldenEntry entry)
    {
        if (!Handlers.TryGetValue(entry.Kind, out Action<GoldenCase>? handler)) return new GoldenResult(null, [], $"kind {entry.Kind} is not implemented yet");
        using var scope = NewDisposeScope();
        GoldenCase opened;
        try
        {
            opened = new GoldenCase(entry);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return new GoldenResult(null, [$"{entry.Manifest}: {e.GetType().Name}: {e.Message}"], null);
        }

        using GoldenCase golden = opened;
        var problems = new List<string>();
        try
        {
            handler(golden);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            problems.Add($"{e.GetType().Name}: {e.Message}");
        }

        problems.AddRange(golden.Comparisons.Where(c => c.Problem is not null).Select(c => $"{c.Name}: {c.Problem}"));
        foreach (GoldenCall call in golden.Calls)
        {
            problems.AddRange(call.Comparisons.Where(c => c.Problem is not null).Select(c => $"{c.Name}: {c.Problem}"));
            problems.AddRange(GoldenTolerance.SharedProblems(call));
            problems.AddRange(call.Unchecked.Select(key => $"{call.Id}: output {key} was not compared"));
        }

        List<GoldenComparison> all = [.. golden.Comparisons, .. golden.Calls.SelectMany(c => c.Comparisons)];
        if (all.Count == 0 && problems.Count == 0) problems.Add("the case compared nothing");
        return new GoldenResult(all.MaxBy(c => c.Limit > 0 ? c.Error / c.Limit : c.Error), problems, null);
    }

    /// <summary><c>golden [FOLDER]</c>: a line for each case and a closing count.</summary>
    public static int RunFolders(string[] folders)
    {
        int passed = 0, failed = 0, skipped = 0;
        foreach (string folder in folders.Length > 0 ? folders : [.. GoldenFolder.All.Take(1)])
        {
            if (!File.Exists(Path.Combine(folder, "manifest.json")))
            {
                Console.Error.WriteLine($"error: {folder} holds no manifest.json; give a folder of golden cases");
                return 2;
            }

            foreach (GoldenEntry entry in GoldenFolder.Entries(Path.GetFullPath(folder)))
            {
                GoldenResult result = Run(entry);
                string worst = result.Worst is { } w ? $"worst {w.Error:0.0e+0} of {w.Limit:0.0e+0}" : "";
                string outcome = result.Skipped is not null ? $"skipped: {result.Skipped}" : result.Problems.Count == 0 ? "ok" : "FAILED";
                Console.WriteLine($"{entry.Name,-34} {entry.Kind,-22} {worst,-28} {outcome}");
                foreach (string problem in result.Problems.Take(5)) Console.WriteLine($"    {problem}");
                if (result.Problems.Count > 5) Console.WriteLine($"    … and {result.Problems.Count - 5} more");
                if (result.Skipped is not null) skipped++;
                else if (result.Problems.Count == 0) passed++;
                else failed++;
            }
        }

        Console.WriteLine($"{passed} passed, {failed} failed, {skipped} skipped");
        return failed == 0 ? 0 : 1;
    }
}
