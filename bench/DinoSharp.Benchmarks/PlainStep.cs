using DinoSharp.Backbones;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Distributed;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>The training step as one writes it at first: every product by libtorch, both heads on all patches, the hidden ones chosen afterwards, and an optimizer of the library.</summary>
internal sealed class PlainStep : IDisposable
{
    private readonly StudentTeacherConfig _config;
    private readonly PretrainNetwork _student, _teacher;
    private readonly IReadOnlyList<ParameterGroup> _groups;
    private readonly TorchSharp.Modules.AdamW _optimizer;

    /// <param name="config">What a step computes; no micro-batches, no Gram anchor, float32.</param>
    /// <param name="start">Where the weights are copied from.</param>
    public PlainStep(StudentTeacherConfig config, StudentTeacher start)
    {
        _config = config;
        _student = new PretrainNetwork(config.Backbone, config.Heads, null);
        _teacher = new PretrainNetwork(config.Backbone, config.Heads, null).Freeze();
        PretrainNetwork.Copy(start.StudentNetwork, _student);
        PretrainNetwork.Copy(start.StudentNetwork, _teacher);
        _student.train();
        _groups = ParameterGroup.Of(_student, config.Optimizer);
        _optimizer = optim.AdamW(_groups.Select(g => new TorchSharp.Modules.AdamW.ParamGroup(g.Parameters.Select(p => p.Parameter))), beta1: config.Optimizer.Beta1, beta2: config.Optimizer.Beta2);
    }

    /// <summary>One step; the total loss.</summary>
    public double Step(PretrainBatch batch, long step)
    {
        using var scope = NewDisposeScope();
        StepValues values = _config.Optimizer.At(step, _config.Steps, _config.BatchImages);
        using var random = new Generator(TorchRandom.SeedOf(_config.Seed, 2, (ulong)step)); // the student's own numbers, so that the losses can be compared
        (Tensor classes, Tensor patches) = Targets(batch, values.TeacherTemperature);

        _optimizer.zero_grad();
        BackboneOutput[] outputs = _student.Backbone.ForwardTraining([batch.GlobalCrops, batch.LocalCrops], [batch.Masks, null], random);
        (BackboneOutput global, BackboneOutput local) = (outputs[0], outputs[1]);
        Tensor globalLogits = _student.DinoHead.call(global.ClassToken).unflatten(0, [2, batch.Images]); // [G, B, K]
        Tensor localLogits = _student.DinoHead.call(local.ClassToken).unflatten(0, [-1, batch.Images]); // [L, B, K]
        Tensor patchLogits = Hidden(_student.IbotHead.call(global.Patches.flatten(0, 1)), batch); // [M, K]
        double localPairs = 2.0 * batch.LocalCropsPerImage, globalPairs = _config.Losses.IgnoreDiagonal ? 2 : 4, pairs = globalPairs + localPairs;
        Tensor loss = DinoLoss.Compute(globalLogits, classes, _config.Losses.IgnoreDiagonal) * (_config.Losses.DinoWeight * globalPairs / pairs)
            + DinoLoss.Compute(localLogits, classes, ignoreDiagonal: false) * (_config.Losses.DinoWeight * localPairs / pairs)
            + IbotLoss.Compute(patchLogits, patches, batch.MaskWeights, batch.Masks.shape[0]) * _config.Losses.IbotWeight;
        foreach (Tensor crop in global.ClassToken.split(batch.Images, 0))
        {
            loss += KoLeoLoss.Compute(crop, _config.Losses.KoLeoNeighbours, _config.Losses.KoLeoGroupSize, Collectives.Single) * _config.Losses.KoLeoWeight;
        }

        loss.backward();
        foreach ((_, Parameter[] parameters) in _student.Parts) nn.utils.clip_grad_norm_(parameters, _config.Optimizer.ClipNorm!.Value);
        foreach ((TorchSharp.Modules.AdamW.ParamGroup group, ParameterGroup of) in _optimizer.ParamGroups.Cast<TorchSharp.Modules.AdamW.ParamGroup>().Zip(_groups))
        {
            group.LearningRate = (of.IsLastLayer ? values.LastLayerLearningRate : values.LearningRate) * of.LearningRateMultiplier;
            group.Options.weight_decay = values.WeightDecay * of.WeightDecayMultiplier;
        }

        _optimizer.step();
        using var quiet = no_grad();
        foreach ((Parameter average, Parameter current) in _teacher.parameters().Zip(_student.parameters()))
        {
            average.mul_(values.Momentum);
            average.add_(current * (1 - values.Momentum));
        }

        return loss.item<float>();
    }

    public void Dispose()
    {
        _optimizer.Dispose();
        _student.Dispose();
        _teacher.Dispose();
    }

    private (Tensor Classes, Tensor Patches) Targets(PretrainBatch batch, double temperature)
    {
        using var quiet = no_grad();
        BackboneOutput output = _teacher.Backbone.ForwardFeatures(batch.GlobalCrops);
        Tensor classes = _teacher.DinoHead.call(output.ClassToken); // [G·B, K]
        Tensor patches = Hidden(_teacher.IbotHead.call(output.Patches.flatten(0, 1)), batch); // [M, K]
        return (TeacherTargets.SinkhornKnopp(classes, temperature, Collectives.Single).unflatten(0, [2, batch.Images]), TeacherTargets.SinkhornKnopp(patches, temperature, Collectives.Single));
    }

    private static Tensor Hidden(Tensor logits, PretrainBatch batch) => logits.index_select(0, batch.MaskedIndices); // [M, K]
}
