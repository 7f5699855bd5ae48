using DinoSharp.Evaluation;
using DinoSharp.Images;
using DinoSharp.Training.Views.Dense;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>dense_transforms</c>.</summary>
internal static class DenseTransformCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            switch (call.Op)
            {
                case "fixed_side_resize":
                    (Tensor image, Tensor label) = SegmentationAugmentation.ResizeShortSide(call.Input("rgb_chw")!, call.Input("label")!, call.Int("small_size"));
                    call.Check("image", image);
                    call.Check("label", label);
                    break;
                case "normalize_image":
                    call.Check("y", Corner(call, SegmentationAugmentation.Normalize(call.Input("rgb_chw")!, Normalization.Lvd)));
                    break;
                case "pmd_brightness":
                    Distort(call, x => PhotometricDistortion.Brightness(x, Number("beta")));
                    break;
                case "pmd_contrast":
                    Distort(call, x => PhotometricDistortion.Contrast(x, Number("alpha")));
                    break;
                case "pmd_saturation":
                    Distort(call, x => TensorColor.Saturation(x, Number("factor")));
                    break;
                case "pmd_hue":
                    Distort(call, x => TensorColor.Hue(x, Number("factor")));
                    break;
                case "pad_tensor":
                    call.Check("label", SegmentationAugmentation.Pad(call.Input("label")!, call.Arg("pad_shape")[0].GetInt32(), call.Arg("pad_shape")[1].GetInt32(), Number("label_pad_value")));
                    break;
                case "reduce_zero_label":
                    call.Check("y", SegmentationAugmentation.ReduceZero(call.Input("label")!, 255));
                    break;
                case "nyu_crop":
                    call.Check("y", Corner(call, DepthAugmentation.CropFrame(call.Input("rgb_chw")!)));
                    break;
                case "depth_resize":
                    Tensor rgb = call.Input("rgb_chw")!.to(ScalarType.Float32) / 255;
                    int side = call.Int("size");
                    (long h, long w) = (rgb.shape[1], rgb.shape[2]); // the shorter side takes the size, the longer one is cut down to whole pixels
                    call.Check("y", TensorResize.Resize(rgb, h <= w ? side : (int)(side * h / w), h <= w ? (int)(side * w / h) : side, Interpolation.Bilinear));
                    break;
                case "depth_color_aug":
                    call.Check("y", DepthAugmentation.Color(call.Input("x")!, Number("gamma"), Number("brightness"), [.. call.Arg("colors").EnumerateArray().Select(c => c.GetDouble())]));
                    break;
                case "rotate":
                    bool bilinear = call.Arg("interpolation").GetString() == "bilinear";
                    call.Check("y", bilinear ? Rotation.Bilinear(call.Input("x")!, Number("angle")) : Rotation.Nearest(call.Input("x")!, Number("angle")));
                    break;
                case "left_right_flip_inverse":
                    call.Check("y", FlipAugmentation.Merge(call.Input("x")!));
                    break;
                case "make_valid_mask":
                    Tensor truth = call.Input("gt")!;
                    DepthRegion region = call.Arg("eval_crop").GetString() == "FULL" ? DepthRegion.Whole : DepthRegion.NyuEigen;
                    Tensor[] maps = truth.view(-1, truth.shape[^2], truth.shape[^1]).unbind();
                    call.Check("mask", stack([.. maps.Select(m => tensor(region.Mask(m.contiguous().data<float>().ToArray(), (int)m.shape[1], (float)Number("ignored_value"))))]).view(truth.shape));
                    break;
                default:
                    throw new InvalidOperationException($"no handler for {call.Op}");
            }

            double Number(string name) => call.Arg(name).GetDouble();
        }
    }

    // Of a large result the case holds the first channels, rows and columns.
    private static Tensor Corner(GoldenCall call, Tensor whole)
    {
        long[] shape = call.Case.Tensor(call.Outputs.Single().TensorName).shape;
        for (int axis = 0; axis < shape.Length; axis++) whole = whole.narrow(axis, 0, Math.Min(shape[axis], whole.shape[axis]));
        return whole;
    }

    // The golden pixels are [H, W, 3].
    private static void Distort(GoldenCall call, Func<Tensor, Tensor> distort) => call.Check("y", distort(call.Input("hwc")!.permute(2, 0, 1)).permute(1, 2, 0).contiguous());
}
