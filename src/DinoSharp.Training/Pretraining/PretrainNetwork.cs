using DinoSharp.Backbones;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Training.Pretraining;

/// <summary>Sizes of the two projection heads.</summary>
public sealed record HeadsConfig
{
    /// <summary>Head of the image-level loss, on class tokens.</summary>
    public ProjectionHeadConfig Dino { get; init; } = new();

    /// <summary>Head of the patch-level loss, on patch tokens.</summary>
    public ProjectionHeadConfig Ibot { get; init; } = new();

    // One linear layer to the teacher's width: whatever more it could do, the backbone would not have to.
    internal static HeadsConfig ToFeatures(int width)
    {
        var linear = new ProjectionHeadConfig { Layers = 1, BottleneckDim = width, Prototypes = 0 };
        return new HeadsConfig { Dino = linear, Ibot = linear };
    }
}

/// <summary>A backbone with its two projection heads: what is trained, what is averaged, what may teach. Names as in the official training checkpoints.</summary>
internal sealed class PretrainNetwork : nn.Module
{
    [ComponentName(Name = "backbone")] private readonly Backbone _backbone;
    [ComponentName(Name = "dino_head")] private readonly ProjectionHead _dinoHead;
    [ComponentName(Name = "ibot_head")] private readonly ProjectionHead _ibotHead;

    public PretrainNetwork(BackboneConfig backbone, HeadsConfig heads, Device? device)
        : base(nameof(PretrainNetwork))
    {
        _backbone = Backbone.Create(backbone, device);
        _dinoHead = new ProjectionHead(backbone.EmbedDim, heads.Dino, device);
        _ibotHead = new ProjectionHead(backbone.EmbedDim, heads.Ibot, device);
        RegisterComponents();
    }

    public Backbone Backbone => _backbone;

    public ProjectionHead DinoHead => _dinoHead;

    public ProjectionHead IbotHead => _ibotHead;

    /// <summary>The parts whose gradients are clipped separately.</summary>
    public IReadOnlyList<(string Name, Parameter[] Parameters)> Parts =>
    [
        ("backbone", [.. _backbone.parameters()]),
        ("dino_head", [.. _dinoHead.parameters()]),
        ("ibot_head", [.. _ibotHead.parameters()]),
    ];

    /// <summary>Draws fresh weights for all three parts.</summary>
    public void Initialize(Generator random)
    {
        _backbone.Initialize(random);
        _dinoHead.Initialize(random);
        _ibotHead.Initialize(random);
    }

    /// <summary>Makes this network a teacher: no gradients, inference only.</summary>
    public PretrainNetwork Freeze()
    {
        eval();
        foreach (Parameter parameter in parameters()) parameter.requires_grad_(false);
        return this;
    }

    /// <summary>Copies all parameters and buffers of a network of the same shape.</summary>
    public static void Copy(nn.Module from, nn.Module to)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> source = from.state_dict();
        foreach ((string name, Tensor target) in to.state_dict()) target.copy_(source[name]);
    }

    /// <summary>teacher ← m·teacher + (1 - m)·student over all parameters; buffers stay.</summary>
    public static void Average(nn.Module student, nn.Module teacher, double momentum)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor share = 1 - momentum;
        foreach ((Parameter average, Parameter current) in teacher.parameters().Zip(student.parameters())) average.lerp_(current, share);
    }
}
