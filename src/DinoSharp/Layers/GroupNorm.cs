using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Norm over groups of channels of a map (Wu and He 2018); the published heads use 32 groups.</summary>
internal sealed class GroupNorm : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    [ComponentName(Name = "bias")] private readonly Parameter _bias;
    private readonly int _groups;

    public GroupNorm(int channels, Device? device = null, int groups = 32)
        : base(nameof(GroupNorm))
    {
        _groups = groups;
        _weight = new Parameter(empty(channels, device: device));
        _bias = new Parameter(empty(channels, device: device));
        RegisterComponents();
    }

    /// <param name="x">[B, C, h, w]</param>
    public override Tensor forward(Tensor x) => nn.functional.group_norm(x, _groups, _weight, _bias, 1e-5); // [B, C, h, w]
}
