using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Training.Pretraining;

/// <summary>A trained network with its heads that one or more students are distilled from (paper section 5.2). It never changes.</summary>
public sealed class FrozenTeacher : IDisposable
{
    /// <summary>Builds the network with unset weights.</summary>
    /// <param name="backbone">The teacher's backbone, of any size.</param>
    /// <param name="heads">The teacher's heads; the numbers of prototypes must be those of the students.</param>
    /// <param name="device">Where the weights live; null: CPU.</param>
    public FrozenTeacher(BackboneConfig backbone, HeadsConfig heads, Device? device = null)
    {
        Heads = heads;
        Network = new PretrainNetwork(backbone, heads, device).Freeze();
    }

    /// <summary>Sizes of the heads.</summary>
    public HeadsConfig Heads { get; }

    internal PretrainNetwork Network { get; }

    /// <inheritdoc/>
    public void Dispose() => Network.Dispose();
}
