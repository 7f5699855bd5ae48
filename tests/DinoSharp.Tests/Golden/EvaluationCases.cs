using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Features;
using DinoSharp.Probes;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>knn</c>.</summary>
internal static class KnnCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            Tensor features = call.Input("train_features")!, labels = call.Input("train_labels")!;
            using KnnClassifier classifier = labels.dim() == 1 ? KnnClassifier.Fit(features, Ints(labels), call.Int("num_classes")) : KnnClassifier.FitMultiLabel(features, labels);
            var options = new KnnOptions
            {
                Neighbors = [.. call.Arg("ks").EnumerateArray().Select(k => k.GetInt32())],
                Temperature = call.Arg("temperature").GetDouble(),
                SkipFirstNeighbor = call.Flag("skip_first_nn"),
            };
            foreach (KnnVotes votes in classifier.Vote(call.Input("test_features")!, options))
            {
                string k = votes.Neighbors.ToString(CultureInfo.InvariantCulture);
                call.Check("probs_k" + k, votes.Scores);
                if (call.Outputs.Any(o => o.Key == "pred_k" + k)) call.Check("pred_k" + k, tensor(votes.Predict(), dtype: ScalarType.Int64));
                CheckAccuracy(call, votes, k);
            }

            (Tensor similarities, Tensor indices) = NearestNeighbors.Find(call.Input("test_features")!, features, options.Neighbors.Max());
            call.CheckIfGiven("similarities", similarities);
            if (labels.dim() == 1) call.CheckIfGiven("neighbor_labels", labels.index_select(0, indices.flatten()).view(indices.shape));
        }
    }

    // The accuracies stand in the arguments, as percentages of the test labels.
    private static void CheckAccuracy(GoldenCall call, KnnVotes votes, string k)
    {
        if (!call.Args.TryGetProperty("accuracy_top1_top5", out var accuracies)) return;
        int[] testLabels = Ints(call.Case.Tensor("in/test_labels"));
        double[] expected = [.. accuracies.GetProperty(k).EnumerateArray().Select(a => a.GetDouble())];
        double top1 = 100 * ClassificationMetrics.TopK(votes.Scores, testLabels), top5 = 100 * ClassificationMetrics.TopK(votes.Scores, testLabels, 5);
        if (Math.Abs(top1 - expected[0]) > 1e-9 || Math.Abs(top5 - expected[1]) > 1e-9)
            throw new InvalidOperationException($"{call.Id}, k = {k}: accuracies {top1} and {top5}, expected {expected[0]} and {expected[1]}");
    }

    internal static int[] Ints(Tensor labels) => labels.to(ScalarType.Int32).data<int>().ToArray();
}

/// <summary>Kind <c>segmentation_metrics</c>.</summary>
internal static class SegmentationMetricCases
{
    public static void Run(GoldenCase golden)
    {
        var measured = new Dictionary<string, SegmentationAreas>();
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            if (call.Op == "intersect_union")
            {
                SegmentationAreas areas = SegmentationAreas.Measure<long, long>(
                    Longs(call.Input("pred")!), Longs(call.Input("label")!), call.Int("num_classes"), call.Int("ignore_index"), call.Flag("reduce_zero_label"));
                measured[call.Outputs.Single().TensorName] = areas;
                call.Check("intersect_union_pred_label", stack([Row(areas.Intersection), Row(areas.Union), Row(areas.Predicted), Row(areas.Label)]));
                continue;
            }

            // The call names tensors of earlier calls; the areas measured there are what is scored here.
            SegmentationScores scores = SegmentationAreas.Sum(call.InputNames.Select(name => measured[name])).Score();
            call.Check("aAcc_nan", tensor((float)scores.PixelAccuracy));
            call.Check("mean_aAcc", tensor((float)scores.PixelAccuracy));
            foreach ((string name, IReadOnlyList<double> values, double mean) in new (string, IReadOnlyList<double>, double)[]
            {
                ("mIoU", scores.Iou, scores.MeanIou), ("acc", scores.Recall, scores.MeanRecall), ("dice", scores.Dice, scores.MeanDice),
                ("fscore", scores.FScore, scores.MeanFScore), ("precision", scores.Precision, scores.MeanPrecision), ("recall", scores.Recall, scores.MeanRecall),
            })
            {
                call.Check(name + "_nan", tensor(values.ToArray()));
                call.Check("mean_" + name, tensor(mean));
            }
        }

