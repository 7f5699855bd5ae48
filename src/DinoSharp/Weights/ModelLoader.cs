using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using DinoSharp.Backbones;
using DinoSharp.Diagnostics;
using DinoSharp.Images;
using DinoSharp.Inference;
using TorchSharp;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>From the name of a model to a backbone with its weights: a path, published weights by name, or random ones.</summary>
internal static class ModelLoader
{
    private const int SampledPerTensor = 32;
    private const string RandomPrefix = "random:", BaselinePrefix = "baseline:";

    // What the official model card does: a square of 256, bilinear in 8 bit.
    private static readonly Preprocessing ModelCard = Preprocessing.HuggingFace with { Order = ResizeOrder.ResizeThenScale, Size = SizePolicy.Square(256) };

    /// <summary>What a name stands for.</summary>
    /// <param name="Backbone">The network; the caller owns it.</param>
    /// <param name="Preprocessing">What makes a picture its input.</param>
    /// <param name="Route">What computes it.</param>
    /// <param name="Fingerprint">Tells weights, and what is done to pictures for them, apart, wherever the file lies and whatever its time: a hash of some numbers of every tensor.</param>
    public sealed record Loaded(Backbone Backbone, Preprocessing Preprocessing, InferenceRoute Route, string Fingerprint);

    /// <summary>Loads a model.</summary>
    /// <param name="model">A path, a name, <c>random:NAME[:SEED]</c>, <c>baseline:hog</c> or <c>baseline:pixels</c>.</param>
    /// <param name="options">Where to and from.</param>
    /// <param name="cancel">Stops the loading.</param>
    public static Loaded Load(string model, DinoModelOptions options, CancellationToken cancel)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(model);
        FirstUse.Begin();
        if (model.StartsWith(RandomPrefix, StringComparison.OrdinalIgnoreCase)) return Random(model[RandomPrefix.Length..], options);
        if (model.StartsWith(BaselinePrefix, StringComparison.OrdinalIgnoreCase)) return Baseline(model);
        if (Path.Exists(model)) return FromFile(model, null, options, cancel);
        Preset preset = Published(model);
        WeightFolders folders = WeightFolders.Find(options.WeightsFolder);
        return FromFile(folders.Locate(preset) ?? throw new DinoSharpException(folders.HowToGet(preset)), preset, options, cancel);
    }

    private static Loaded FromFile(string path, Preset? preset, DinoModelOptions options, CancellationToken cancel)
    {
        using BackboneWeights weights = BackboneWeights.Open(path);
        if (options.Device?.type == DeviceType.CUDA) Libtorch.UseFullFloat32();
        var file = new FileInfo(weights.File.Path);
        if (preset is not null && !WeightInfo.NamesOf(weights).Contains(preset))
            throw new DinoSharpException($"{file.FullName} was found in place of {preset.Name}, but it holds another network; move it elsewhere, or give its path if it is the one you want");
        Normalization normalization = options.Normalization ?? (preset is not null && weights.Normalization.IsGuess ? NormalizationOf(preset) : weights.Normalization.Values);
        Preprocessing preprocessing = PreprocessingOf(weights) with { Normalization = normalization, PatchSizePixels = weights.Config.PatchSizePixels };
        if (normalization.Channels != weights.Config.InputChannels)
            throw new DinoSharpException($"{file.FullName} takes pictures of {weights.Config.InputChannels} channels, but the normalisation has {normalization.Channels}");
        Backbone backbone = weights.CreateBackbone(options.Device, network => options.Compute is ComputeType.Float32 or ComputeType.BFloat16 && network.HasKernels(options.Compute) && HasRoomToPack(network), cancel);
        try
        {
            return Finish(backbone, preprocessing, options.Compute);
        }
        catch
        {
            backbone.Dispose();
            throw;
        }
    }

    private static Loaded Random(string name, DinoModelOptions options)
    {
        Libtorch.Require();
        string[] parts = name.Split(':');
        ulong seed = 0;
        if (parts.Length > 2 || (parts.Length == 2 && !ulong.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out seed)))
            throw new DinoSharpException($"'{RandomPrefix}{name}' is not understood; expected {RandomPrefix}NAME or {RandomPrefix}NAME:SEED with a whole number, for example {RandomPrefix}vits16:7");
        Preset preset = Presets.Find(parts[0]);
        Backbone backbone = Backbone.Create(preset.Config);
        try
        {
            // Drawn on the CPU, so that every device gets the same numbers.
            backbone.Initialize(new Generator(seed));
            if (options.Device is { } device) backbone.to(device);
            return Finish(backbone, ModelCard with { Normalization = options.Normalization ?? NormalizationOf(preset), PatchSizePixels = preset.Config.PatchSizePixels }, options.Compute);
        }
        catch
        {
            backbone.Dispose();
            throw;
        }
    }

    private static Loaded Baseline(string name)
    {
        PlainFeature feature = name.ToLowerInvariant() switch
        {
            BaselinePrefix + "hog" => PlainFeature.Gradients,
            BaselinePrefix + "pixels" => PlainFeature.Pixels,
            _ => throw new DinoSharpException($"there is no {name}; known baselines are {BaselinePrefix}hog and {BaselinePrefix}pixels"),
        };
        Libtorch.Require();
        var config = new PlainConfig { Feature = feature };
        Preprocessing preprocessing = ModelCard with { Normalization = new Normalization("none", [0, 0, 0], [1, 1, 1]), PatchSizePixels = config.PatchSizePixels };
        return new Loaded(new PlainBackbone(config), preprocessing, new InferenceRoute(ComputeType.Float32, "libtorch (a baseline has no weights)"), name);
    }

    private static Loaded Finish(Backbone backbone, Preprocessing preprocessing, ComputeType compute)
    {
        InferenceRoute route = backbone.PrepareForInference(compute, RouteMemory.OfUser(), backbone.Deferred is null ? Memory.Inspect().AvailableBytes / 2 : long.MaxValue);
        backbone.Deferred?.EndLoading();
        return new Loaded(backbone, preprocessing, route, Fingerprint(backbone, preprocessing)); // what it reads of the file lies in the system's cache now
    }

    // The packed copy is then the only one, and may have half of what there is.
    private static bool HasRoomToPack(Backbone backbone) => 2 * backbone.WeightBytes < Memory.Inspect().AvailableBytes;

    // A few thousand numbers say which weights these are in a hundredth of the time that reading all would take.
    private static string Fingerprint(Backbone backbone, Preprocessing preprocessing)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Add($"{preprocessing.Order} {preprocessing.Interpolation} {preprocessing.Size} {preprocessing.CenterCropPixels} {preprocessing.PatchSizePixels}");
        hash.AppendData(MemoryMarshal.AsBytes<float>([.. preprocessing.Normalization.Mean, .. preprocessing.Normalization.Std]));
        foreach (ParameterOutline parameter in backbone.Outline().OrderBy(parameter => parameter.Name, StringComparer.Ordinal))
        {
            Add($"{parameter.Name} {string.Join(' ', parameter.Unfilled.shape)}");
            long count = parameter.Unfilled.numel(), step = Math.Max(1, count / SampledPerTensor);
            hash.AppendData(MemoryMarshal.AsBytes<float>(parameter.Sample(step, (count + step - 1) / step)));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 16));

        void Add(string text) => hash.AppendData(Encoding.UTF8.GetBytes(text));
    }

    // Each project has its own way to prepare pictures, and its users expect the numbers that go with it.
    private static Preprocessing PreprocessingOf(BackboneWeights weights)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(weights.File.Path))!;
        return weights.Layout switch
        {
            WeightLayout.HuggingFace => File.Exists(Path.Combine(folder, "preprocessor_config.json")) ? Preprocessing.ReadHuggingFace(folder) : Preprocessing.HuggingFace,
            WeightLayout.Timm => Timm(weights.Config is ConvNeXtConfig ? 224 : 256),
            _ => ModelCard,
        };

        static Preprocessing Timm(int side) => new() { Order = ResizeOrder.PillowThenScale, Interpolation = Interpolation.Bicubic, Size = SizePolicy.ShorterSide(side), CenterCropPixels = side };
    }

    private static Preset Published(string model)
    {
        bool isPath = model.Contains('/', StringComparison.Ordinal) || model.Contains('\\', StringComparison.Ordinal) || Path.GetExtension(model).ToLowerInvariant() is ".pth" or ".pt" or ".bin" or ".safetensors" or ".json";
        bool isHub = model.StartsWith("facebook/", StringComparison.OrdinalIgnoreCase);
        try
        {
            return isPath && !isHub ? throw new DinoSharpException($"{model}: there is no such file or folder") : Presets.Find(model);
        }
        catch (DinoSharpException e) when (!isPath)
        {
            throw new DinoSharpException($"{model}: there is no such file or folder, and {e.Message}", e);
        }
    }

    // A name says which data the weights are of where the file leaves it open (the two 7B files look alike).
    private static Normalization NormalizationOf(Preset preset) => preset.Data == PretrainingData.Sat493M ? Normalization.Sat : Normalization.Lvd;
}
