using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Detection;

/// <summary>Features of a large image at two scales: k × k windows at full resolution, and the whole image shrunk to one window.</summary>
internal sealed class WindowedFeatures : nn.Module
{
    [ComponentName(Name = "layer_norms")] private readonly ModuleList<ChannelNorm>? _norms;
    private readonly int[] _layers;
    private readonly int _windows;

    public WindowedFeatures(DetrConfig config, Device? device)
        : base(nameof(WindowedFeatures))
    {
        (_layers, _windows) = ([.. config.Layers], config.WindowsPerSide);
        _norms = config.LayerNorms ? new ModuleList<ChannelNorm>([.. _layers.Select(_ => new ChannelNorm(config.BackboneWidth, device))]) : null;
        RegisterComponents();
    }

    /// <param name="backbone">The frozen backbone.</param>
    /// <param name="images">[B, 3, H, W]; H and W multiples of 16.</param>
    /// <returns>[B, C, H/16, W/16], channels [whole image; windows]</returns>
    /// <exception cref="DinoSharpException">The image is too small for this many windows.</exception>
    public Tensor Forward(Backbone backbone, Tensor images)
    {
        if (_windows == 0) return Encode(backbone, images);
        using var scope = NewDisposeScope();
        long[] rows = Sizes(images.shape[2]), columns = Sizes(images.shape[3]);
        long top = 0;
        var bands = new List<Tensor>();
        foreach (long height in rows)
        {
            long left = 0;
            var band = new List<Tensor>();
            foreach (long width in columns)
            {
                band.Add(Encode(backbone, images.narrow(2, top, height).narrow(3, left, width))); // [B, C, h_k, w_k]
                left += width;
            }

            bands.Add(cat(band, 3)); // [B, C, h_k, w]
            top += height;
        }

        Tensor windows = cat(bands, 2); // [B, C, h, w]
        Tensor whole = Encode(backbone, ResizeAntialiased(images, rows[0], columns[0])); // [B, C, h_1, w_1]
        return cat([ResizeAntialiased(whole, windows.shape[2], windows.shape[3]), windows], 1).MoveToOuterDisposeScope(); // [B, 2C, h, w]
    }

    /// <summary>Sides of the windows: equal multiples of the patch size, the last one takes the rest.</summary>
    private long[] Sizes(long size)
    {
        long side = ImageFitting.RoundUp(size / _windows, DetrConfig.Stride), rest = size - (_windows - 1) * side;
        if (rest <= 0) throw new DinoSharpException($"a side of {size} pixels is too short for {_windows} windows of whole patches; use an image of at least {_windows * DetrConfig.Stride * 2} pixels per side");
        return [.. Enumerable.Repeat(side, _windows - 1), rest];
    }

    private Tensor Encode(Backbone backbone, Tensor images)
    {
        using var scope = NewDisposeScope();
        LayerFeatures[] features = backbone.GetLayers(images, LayerSelection.Create(_layers));
        return cat([.. features.Select((f, i) => _norms is null ? f.PatchMap() : _norms[i].call(f.PatchMap()))], 1).MoveToOuterDisposeScope(); // [B, C, h, w]
    }

    private static Tensor ResizeAntialiased(Tensor x, long height, long width) =>
        nn.functional.interpolate(x, [height, width], mode: InterpolationMode.Bilinear, align_corners: false, antialias: true); // [B, C, height, width]
}

/// <summary>Layer norm over the channels of a map.</summary>
internal sealed class ChannelNorm : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "ln")] private readonly Norm _norm;

    public ChannelNorm(int channels, Device? device)
        : base(nameof(ChannelNorm))
    {
        _norm = new Norm(channels, NormKind.LayerNorm, 1e-5, device);
        RegisterComponents();
    }

    /// <param name="x">[B, C, h, w]</param>
    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return _norm.call(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).MoveToOuterDisposeScope(); // [B, C, h, w]
    }
}
