using System.Text.Json;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>random_parameters</c>: what torchvision's transforms draw from a seeded generator.</summary>
internal static class RandomParameterCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            var random = new TorchRandom((ulong)call.Arg("torch_seed").GetInt64());
            int draws = (int)golden.Tensor(call.Outputs.First().TensorName).shape[0];
            switch (call.Op)
            {
                case "random_resized_crop_params":
                    JsonElement scale = call.Arg("scale");
                    CropWindow[] windows = [.. Repeat(draws, () => CropWindow.Draw(call.Int("height"), call.Int("width"), (scale[0].GetDouble(), scale[1].GetDouble()), random))];
                    call.Check("top_left_height_width", tensor([.. windows.SelectMany(w => (long[])[w.Top, w.Left, w.Height, w.Width])], [draws, 4]));
                    break;
                case "color_jitter_params":
                    var options = new DistortionOptions { Brightness = Number("brightness"), Contrast = Number("contrast"), Saturation = Number("saturation"), Hue = Number("hue") };
                    ColorJitter[] jitters = [.. Repeat(draws, () => ColorJitter.Draw(options, random))];
                    call.Check("factors", tensor([.. jitters.SelectMany(j => (double[])[j.Brightness, j.Contrast, j.Saturation, j.Hue])], [draws, 4]));
                    call.Check("order", tensor([.. jitters.SelectMany(j => j.Order.Select(o => (long)o))], [draws, 4]));
                    break;
                case "gaussian_blur_params":
                    (double low, double high) = new DistortionOptions().BlurSigmaPixels;
                    call.Check("sigma", tensor([.. Repeat(draws, () => (double)random.Uniform((float)low, (float)high))]));
                    break;
                default:
                    throw new InvalidOperationException($"unknown operation {call.Op}");
            }

            double Number(string name) => call.Arg(name).GetDouble();
        }
    }

    private static IEnumerable<T> Repeat<T>(int count, Func<T> draw)
    {
        for (int i = 0; i < count; i++) yield return draw();
    }
}
