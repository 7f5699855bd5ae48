using DinoSharp.Backbones;
using DinoSharp.Training.Distributed;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Training.Pretraining;

/// <summary>What the teacher says about one part of a batch.</summary>
/// <param name="Classes">Distributions of the global crops [G, B, K]; or, from a teacher without heads, their class tokens [G·B, D].</param>
/// <param name="Patches">Distributions of the patches hidden from the student [M, K]; or, from a teacher without heads, all patch tokens [G·B·P, D].</param>
/// <param name="Features">All patch features, if the moving teacher is the Gram anchor. [G·B, P, D]</param>
internal sealed record Targets(Tensor Classes, Tensor Patches, Tensor? Features);

/// <summary>The teacher's half of a step: unmasked global crops in, balanced distributions out.</summary>
internal static class Teaching
{
    /// <summary>Runs the teacher over all parts of a batch and balances its answers over the whole batch of all processes.</summary>
    /// <param name="teacher">The moving average of the student, or a frozen network.</param>
    /// <param name="parts">On the teacher's device, in the compute type.</param>
    /// <param name="temperature">Teacher temperature.</param>
    /// <param name="cropScale">Factor on the side of the crops for the teacher, so that both networks see the same grid of patches.</param>
    /// <param name="keepFeatures">Whether to return patch features.</param>
    /// <param name="collectives">The processes to balance over.</param>
    /// <returns>Targets of each part, in the caller's dispose scope.</returns>
    public static Targets[] Run(PretrainNetwork teacher, IReadOnlyList<PretrainBatch> parts, double temperature, double cropScale, bool keepFeatures, Collectives collectives)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var classes = new List<Tensor>();
        var patches = new List<Tensor>();
        var features = new List<Tensor?>();
        foreach (PretrainBatch part in parts)
        {
            using var inner = NewDisposeScope();
            BackboneOutput output = teacher.Backbone.ForwardFeatures(Scale(part.GlobalCrops, cropScale));
            classes.Add(teacher.DinoHead.call(output.ClassToken).MoveToOuterDisposeScope()); // [G·B, K]
            patches.Add(teacher.IbotHead.call(part.SelectHidden(output.Patches)).MoveToOuterDisposeScope()); // [M, K]
            features.Add(keepFeatures ? output.Patches.MoveToOuterDisposeScope() : null);
        }

        Tensor[] classTargets = Balance(classes), patchTargets = Balance(patches);
        return [.. parts.Select((part, i) => new Targets(
            classTargets[i].unflatten(0, [PretrainBatch.GlobalCropsPerImage, part.Images]).MoveToOuterDisposeScope(), // [G, B, K]
            patchTargets[i].MoveToOuterDisposeScope(),
            features[i]?.MoveToOuterDisposeScope()))];

        Tensor[] Balance(List<Tensor> logits) => TeacherTargets.SinkhornKnopp(cat(logits, 0), temperature, collectives).split([.. logits.Select(l => l.shape[0])], 0);
    }

    /// <summary>Runs a teacher without heads: its class and patch tokens, each of unit length.</summary>
    /// <param name="teacher">The frozen network.</param>
    /// <param name="parts">On the teacher's device, in the compute type.</param>
    /// <param name="cropScale">As in <see cref="Run"/>.</param>
    /// <returns>For each part class tokens [G·B, D] and patch tokens [G·B·P, D], float32, in the caller's dispose scope.</returns>
    public static Targets[] Features(Backbone teacher, IReadOnlyList<PretrainBatch> parts, double cropScale)
    {
        using var quiet = no_grad();
        return [.. parts.Select(part =>
        {
            using var scope = NewDisposeScope();
            BackboneOutput output = teacher.ForwardFeatures(Scale(part.GlobalCrops, cropScale));
            return new Targets(Unit(output.ClassToken), Unit(output.Patches.flatten(0, 1)), null); // [G·B, D], [G·B·P, D]
        })];

        static Tensor Unit(Tensor tokens) => nn.functional.normalize(tokens.to(ScalarType.Float32), dim: -1, eps: 1e-12).MoveToOuterDisposeScope();
    }

    // The original intends this for ConvNeXt students, whose cells are twice as wide as their teacher's patches, but never applies it.
    // In float32, because libtorch cannot filter bfloat16 on a CPU.
    private static Tensor Scale(Tensor crops, double factor) => factor == 1 ? crops : nn.functional.interpolate(
        crops.to(ScalarType.Float32), [(long)(crops.shape[2] * factor), (long)(crops.shape[3] * factor)], mode: InterpolationMode.Bilinear, align_corners: false, antialias: true).to(crops.dtype); // [G·B, C, s, s]
}
