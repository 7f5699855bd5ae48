using System.Text.Json;
using DinoSharp.Images;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>ssl_augment</c>: all views of an image, from the operations that the original wrote down.</summary>
internal static class ViewCases
{
    public static void Run(GoldenCase golden)
    {
        ViewOptions options = Options(golden.Config);
        options.Validate();
        ImageBuffer image = ImageFile.Read(golden.File(golden.Config.GetProperty("image").GetString()!));
        var renderer = new ViewRenderer(options);
        foreach (GoldenCall call in golden.Calls)
        {
            ViewPlan plan = Plan(call, options);
            var crops = new Dictionary<string, (float[] Values, int Size)>();
            using Raster raster = renderer.Open(image);
            renderer.Render(raster, plan, Target, undistorted: call.Outputs.Any(o => o.Key.StartsWith("global_crops_teacher", StringComparison.Ordinal)));
            foreach ((string key, (float[] values, int size)) in crops) call.Check(key, tensor(values, [3, size, size]));

            Span<float> Target(ViewKind kind, int index)
            {
                (string name, int size) = kind switch
                {
                    ViewKind.Global => ("global_crops", options.GlobalSizePixels),
                    ViewKind.Local => ("local_crops", options.LocalSizePixels),
                    ViewKind.Gram => ("gram_teacher_crops", options.GramSizePixels!.Value),
                    _ => ("global_crops_teacher", options.BaseSizePixels),
                };
                float[] values = new float[3 * size * size];
                crops.Add($"{name}.{index}", (values, size));
                return values;
            }
        }
    }

    /// <summary>Our options from the original's constructor arguments.</summary>
    public static ViewOptions Options(JsonElement config)
    {
        return new ViewOptions
        {
            GlobalSizePixels = config.GetProperty("global_crops_size").GetInt32(),
            GlobalScale = Pair("global_crops_scale"),
            LocalSizePixels = config.GetProperty("local_crops_size").GetInt32(),
            LocalCrops = config.GetProperty("local_crops_number").GetInt32(),
            LocalScale = Pair("local_crops_scale"),
            GramSizePixels = config.TryGetProperty("gram_teacher_crops_size", out JsonElement gram) && gram.ValueKind == JsonValueKind.Number ? gram.GetInt32() : null,
            GramWithoutDistortions = Flag("gram_teacher_no_distortions", false),
            ShareColorJitter = Flag("share_color_jitter", false),
            HorizontalFlips = Flag("horizontal_flips", true),
            LocalsInsideGlobals = Flag("local_crops_subset_of_global_crops", false),
            PatchSize = config.TryGetProperty("patch_size", out JsonElement patch) ? patch.GetInt32() : 16,
        };

        (double, double) Pair(string name) => (config.GetProperty(name)[0].GetDouble(), config.GetProperty(name)[1].GetDouble());

        bool Flag(string name, bool otherwise) => config.TryGetProperty(name, out JsonElement flag) ? flag.GetBoolean() : otherwise;
    }

    /// <summary>Our plan from the operations of a call. What the options say anyway (sizes, resizing) must agree with them.</summary>
    public static ViewPlan Plan(GoldenCall call, ViewOptions options)
    {
        JsonElement operations = call.Arg("operations");
        var globals = new List<(BaseCrop, Distortion)>();
        foreach (JsonElement crop in operations.GetProperty("global_crops").EnumerateArray())
        {
            (BaseCrop? own, Distortion distortion) = Crop(crop);
            globals.Add((own!.Value, distortion));
        }

        var locals = new List<LocalCrop>();
        foreach (JsonElement crop in operations.GetProperty("local_crops").EnumerateArray())
        {
            (BaseCrop? own, Distortion distortion) = Crop(crop);
            (int row, int column) = options.LocalsInsideGlobals ? (call.Arg("offsets")[locals.Count][0].GetInt32(), call.Arg("offsets")[locals.Count][1].GetInt32()) : (0, 0);
            locals.Add(new LocalCrop(own, row, column, distortion));
        }

        JsonElement shared = operations.GetProperty("shared");
        return new ViewPlan(shared.GetArrayLength() == 0 ? default : Crop(shared).Distortion.Color, globals, locals);
    }

    private static (BaseCrop? Own, Distortion Distortion) Crop(JsonElement operations)
    {
        BaseCrop? own = null;
        ColorJitter? jitter = null;
        bool gray = false, solarize = false;
        float? sigma = null;
        foreach (JsonElement operation in operations.EnumerateArray())
        {
            JsonElement args = operation[1];
            switch (operation[0].GetString())
            {
                case "resized_crop": own = new BaseCrop(new CropWindow(Int("top"), Int("left"), Int("height"), Int("width")), false); break;
                case "hflip": own = own!.Value with { Flip = true }; break;
                case "color_jitter":
                    ColorOperation[] order = [.. args.GetProperty("order").EnumerateArray().Select(o => Enum.Parse<ColorOperation>(o.GetString()!, ignoreCase: true))];
                    jitter = new ColorJitter(Float("brightness"), Float("contrast"), Float("saturation"), Float("hue"), order);
                    break;
                case "grayscale": gray = true; break;
                case "gaussian_blur": sigma = Float("sigma"); break;
                case "solarize": solarize = true; break;
                case "resize" or "to_float_and_normalize": break;
                case string other: throw new InvalidOperationException($"unknown operation {other}");
            }

            int Int(string name) => args.GetProperty(name).GetInt32();

            float Float(string name) => (float)args.GetProperty(name).GetDouble();
        }

        return (own, new Distortion(new ColorChange(jitter, gray), sigma, solarize));
    }
}
