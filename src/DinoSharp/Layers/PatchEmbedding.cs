using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>One token per patch: a convolution whose stride is its kernel. Pixels beyond the last whole patch are ignored.</summary>
internal sealed class PatchEmbedding : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "proj")] private readonly Convolution _proj;

    public PatchEmbedding(int channels, int width, int patchSize, Device? device = null)
        : base(nameof(PatchEmbedding))
    {
        _proj = new Convolution(channels, width, patchSize, patchSize, device: device);
        RegisterComponents();
    }

    public Convolution Projection => _proj;

    /// <param name="images">[B, C, H, W]</param>
    public override Tensor forward(Tensor images) => _proj.call(images); // [B, D, h, w]
}
