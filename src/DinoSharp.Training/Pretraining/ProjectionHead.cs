using DinoSharp.Layers;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Training.Pretraining;

/// <summary>Sizes of a projection head. The defaults are those of the ViT-L recipe.</summary>
public sealed record ProjectionHeadConfig
{
    /// <summary>Number of prototypes K.</summary>
    public int Prototypes { get; init; } = 65536;

    /// <summary>Width of the unit-length vectors that are compared with the prototypes.</summary>
    public int BottleneckDim { get; init; } = 256;

    /// <summary>Width of the hidden layers.</summary>
    public int HiddenDim { get; init; } = 2048;

    /// <summary>Number of linear layers before the prototypes, at least 1.</summary>
    public int Layers { get; init; } = 3;

    /// <summary>Standard deviation of the fresh prototypes, and so of the first logits. At the 0.02 of the original a teacher says almost the same of every image until the prototypes
    /// have grown, for which a short run has no time; 0.1 starts where unit-length prototypes (DINO, DINOv2) would.</summary>
    public double PrototypeStd { get; init; } = 0.02;

    /// <summary>Number of parameters on a backbone of a given width.</summary>
    /// <param name="width">Token width D.</param>
    public long ParameterCount(long width) =>
        (Layers <= 1 ? (width + 1) * BottleneckDim : (width + 1) * HiddenDim + (Layers - 2L) * (HiddenDim + 1L) * HiddenDim + (HiddenDim + 1L) * BottleneckDim)
        + (long)BottleneckDim * Prototypes;
}

/// <summary>From a token to the logits of K prototypes: a small network, unit length, then one product per prototype without bias.</summary>
/// <remarks>Both losses have one of their own. The prototypes are not normalised (unlike DINO and DINOv2).</remarks>
internal sealed class ProjectionHead : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "mlp")] private readonly nn.Module<Tensor, Tensor> _mlp;
    [ComponentName(Name = "last_layer")] private readonly Linear? _prototypes;
    private readonly double _prototypeStd;

    /// <param name="width">Token width D.</param>
    /// <param name="config">Sizes.</param>
    /// <param name="device">Where the weights live; null: CPU.</param>
    /// <param name="batchNorm">A batch norm before each activation.</param>
    /// <param name="bias">Biases in the network.</param>
    public ProjectionHead(int width, ProjectionHeadConfig config, Device? device = null, bool batchNorm = false, bool bias = true)
        : base(nameof(ProjectionHead))
    {
        var layers = new List<nn.Module<Tensor, Tensor>>();
        int inputs = width;
        for (int i = 1; i < config.Layers; i++)
        {
            layers.Add(new Linear(inputs, config.HiddenDim, bias, device));
            if (batchNorm) layers.Add(nn.BatchNorm1d(config.HiddenDim, device: device));
            layers.Add(nn.GELU());
            inputs = config.HiddenDim;
        }

        var last = new Linear(inputs, config.BottleneckDim, bias, device);
        _mlp = layers.Count == 0 ? last : nn.Sequential([.. layers, last]);
        _prototypes = config.Prototypes == 0 ? null : new Linear(config.BottleneckDim, config.Prototypes, bias: false, device);
        _prototypeStd = config.PrototypeStd;
        RegisterComponents();
    }

    /// <param name="x">Tokens [n, D].</param>
    /// <returns>Logits [n, K].</returns>
    public override Tensor forward(Tensor x)
    {
        using Tensor bottleneck = Bottleneck(x); // [n, bottleneck]
        return Logits(bottleneck); // [n, K]
    }

    /// <summary>The first part: unit-length vectors. [n, bottleneck]</summary>
    public Tensor Bottleneck(Tensor x)
    {
        using var scope = NewDisposeScope();
        Tensor z = _mlp.call(x); // [n, bottleneck]
        return nn.functional.normalize(z.to(ScalarType.Float32), dim: -1, eps: 1e-12).to(z.dtype).MoveToOuterDisposeScope();
    }

    /// <summary>The second part: logits of unit-length vectors. [n, K]</summary>
    public Tensor Logits(Tensor bottleneck) => _prototypes!.call(bottleneck);

    /// <summary>Draws fresh weights: normal 0.02, the prototypes as configured (the original cuts it at 100 standard deviations), biases 0, norms 1.</summary>
    public void Initialize(Generator random)
    {
        using var quiet = no_grad();
        foreach ((string name, TorchSharp.Modules.Parameter parameter) in named_parameters())
        {
            if (name.EndsWith("bias", StringComparison.Ordinal)) parameter.zero_();
            else if (parameter.dim() == 1) parameter.fill_(Num(1));
            else parameter.normal_(0, name.StartsWith("last_layer", StringComparison.Ordinal) ? _prototypeStd : 0.02, random);
        }
    }
}
