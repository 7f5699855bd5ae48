using DinoSharp.Backbones;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Views;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Training.Pretraining;

/// <summary>The network whose patch similarities the student should keep, and the Gram loss against it (paper section 4).</summary>
internal sealed class GramTeacher : IDisposable
{
    private readonly GramConfig _config;

    /// <param name="config">Which network, and how it is compared.</param>
    /// <param name="backbone">Shape of the teacher's backbone.</param>
    /// <param name="device">Where the weights live; null: CPU.</param>
    public GramTeacher(GramConfig config, BackboneConfig backbone, Device? device)
    {
        _config = config;
        if (config.Mode == GramMode.MovingTeacher) return;
        Backbone = Backbone.Create(backbone, device);
        Backbone.eval();
        foreach (Parameter parameter in Backbone.parameters()) parameter.requires_grad_(false);
    }

    /// <summary>The anchor; null if it is the moving teacher.</summary>
    public Backbone? Backbone { get; }

    /// <summary>Takes over a teacher's weights, if the step that just ended is one of those after which the anchor is refreshed.</summary>
    /// <param name="step">The step that just ended; 0 is the first.</param>
    /// <param name="teacher">The moving teacher.</param>
    public void AfterStep(long step, Backbone teacher)
    {
        if (Backbone is not null && _config.RefreshesBefore(step + 1) > _config.RefreshesBefore(step)) PretrainNetwork.Average(teacher, Backbone, momentum: 0);
    }

    /// <summary>The loss, and the losses over hidden and shown patches that are only reported.</summary>
    /// <param name="student">The student's patches of the global crops. [G·B, P, D]</param>
    /// <param name="part">The crops and masks.</param>
    /// <param name="moving">The moving teacher's patches of the global crops, if that is the anchor. [G·B, P, D]</param>
    public (Tensor Loss, Tensor? Masked, Tensor? Unmasked) Loss(Tensor student, PretrainBatch part, Tensor? moving)
    {
        using var scope = NewDisposeScope();
        Tensor target = moving ?? Anchor(part, student.shape[1]); // [G·B, P, D]
        Tensor loss = Compute(_config.Tokens switch
        {
            GramTokens.Masked => part.SelectHidden,
            GramTokens.Unmasked => part.SelectShown,
            _ => null,
        }, _config.Loss);
        if (!_config.ReportMaskedParts) return (loss.MoveToOuterDisposeScope(), null, null);
        using var quiet = no_grad();
        GramLossOptions overBatch = _config.Loss with { PerImage = false };
        return (loss.MoveToOuterDisposeScope(), Compute(part.SelectHidden, overBatch).MoveToOuterDisposeScope(), Compute(part.SelectShown, overBatch).MoveToOuterDisposeScope());

        // A part of a batch may hide no patch, or all: then there is nothing to compare.
        Tensor Compute(Func<Tensor, Tensor>? select, GramLossOptions options)
        {
            if (select is null) return GramLoss.Compute(student, target, options);
            Tensor chosen = select(student); // [n, D]
            return chosen.shape[0] == 0 ? chosen.sum() : GramLoss.Compute(chosen, select(target), options);
        }
    }

    public void Dispose() => Backbone?.Dispose();

    private Tensor Anchor(PretrainBatch part, long patches)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor crops = part.GramCrops ?? part.GlobalCrops;
        Tensor features = Backbone!.ForwardFeatures(crops).Patches; // [G·B, T, D]
        if (features.shape[1] == patches) return features.MoveToOuterDisposeScope();
        long from = (long)Math.Sqrt(features.shape[1]), to = (long)Math.Sqrt(patches); // crops are square
        Tensor map = features.transpose(1, 2).unflatten(2, [from, from]); // [G·B, D, √T, √T]
        InterpolationMode mode = _config.Resize == GramResize.Bicubic ? InterpolationMode.Bicubic : InterpolationMode.Bilinear;
        map = nn.functional.interpolate(map.to(ScalarType.Float32), [to, to], mode: mode, align_corners: false, antialias: _config.ResizeAntialias).to(map.dtype); // [G·B, D, √P, √P]
        return map.flatten(2).transpose(1, 2).MoveToOuterDisposeScope(); // [G·B, P, D]
    }
}
