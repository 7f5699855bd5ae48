using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Training.Pretraining;

/// <summary>A trained network, with its heads or without, that one or more students are distilled from (paper section 5.2). It never changes.</summary>
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
        Backbone = Network.Backbone;
    }

    /// <summary>Builds a backbone without heads, with unset weights: students learn its features instead of its prototypes.</summary>
    /// <param name="backbone">The teacher's backbone, of any size and family.</param>
    /// <param name="device">Where the weights live; null: CPU.</param>
    public FrozenTeacher(BackboneConfig backbone, Device? device = null)
    {
        Backbone = Backbone.Create(backbone, device);
        Backbone.eval();
        foreach (TorchSharp.Modules.Parameter parameter in Backbone.parameters()) parameter.requires_grad_(false);
    }

    /// <summary>Sizes of the heads; null if there are none.</summary>
    public HeadsConfig? Heads { get; }

    internal PretrainNetwork? Network { get; }

    internal Backbone Backbone { get; }

    /// <inheritdoc/>
    public void Dispose() => ((IDisposable?)Network ?? Backbone).Dispose();
}
