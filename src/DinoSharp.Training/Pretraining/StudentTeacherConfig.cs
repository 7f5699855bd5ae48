using DinoSharp.Backbones;
using DinoSharp.Inference;
using DinoSharp.Training.Optimization;
using static TorchSharp.torch;

namespace DinoSharp.Training.Pretraining;

/// <summary>Number format of the forward and backward passes. Weights, moments, losses and targets are always float32.</summary>
public enum TrainingComputeType
{
    /// <summary>float32.</summary>
    Float32,

    /// <summary>bfloat16 activations; weights are rounded on their way in, gradients come back as float32.</summary>
    BFloat16,
}

internal static class TrainingComputeTypes
{
    public static ComputeType ToComputeType(this TrainingComputeType compute) => compute == TrainingComputeType.BFloat16 ? ComputeType.BFloat16 : ComputeType.Float32;
}

/// <summary>Everything that decides what a training step computes.</summary>
public sealed record StudentTeacherConfig
{
    /// <summary>The student's backbone; stochastic depth and rotary augmentation apply to the student only.</summary>
    public required BackboneConfig Backbone { get; init; }

    /// <summary>The projection heads.</summary>
    public HeadsConfig Heads { get; init; } = new();

    /// <summary>The losses and their weights.</summary>
    public LossConfig Losses { get; init; } = new();

    /// <summary>The optimizer and the schedules.</summary>
    public OptimizerConfig Optimizer { get; init; } = new();

    /// <summary>Length T of the run.</summary>
    public required long Steps { get; init; }

    /// <summary>Images per step and process.</summary>
    public required int BatchImages { get; init; }

    /// <summary>Parts k that a batch is processed in to save memory. Targets are balanced over the whole batch in any case, so with KoLeo groups no
    /// larger than a part and no random depth or positions, k parts give what one part gives.</summary>
    public int MicroBatches { get; init; } = 1;

    /// <summary>Number format of the passes.</summary>
    public TrainingComputeType Compute { get; init; }

    /// <summary>Keep only the input of each block for the backward pass and compute the rest again: less memory, more time, the same numbers.</summary>
    public bool RecomputeActivations { get; init; }

    /// <summary>Seed of the fresh weights and of every random number of the student.</summary>
    public ulong Seed { get; init; }

    /// <summary>Who multiplies on the CPU; null: what is fastest there. It changes the last bits.</summary>
    internal Products? Products { get; init; }

    internal ScalarType ComputeScalar => Compute == TrainingComputeType.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;

    /// <summary>Throws if a value cannot work or two contradict each other.</summary>
    /// <param name="worldSize">Number of processes.</param>
    /// <exception cref="DinoSharpException">The message names the value and the reason.</exception>
    public void Validate(int worldSize = 1)
    {
        Require(Steps >= 1, $"Steps must be at least 1, found {Steps}");
        Require(BatchImages >= 1, $"BatchImages must be at least 1, found {BatchImages}");
        Require(MicroBatches >= 1 && BatchImages % MicroBatches == 0, $"MicroBatches {MicroBatches} must divide BatchImages {BatchImages}");
        try
        {
            Backbone.Validate();
        }
        catch (ArgumentException e)
        {
            throw new DinoSharpException("backbone: " + e.Message, e);
        }

        foreach (ProjectionHeadConfig head in (ProjectionHeadConfig[])[Heads.Dino, Heads.Ibot])
        {
            Require(head.Prototypes >= 1 && head.BottleneckDim >= 1 && head.HiddenDim >= 1 && head.Layers >= 1, $"sizes of a projection head must be positive, found {head}");
            Require(head.PrototypeStd > 0 && double.IsFinite(head.PrototypeStd), $"prototypeStd must be a positive number, found {head.PrototypeStd}");
        }

        Optimizer.Validate(Steps);
        Losses.LocalWeight?.Validate("the local weight", Steps);
        Losses.Gram?.Validate(Steps, MicroBatches);
        int part = BatchImages / MicroBatches, reach = part * (Losses.KoLeoAcrossProcesses ? worldSize : 1), group = Losses.KoLeoGroupSize ?? reach;
        Require(group >= 1 && (part % group == 0 || group % part == 0) && reach % group == 0, $"KoLeo groups of {group} do not fit: {part} images pass through the network together, {reach} can be searched");
        Require(Losses.KoLeoNeighbours >= 1 && Losses.KoLeoNeighbours <= group, $"KoLeoNeighbours {Losses.KoLeoNeighbours} must be between 1 and the group's {group} images");
        Require(Losses.KoLeoWeight == 0 || group >= 2, $"KoLeo needs at least two images in a group: raise BatchImages, lower MicroBatches, or set KoLeoWeight to 0");

        static void Require(bool condition, string problem)
        {
            if (!condition) throw new DinoSharpException(problem);
        }
    }
}
