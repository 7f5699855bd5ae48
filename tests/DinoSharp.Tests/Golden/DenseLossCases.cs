using DinoSharp.Training.Losses;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kinds <c>depth_losses</c> and <c>segmentation_losses</c>: values and gradients of the prediction.</summary>
internal static class DenseLossCases
{
    public static void Depth(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            Compare(call, prediction => call.Arg("loss").GetString() switch
            {
                "sig" => DepthLosses.ScaleInvariantLog(prediction, call.Input("target")!, call.Input("valid_mask")),
                "sig_warm" => DepthLosses.ScaleInvariantLog(prediction, call.Input("target")!, call.Input("valid_mask"), variance: false),
                "gradient" => DepthLosses.Gradient(prediction, call.Input("target")!, call.Input("valid_mask")),
                "gradient_log" => DepthLosses.Gradient(prediction, call.Input("target")!, call.Input("valid_mask"), logarithm: true),
                "l1" => DepthLosses.Absolute(prediction, call.Input("target")!, call.Input("valid_mask")),
                _ => throw new InvalidOperationException($"no handler for the loss {call.Arg("loss")}"),
            });
        }
    }

    public static void Segmentation(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            Compare(call, prediction => call.Arg("loss").GetString() switch
            {
                "ce" => SegmentationLosses.CrossEntropy(prediction, call.Input("target")!),
                "ce_avg_non_ignore" => SegmentationLosses.CrossEntropy(prediction, call.Input("target")!, meanOverKept: true),
                "ce_w2" => SegmentationLosses.CrossEntropy(prediction, call.Input("target")!) * 2,
                "dice" => SegmentationLosses.Dice(prediction, call.Input("target")!),
                "dice_smooth" => SegmentationLosses.Dice(prediction, call.Input("target")!, smooth: 0.5, exponent: 1),
                "multilabel_dice" => SegmentationLosses.MultilabelDice(prediction, call.Input("target")!),
                _ => throw new InvalidOperationException($"no handler for the loss {call.Arg("loss")}"),
            });
        }
    }

    private static void Compare(GoldenCall call, Func<Tensor, Tensor> loss)
    {
        using var scope = NewDisposeScope();
        Tensor prediction = call.Input("pred")!.clone().requires_grad_(true);
        Tensor value = loss(prediction);
        value.backward();
        call.Check("loss", value);
        call.Check("grad", prediction.grad!);
    }
}