        static long[] Longs(Tensor map) => map.to(ScalarType.Int64).contiguous().data<long>().ToArray();
        static Tensor Row(IReadOnlyList<long> counts) => tensor(counts.ToArray()).to(ScalarType.Float32);
    }
}

/// <summary>Kind <c>depth_metrics</c>.</summary>
internal static class DepthMetricCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            Tensor gt = call.Input("gt")!, pred = call.Input("pred")!, mask = call.Input("valid_mask")!;
            if (call.Op == "depth_metrics")
            {
                float[] truth = Floats(gt), predicted = Floats(pred);
                bool[] valid = mask.contiguous().data<bool>().ToArray();
                DepthScores scores = DepthScores.Measure(truth, predicted, valid);
                foreach ((string key, double value) in new[]
                {
                    ("a1", scores.Delta1), ("a2", scores.Delta2), ("a3", scores.Delta3), ("abs_rel", scores.AbsoluteRelative), ("rmse", scores.Rmse), ("log_10", scores.Log10),
                    ("rmse_log", scores.RmseLog), ("silog", scores.SiLog), ("sq_rel", scores.SquaredRelative), ("mae", scores.MeanAbsolute),
                }) call.Check(key, tensor(value));
            }
            else
            {
                var aligned = new List<Tensor>();
                var alignments = new List<DepthAlignment>();
                for (int i = 0; i < gt.shape[0]; i++) // each image has its own scale and shift
                {
                    float[] predicted = Floats(pred[i]);
                    alignments.Add(DepthAlignment.LeastSquares(Floats(gt[i]), predicted, mask[i].contiguous().data<bool>().ToArray()));
                    aligned.Add(tensor(alignments[^1].Apply(predicted)).view(pred[i].shape));
                }

                call.Check("aligned", stack(aligned));
                call.Check("scale", tensor(alignments.Select(a => a.Scale).ToArray()));
                call.Check("shift", tensor(alignments.Select(a => a.Shift).ToArray()));
            }
        }

        static float[] Floats(Tensor map) => map.contiguous().data<float>().ToArray();
    }
}

/// <summary>Kind <c>pca_logreg</c>.</summary>
internal static class PcaLogisticRegressionCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            switch (call.Op)
            {
                case "logistic_regression":
                    using (LogisticRegression fit = LogisticRegression.Fit(call.Input("x")!, KnnCases.Ints(call.Input("y")!), new() { C = call.Arg("C").GetDouble() }))
                    {
                        call.Check("coef", fit.Weight);
                        call.Check("intercept", fit.Intercept);
                        call.Check("proba", fit.Probabilities(call.Input("x")!));
                    }

                    break;
                case "pca":
                    Pca pca = Pca.Fit(call.Input("x")!, call.Int("n_components"));
                    Tensor projected = pca.Project(call.Input("x")!, call.Flag("whiten"));
                    call.Check("projected", projected);
                    call.Check("components", stack([.. Enumerable.Range(0, call.Int("n_components")).Select(i => tensor(pca.Component(i).ToArray()))]));
                    call.Check("explained_variance", tensor(pca.ExplainedVariance.ToArray()));
                    call.Check("mean", tensor(pca.Mean.ToArray()));
                    call.Check("colors", (2 * projected).sigmoid());
                    break;
                case "medfilt2d":
                    call.Check("y", Filters.Median(call.Input("x")!, call.Int("kernel_size")));
                    break;
                default:
                    throw new InvalidOperationException($"no handler for {call.Op}");
            }
        }
    }
}
