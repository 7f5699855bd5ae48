using DinoSharp.Backbones;
using DinoSharp.Training.Distributed;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Training.Pretraining;

/// <summary>Weights of the losses at one step.</summary>
/// <param name="Local">Further weight of the local part of the image-level loss.</param>
/// <param name="Gram">Weight of the Gram loss.</param>
internal sealed record LossWeights(double Local, double Gram)
{
    public static LossWeights At(LossConfig config, long step, long totalSteps) =>
        new(config.LocalWeight?.At(step, totalSteps) ?? 1, config.Gram?.Weight.At(step, totalSteps) ?? 0);
}

/// <summary>The student's half of a step: one forward pass over the crops of a part of a batch, and its losses.</summary>
/// <param name="network">The student.</param>
/// <param name="settings">Losses, and how activations are kept.</param>
/// <param name="gram">Gram anchor; null if there is none.</param>
/// <param name="collectives">The processes that KoLeo groups may span.</param>
internal sealed class StudentPass(PretrainNetwork network, StudentTeacherConfig settings, GramTeacher? gram, Collectives collectives)
{
    private readonly LossConfig _losses = settings.Losses;

    /// <summary>Names of the entries of the second result of <see cref="Run"/>.</summary>
    public static readonly string[] TermNames = ["total loss", "global DINO loss", "local DINO loss", "iBOT loss", "KoLeo loss", "Gram loss", "Gram loss of hidden patches", "Gram loss of shown patches", "feature loss of the class token", "feature loss of the patches"];

    /// <summary>Computes the losses.</summary>
    /// <param name="part">Crops and masks.</param>
    /// <param name="targets">What the teacher says about them.</param>
    /// <param name="weights">Weights at this step.</param>
    /// <param name="hidePatches">Whether masked patches are hidden from the student; in distillation they are not.</param>
    /// <param name="random">Source of stochastic depth and rotary augmentation.</param>
    /// <returns>The total to differentiate, and all terms for the report as <see cref="TermNames"/> lists them [10].</returns>
    public (Tensor Total, Tensor Terms) Run(PretrainBatch part, Targets targets, LossWeights weights, bool hidePatches, Generator random)
    {
        using var scope = NewDisposeScope();
        BackboneOutput[] outputs = network.Backbone.ForwardTraining([part.GlobalCrops, part.LocalCrops], [hidePatches ? part.Masks : null, null], random, settings.RecomputeActivations);
        (BackboneOutput global, BackboneOutput local) = (outputs[0], outputs[1]);

        (Tensor dinoGlobal, Tensor dinoLocal) = Dino(global.ClassToken, local.ClassToken, targets, part);
        Tensor patchLogits = network.IbotHead.call(part.SelectHidden(global.Patches)); // [M, K]
        Tensor ibot = IbotLoss.Compute(patchLogits, targets.Patches, part.MaskWeights, part.Masks.shape[0]);
        Tensor koleo = KoLeo(global.ClassToken, part);
        (double globalShare, double localShare) = Shares(part.LocalCropsPerImage);
        Tensor total = ((dinoGlobal * Num(globalShare)).Plus(dinoLocal * Num(localShare * weights.Local)) * Num(_losses.DinoWeight)).Plus(koleo * Num(_losses.KoLeoWeight * PretrainBatch.GlobalCropsPerImage)).Plus(ibot * Num(_losses.IbotWeight));

        Tensor none = zeros_like(total);
        (Tensor gramLoss, Tensor? masked, Tensor? unmasked) = gram?.Loss(global.Patches, part, targets.Features) ?? (none, null, null);
        if (gram is not null) total = total.Plus(gramLoss * Num(weights.Gram));
        Tensor terms = stack([total.detach(), dinoGlobal.detach(), dinoLocal.detach(), ibot.detach(), koleo.detach(), gramLoss.detach(), masked ?? none, unmasked ?? none, none, none]); // [10]
        return (total.MoveToOuterDisposeScope(), terms.detach().MoveToOuterDisposeScope());
    }

    /// <summary>Computes the losses against a frozen teacher's features: one minus the cosine of class and patch tokens, after a linear layer to the teacher's width.</summary>
    /// <param name="part">Crops; only the global ones are looked at, all patches shown.</param>
    /// <param name="targets">The teacher's tokens, of unit length.</param>
    /// <param name="random">Source of stochastic depth and rotary augmentation.</param>
    /// <returns>As <see cref="Run"/>.</returns>
    public (Tensor Total, Tensor Terms) RunFeatures(PretrainBatch part, Targets targets, Generator random)
    {
        using var scope = NewDisposeScope();
        BackboneOutput output = network.Backbone.ForwardTraining([part.GlobalCrops], [null], random, settings.RecomputeActivations)[0];
        Tensor classes = Distance(network.DinoHead.Bottleneck(output.ClassToken), targets.Classes);
        Tensor patches = Distance(network.IbotHead.Bottleneck(output.Patches.flatten(0, 1)), targets.Patches); // from [G·B·P, D]
        Tensor total = (classes * Num(_losses.DinoWeight)).Plus(patches * Num(_losses.IbotWeight)), none = zeros_like(total);
        Tensor terms = stack([total.detach(), none, none, none, none, none, none, none, classes.detach(), patches.detach()]); // [10]
        return (total.MoveToOuterDisposeScope(), terms.detach().MoveToOuterDisposeScope());

        static Tensor Distance(Tensor student, Tensor teacher) => (-(student.to(ScalarType.Float32) * teacher).sum(-1).mean()).Plus(Num(1));
    }

    private (Tensor Global, Tensor Local) Dino(Tensor globalTokens, Tensor localTokens, Targets targets, PretrainBatch part)
    {
        Tensor logits = network.DinoHead.call(cat([globalTokens, localTokens], 0)); // [(G + L)·B, K]
        Tensor[] groups = logits.unflatten(0, [-1, part.Images]).split([PretrainBatch.GlobalCropsPerImage, part.LocalCropsPerImage], 0); // [G, B, K], [L, B, K]
        return (DinoLoss.Compute(groups[0], targets.Classes, _losses.IgnoreDiagonal), DinoLoss.Compute(groups[1], targets.Classes, ignoreDiagonal: false));
    }

    private Tensor KoLeo(Tensor globalTokens, PretrainBatch part)
    {
        Collectives reach = _losses.KoLeoAcrossProcesses ? collectives : Collectives.Single;
        IEnumerable<Tensor> perCrop = globalTokens.split(part.Images, 0).Select(crop => KoLeoLoss.Compute(crop, _losses.KoLeoNeighbours, _losses.KoLeoGroupSize, reach));
        return stack([.. perCrop]).mean();
    }

    // Each pair of a student crop and a teacher crop counts the same.
    private (double Global, double Local) Shares(int localCrops)
    {
        const int Globals = PretrainBatch.GlobalCropsPerImage;
        double globalPairs = _losses.IgnoreDiagonal ? Globals * (Globals - 1) : Globals * Globals, localPairs = Globals * localCrops;
        return (globalPairs / (globalPairs + localPairs), localPairs / (globalPairs + localPairs));
    }
}
