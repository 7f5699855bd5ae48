using DinoSharp.Backbones;

namespace DinoSharp.Heads;

/// <summary>Sets of layers that the published heads and protocols use.</summary>
public static class HeadLayers
{
    /// <summary>Four layers spread evenly over the network, the last one included: i·⌊L/4⌋ - 1 for i = 1..4. For 24 layers [4, 11, 17, 23], a quirk of the published heads kept on purpose. Of fewer than four layers, all.</summary>
    /// <param name="layerCount">Layers L of the backbone.</param>
    public static LayerSelection FourEvenIntervals(int layerCount) =>
        layerCount < 4 ? LayerSelection.All : layerCount == 24 ? [4, 11, 17, 23] : LayerSelection.Create([.. Enumerable.Range(1, 4).Select(i => i * (layerCount / 4) - 1)]);

    /// <summary>Layers of the canopy height model: [5, 11, 17, 23] of 24.</summary>
    public static LayerSelection Canopy { get; } = [5, 11, 17, 23];
}
