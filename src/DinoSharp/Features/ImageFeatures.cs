using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Features;

/// <summary>Everything a backbone says about one picture: class token, registers and a patch map for each layer that was asked for. Owns tensors: dispose it.</summary>
public sealed class ImageFeatures : IDisposable
{
    private readonly int _layerCount;

    internal ImageFeatures(string name, IReadOnlyList<LayerFeatures> layers, int layerCount, int inputHeight, int inputWidth, PatchGeometry geometry) =>
        (Name, Layers, _layerCount, InputHeight, InputWidth, Geometry) = (name, layers, layerCount, inputHeight, inputWidth, geometry);

    /// <summary>The path of the picture, or the name given to it.</summary>
    public string Name { get; }

    /// <summary>The layers in network order, as tensors with B = 1 on the device of the model; they live as long as this object.</summary>
    public IReadOnlyList<LayerFeatures> Layers { get; }

    /// <summary>Height in pixels at which the model saw the picture.</summary>
    public int InputHeight { get; }

    /// <summary>Width in pixels at which the model saw the picture.</summary>
    public int InputWidth { get; }

    /// <summary>Where the patches lie on the picture.</summary>
    public PatchGeometry Geometry { get; }

    /// <summary>Patch rows h of the last layer.</summary>
    public int GridHeight => Layers[^1].GridHeight;

    /// <summary>Patch columns w of the last layer.</summary>
    public int GridWidth => Layers[^1].GridWidth;

    /// <summary>The class token of a layer (ConvNeXt: the mean of the map). [D]</summary>
    /// <param name="layer">Index of the layer in the network, negative from the end.</param>
    /// <exception cref="DinoSharpException">The layer was not asked for.</exception>
    public float[] ClassToken(int layer = -1) => Numbers(Layer(layer).ClassToken);

    /// <summary>The register tokens of a layer; R is 0 for a ConvNeXt. [R, D]</summary>
    /// <param name="layer">Index of the layer in the network, negative from the end.</param>
    /// <exception cref="DinoSharpException">The layer was not asked for.</exception>
    public float[][] Registers(int layer = -1)
    {
        Tensor registers = Layer(layer).Registers; // [1, R, D]
        int dim = (int)registers.shape[2];
        return [.. Numbers(registers).Chunk(dim)];
    }

    /// <summary>The patch tokens of a layer. [h, w, D]</summary>
    /// <param name="layer">Index of the layer in the network, negative from the end.</param>
    /// <exception cref="DinoSharpException">The layer was not asked for.</exception>
    public PatchMap PatchMap(int layer = -1)
    {
        LayerFeatures features = Layer(layer);
        return new PatchMap(features.GridHeight, features.GridWidth, (int)features.Patches.shape[2], Numbers(features.Patches), Geometry);
    }

    /// <summary>One vector for the picture, from a layer.</summary>
    /// <param name="pooling">Which tokens.</param>
    /// <param name="unitLength">Divide the vector by its length.</param>
    /// <param name="layer">Index of the layer in the network, negative from the end.</param>
    /// <exception cref="DinoSharpException">The layer was not asked for.</exception>
    public float[] Pool(Pooling pooling = Pooling.ClassToken, bool unitLength = true, int layer = -1)
    {
        using var scope = NewDisposeScope();
        LayerFeatures features = Layer(layer);
        return Numbers(pooling.Pool(features.ClassToken, features.Patches, unitLength));
    }

    /// <summary>Cosine similarity of every patch with one of them.</summary>
    /// <param name="row">Patch row from the top.</param>
    /// <param name="column">Patch column from the left.</param>
    /// <param name="layer">Index of the layer in the network, negative from the end.</param>
    /// <exception cref="DinoSharpException">The layer was not asked for.</exception>
    public HeatMap SimilarityTo(int row, int column, int layer = -1)
    {
        PatchMap map = PatchMap(layer);
        return map.SimilarityTo(map[row, column]);
    }

    /// <summary>Frees the tensors.</summary>
    public void Dispose()
    {
        foreach (LayerFeatures layer in Layers) layer.Dispose();
    }

    private LayerFeatures Layer(int layer)
    {
        int wanted = layer < 0 ? _layerCount + layer : layer;
        return Layers.FirstOrDefault(features => features.Layer == wanted)
            ?? throw new DinoSharpException($"layer {layer} was not extracted; there is {string.Join(", ", Layers.Select(features => features.Layer))}. Name it in ExtractOptions.Layers");
    }

    private static float[] Numbers(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        return tensor.to_type(ScalarType.Float32).cpu().contiguous().data<float>().ToArray();
    }
}
