using DinoSharp.Backbones;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Pretraining;

/// <summary>The smallest thing that trains in every respect: two blocks, two heads, crops of 4×4 and 2×2 patches.</summary>
internal static class TinyLearner
{
    public static VisionTransformerConfig Vit { get; } = new()
    {
        Width = 32,
        Depth = 2,
        Heads = 2,
        FeedForwardWidth = 64,
        PatchSize = 8,
        Registers = 1,
        LayerScale = 0.1,
        Rotary = new RotaryConfig { RescaleCoordinates = null },
    };

    public static ConvNeXtConfig ConvNeXt { get; } = new() { Depths = (1, 1, 2, 1), Dims = (8, 12, 16, 32) };

    public static HeadsConfig Heads { get; } = new()
    {
        Dino = new ProjectionHeadConfig { Prototypes = 48, BottleneckDim = 16, HiddenDim = 24 },
        Ibot = new ProjectionHeadConfig { Prototypes = 40, BottleneckDim = 12, HiddenDim = 20 },
    };

    public static StudentTeacherConfig Config { get; } = new()
    {
        Backbone = Vit,
        Heads = Heads,
        Steps = 20,
        BatchImages = 4,
        Seed = 7,
        Losses = new LossConfig { KoLeoGroupSize = 2 },
        Optimizer = new OptimizerConfig { LearningRate = Schedule.Constant(1e-2), Scaling = LearningRateScaling.None, Momentum = Schedule.Constant(0.9) },
    };

    /// <summary>Noise in which every image has its own mean, so that there is something to tell apart.</summary>
    public static PretrainBatch Batch(int images = 4, ulong seed = 3, int globalPixels = 32, int localPixels = 16, int cell = 8, int gramPixels = 0)
    {
        using var random = new Generator(seed);
        using Tensor means = randn(images, 3, 1, 1, generator: random);
        Tensor masks = zeros([2 * images, globalPixels / cell * (globalPixels / cell)], ScalarType.Bool);
        for (int i = 0; i < 2 * images; i += 2) masks[i].narrow(0, i % 3, 2 + i % 2).fill_(true);
        return PretrainBatch.Create(Crops(2, globalPixels), Crops(4, localPixels), gramPixels == 0 ? null : Crops(2, gramPixels), masks);

        Tensor Crops(int count, int pixels)
        {
            using var scope = NewDisposeScope();
            return (randn(count * images, 3, pixels, pixels, generator: random) * 0.3 + means.repeat(count, 1, 1, 1)).MoveToOuterDisposeScope();
        }
    }

    /// <summary>All weights of student and teacher, as copies.</summary>
    public static Dictionary<string, Tensor> Snapshot(StudentTeacher learner) =>
        learner.StudentNetwork.state_dict().Select(p => ("student." + p.Key, p.Value))
            .Concat(learner.TeacherNetwork.state_dict().Select(p => ("teacher." + p.Key, p.Value)))
            .ToDictionary(p => p.Item1, p => p.Value.detach().clone());

    /// <summary>Largest difference of two snapshots.</summary>
    public static double Distance(Dictionary<string, Tensor> a, Dictionary<string, Tensor> b) =>
        a.Max(p => (p.Value.to(ScalarType.Float64) - b[p.Key].to(ScalarType.Float64)).abs().max().item<double>());
}
