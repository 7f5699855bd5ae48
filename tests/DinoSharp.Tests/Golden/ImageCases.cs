using System.Text.Json;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>image_decoding</c>: files → the bytes of the official decoder.</summary>
internal static class ImageDecodingCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            ImageBuffer image = ImageFile.Read(golden.File(call.Arg("file").GetString()!), new() { ApplyOrientation = false });
            // Pillow clips 16-bit gray; by default we take the high byte.
            ValueRange? range = call.Arg("pil_mode").GetString() == "I;16" ? new ValueRange(0, 255) : null;
            call.Check("rgb", tensor(image.ToRgb8(range).Bytes.ToArray(), [image.Height, image.Width, 3])); // [H, W, 3]
        }
    }
}

/// <summary>Kind <c>image_transforms</c>: resizing, cropping, colour and blur in Pillow's, the uint8 tensor's and the float tensor's arithmetic.</summary>
internal static class ImageTransformCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            Tensor rgb = call.Input("rgb_chw")!; // [3, H, W]
            string path = call.Arg("path").ValueKind == JsonValueKind.String ? call.Arg("path").GetString()!.Split(' ')[0] : "";
            call.Check("y", call.Op switch
            {
                "resize" or "resized_crop" => Resized(call, rgb, path),
                "adjust_brightness" or "adjust_contrast" or "adjust_saturation" or "adjust_hue" => Adjust(rgb, path, call.Op[7..], call.Arg("factor").GetDouble()),
                "color_jitter" => Jitter(call, rgb),
                "grayscale" => path == "pil" ? OnPixels(rgb, p => PillowColor.Grayscale(p.Bytes)) : TensorColor.Grayscale(rgb),
                "solarize" => path == "pil" ? OnPixels(rgb, p => PillowColor.Solarize(p.Bytes, call.Int("threshold"))) : TensorColor.Solarize(rgb, call.Int("threshold")),
                "hflip" => OnPixels(rgb, p => PillowColor.FlipHorizontal(p.Bytes, p.Width, 3)),
                "gaussian_blur" => Blur(rgb, path, call.Arg("sigma").GetSingle()),
                "interpolate_scale" => nn.functional.interpolate(
                    (rgb.to(float32) / 255).unsqueeze(0), scale_factor: [call.Arg("scale_factor").GetDouble(), call.Arg("scale_factor").GetDouble()],
                    mode: InterpolationMode.Bilinear, align_corners: false, recompute_scale_factor: false).squeeze(0),
                "make_eval_transform" or "make_classification_eval_transform" => Apply(rgb, Evaluation(call)),
                "eval_uint8" => (Unnormalized(rgb, Evaluation(call)) * 255).round().to(uint8),
                "hf_preprocess" => Apply(rgb, Preprocessing.HuggingFace with { Size = Size(call.Arg("size")), PatchSizePixels = 1 }),
                "notebook_resize" => Unnormalized(rgb, Preprocessing.Notebook with { Size = SizePolicy.FixedHeight(call.Int("image_size")), PatchSizePixels = call.Int("patch_size") }),
                _ => throw new InvalidOperationException($"no handler for {call.Op}"),
            });
        }
    }

    private static Interpolation How(GoldenCall call) => call.Arg("interpolation").GetString() switch
    {
        "nearest" => Interpolation.Nearest,
        "nearest-exact" => Interpolation.NearestExact,
        "bilinear" => Interpolation.Bilinear,
        _ => Interpolation.Bicubic,
    };

    private static SizePolicy Size(JsonElement size) => SizePolicy.Exact(size[1].GetInt32(), size[0].GetInt32());

    private static Tensor Resized(GoldenCall call, Tensor rgb, string path)
    {
        (int height, int width) = ((int)rgb.shape[1], (int)rgb.shape[2]);
        PixelWindow window = call.Op == "resized_crop" ? new(call.Int("left"), call.Int("top"), call.Int("width"), call.Int("height")) : new(0, 0, width, height);
        JsonElement size = call.Arg("size");
        (int w, int h) = size.ValueKind == JsonValueKind.Array ? (size[1].GetInt32(), size[0].GetInt32())
            : call.Op == "resized_crop" ? (size.GetInt32(), size.GetInt32())
            : width <= height ? (size.GetInt32(), (int)((double)size.GetInt32() * height / width)) : ((int)((double)size.GetInt32() * width / height), size.GetInt32());
        Interpolation how = How(call);
        if (path == "f32") return TensorResize.Resize(rgb.to(float32) / 255, h, w, how, call.Flag("antialias", true)); // [3, h, w]

        byte[] target = new byte[w * h * 3];
        Resize.UInt8(Pixels(rgb).Bytes, width, height, 3, window, target, w, h, how, path == "pil" ? ResizeArithmetic.Pillow : ResizeArithmetic.Tensor);
        return Planes(new(target, w, h));
    }

    private static Tensor Adjust(Tensor rgb, string path, string what, double factor)
    {
        if (path == "pil") return OnPixels(rgb, p => Adjust(p, what, factor));
        Tensor image = path == "f32" ? rgb.to(float32) / 255 : rgb; // [3, H, W]
        return what switch
        {
            "brightness" => TensorColor.Brightness(image, factor),
            "contrast" => TensorColor.Contrast(image, factor),
            "saturation" => TensorColor.Saturation(image, factor),
            _ => TensorColor.Hue(image, factor),
        };
    }

    private static void Adjust(Picture picture, string what, double factor)
    {
        switch (what)
        {
            case "brightness": PillowColor.Brightness(picture.Bytes, (float)factor); break;
            case "contrast": PillowColor.Contrast(picture.Bytes, 3, (float)factor); break;
            case "saturation": PillowColor.Saturation(picture.Bytes, (float)factor); break;
            case "hue": PillowColor.Hue(picture.Bytes, (float)factor); break;
            default: throw new InvalidOperationException($"no colour operation {what}");
        }
    }

    private static Tensor Jitter(GoldenCall call, Tensor rgb) => OnPixels(rgb, picture =>
    {
        foreach (JsonElement step in call.Arg("sequence").EnumerateArray()) Adjust(picture, step[0].GetString()!, step[1].GetDouble());
    });

    private static Tensor Blur(Tensor rgb, string path, float sigma)
    {
        if (path == "pil") return OnPixels(rgb, p => GaussianBlur.Apply(p.Bytes, p.Width, p.Height, 3, sigma));
        float[] values = (rgb.to(float32) / 255).permute(1, 2, 0).contiguous().data<float>().ToArray(); // [H, W, 3]
        GaussianBlur.Apply(values.AsSpan(), (int)rgb.shape[2], (int)rgb.shape[1], 3, sigma);
        return tensor(values, [rgb.shape[1], rgb.shape[2], 3]).permute(2, 0, 1).contiguous(); // [3, H, W]
    }

    private static Preprocessing Evaluation(GoldenCall call)
    {
        int size = call.Int("resize_size");
        JsonElement crop = call.Arg("crop_size");
        return Preprocessing.Evaluation with
        {
            Interpolation = How(call),
            Size = call.Flag("resize_square") ? SizePolicy.Square(size) : call.Flag("resize_large_side") ? SizePolicy.LongerSide(size) : SizePolicy.ShorterSide(size),
            CenterCropPixels = crop.ValueKind == JsonValueKind.Number ? crop.GetInt32() : null,
            PatchSizePixels = 1, // the cases have sizes that are no multiples of a patch
        };
    }

    private static Tensor Apply(Tensor rgb, Preprocessing how)
    {
        using ImageTensor result = how.Apply(Image(rgb));
        return result.Tensor.clone(); // [3, h, w]
    }

    // Some cases end before normalising; it is undone.
    private static Tensor Unnormalized(Tensor rgb, Preprocessing how)
    {
        Tensor mean = tensor(how.Normalization.Mean.ToArray()).view(3, 1, 1), std = tensor(how.Normalization.Std.ToArray()).view(3, 1, 1); // [3, 1, 1]
        return Apply(rgb, how) * std + mean; // [3, h, w]
    }

    private static ImageBuffer Image(Tensor rgb) => ImageBuffer.FromSamples<byte>((int)rgb.shape[2], (int)rgb.shape[1], 3, Pixels(rgb).Bytes);

    private static Picture Pixels(Tensor rgb) => new([.. rgb.permute(1, 2, 0).contiguous().data<byte>()], (int)rgb.shape[2], (int)rgb.shape[1]);

    private static Tensor Planes(Picture picture) => tensor(picture.Bytes, [picture.Height, picture.Width, 3]).permute(2, 0, 1).contiguous(); // [3, H, W]

    private static Tensor OnPixels(Tensor rgb, Action<Picture> change)
    {
        Picture picture = Pixels(rgb);
        change(picture);
        return Planes(picture);
    }

    private sealed record Picture(byte[] Bytes, int Width, int Height);
}
