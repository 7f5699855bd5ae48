using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Layers;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Depth;

/// <summary>Metres for each pixel: the published DPT decoders (SYNTHMIX depth, CHMv2 canopy height), or a linear head.</summary>
public sealed class DepthEstimator : DenseHead<DepthMap>
{
    internal DepthEstimator(Backbone backbone, HeadInput input, DptHead network, DepthBins bins)
        : base(backbone, input, network, null) => (Kind, Bins) = (HeadKind.DptDepth, bins);

    internal DepthEstimator(Backbone backbone, HeadInput input, LinearDepthHead network, DepthBins bins)
        : base(backbone, input, network, null) => (Kind, Bins) = (HeadKind.LinearDepth, bins);

    /// <summary>How the network's scores become metres.</summary>
    public DepthBins Bins { get; }

    /// <summary>Loads a depth or canopy height head from its file, official or our own.</summary>
    /// <param name="model">The loaded backbone; it must live as long as the head.</param>
    /// <param name="path">A file or folder of head weights.</param>
    /// <param name="options">Input or depth bins in place of those of the file; null: none.</param>
    /// <param name="cancel">Stops the loading.</param>
    /// <exception cref="DinoSharpException">The head belongs to another backbone (named in the message), or the file holds something else.</exception>
    public static new DepthEstimator Load(DinoModel model, string path, HeadOptions? options = null, CancellationToken cancel = default) => Load<DepthEstimator>(model, path, options, cancel);

    /// <inheritdoc/>
    public override HeadKind Kind { get; }

    /// <summary>Input of the published SYNTHMIX decoder: shorter side 768, padded to whole patches.</summary>
    internal static HeadInput SynthMixInput(int layerCount) => new()
    {
        Layers = HeadLayers.FourEvenIntervals(layerCount).Resolve(layerCount),
        Preprocessing = new Preprocessing { Size = SizePolicy.ShorterSide(768), PatchSizePixels = 1 },
        Fit = ImageFit.CenterPaddingKept,
    };

    /// <summary>Input of the published linear probe on depth: every pixel as it is, padded to whole patches.</summary>
    internal static HeadInput LinearInput(int layerCount) => new()
    {
        Layers = [layerCount - 1],
        Preprocessing = new Preprocessing { Size = SizePolicy.Native, PatchSizePixels = 1 },
        Fit = ImageFit.CenterPaddingKept,
    };

    /// <summary>Input of the published canopy model: every pixel as it is, padded to whole patches; large rasters in windows.</summary>
    internal static HeadInput CanopyInput { get; } = new()
    {
        Layers = [.. HeadLayers.Canopy],
        Preprocessing = new Preprocessing { Size = SizePolicy.Native, PatchSizePixels = 1, Normalization = Normalization.Chmv2, MaxInputPixels = 1L << 28 },
        Fit = ImageFit.CenterPaddingKept,
        Windows = new HeadWindows(SizePixels: 1024, StridePixels: 768, AbovePixels: 2048 * 2048),
    };

    internal override HeadDescription Describe(HeadDescription description) => description with { Bins = Bins, Readout = Network is DptHead dpt ? dpt.Readout : default };

    internal override int Channels => 1;

    internal override long ScoringBytes(long pixels) => Network is DptHead dpt ? dpt.ScoringBytes(pixels, banded: true) : (long)(sizeof(float) * pixels * (GatheredPerPixel + 4)); // 4: bins of a patch

    internal override Tensor Score(HeadFeatures features)
    {
        if (Network is DptHead dpt) return dpt.Forward(features.Layers, perPixel: Bins.ToMeters); // [B, 1, 16h, 16w]
        using Tensor scores = ((LinearDepthHead)Network).Forward(features.Layers); // [B, bins, h, w]
        return Bins.ToMeters(scores); // [B, 1, h, w]
    }

    internal override Tensor Activate(Tensor scores, int passes) => scores;

    internal override DepthMap Finish(Tensor scores, MapRegion region, int width, int height)
    {
        using Tensor meters = MapResize.Bilinear(scores, region, height, width); // [1, 1, H, W]
        return new DepthMap(width, height, [.. meters.cpu().to_type(ScalarType.Float32).contiguous().data<float>()]);
    }
}
