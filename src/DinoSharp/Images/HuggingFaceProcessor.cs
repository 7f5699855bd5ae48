using System.Text.Json;

namespace DinoSharp.Images;

/// <summary>Reads <c>preprocessor_config.json</c> of Hugging Face models.</summary>
internal static class HuggingFaceProcessor
{
    private const string FileName = "preprocessor_config.json";
    private const int PatchSize = 16;

    public static Preprocessing Read(string path)
    {
        string file = Directory.Exists(path) ? Path.Combine(path, FileName) : path;
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllText(file));
            return Interpret(json.RootElement, file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{file}: cannot be read: {error.Message}", error);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException or KeyNotFoundException or ArgumentException)
        {
            throw new DinoSharpException($"{file}: is not a processor configuration: {error.Message}", error);
        }
    }

    private static Preprocessing Interpret(JsonElement root, string file)
    {
        if (!Flag("do_normalize") || !Flag("do_rescale")) throw Unsupported("do_normalize and do_rescale must be true");
        double factor = Has("rescale_factor", out JsonElement f) ? f.GetDouble() : 1.0 / 255;
        if (Math.Abs(factor * 255 - 1) > 1e-6) throw Unsupported($"rescale_factor is {factor}, not 1/255");

        bool resize = Flag("do_resize"), crop = Has("do_center_crop", out JsonElement c) && c.ValueKind == JsonValueKind.True;
        string type = Has("image_processor_type", out JsonElement name) ? name.GetString()! : "DINOv3ViTImageProcessorFast";
        // A processor that pads leaves sizes to the model.
        bool pads = Has("do_pad", out JsonElement pad) && pad.ValueKind == JsonValueKind.True;
        return new Preprocessing
        {
            Normalization = Normalization.Of(Numbers("image_mean", Normalization.Lvd.Mean), Numbers("image_std", Normalization.Lvd.Std)),
            // That of DINOv3 scales first and resizes floats; other fast ones resize uint8 tensors, slow ones Pillow pictures.
            Order = type.StartsWith("DINOv3", StringComparison.Ordinal) ? ResizeOrder.ScaleThenResize
                : type.EndsWith("Fast", StringComparison.Ordinal) ? ResizeOrder.ResizeThenScale : ResizeOrder.PillowThenScale,
            Interpolation = resize && Has("resample", out JsonElement resample) ? resample.GetInt32() switch
            {
                0 => Interpolation.NearestExact,
                2 => Interpolation.Bilinear,
                3 => Interpolation.Bicubic,
                int other => throw Unsupported($"resample {other}; known are 0 (nearest), 2 (bilinear), 3 (bicubic)"),
            }
            : Interpolation.Bilinear,
            Size = resize ? ReadSize(root.GetProperty("size")) : SizePolicy.Native,
            PatchSizePixels = pads ? 1 : PatchSize,
            CenterCropPixels = crop ? ReadCrop(root.GetProperty("crop_size")) : null,
        };

        bool Has(string key, out JsonElement value) => root.TryGetProperty(key, out value) && value.ValueKind != JsonValueKind.Null;

        bool Flag(string key) => !Has(key, out JsonElement value) || value.GetBoolean();

        IReadOnlyList<float> Numbers(string key, IReadOnlyList<float> otherwise) =>
            Has(key, out JsonElement value) ? [.. value.EnumerateArray().Select(v => v.GetSingle())] : otherwise;

        SizePolicy ReadSize(JsonElement size)
        {
            if (size.ValueKind == JsonValueKind.Number) return SizePolicy.ShorterSide(size.GetInt32());
            if (size.TryGetProperty("shortest_edge", out JsonElement edge)) return SizePolicy.ShorterSide(edge.GetInt32());
            return SizePolicy.Exact(size.GetProperty("width").GetInt32(), size.GetProperty("height").GetInt32());
        }

        int ReadCrop(JsonElement size)
        {
            if (size.ValueKind == JsonValueKind.Number) return size.GetInt32();
            (int width, int height) = (size.GetProperty("width").GetInt32(), size.GetProperty("height").GetInt32());
            return width == height ? width : throw Unsupported($"crop_size {width}×{height} is not square");
        }

        DinoSharpException Unsupported(string what) => new($"{file}: this preprocessing is not supported: {what}");
    }
}
