using System.Globalization;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Recipes;
using DinoSharp.Training.Recipes.Official;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>schedules_config</c>: a configuration in the original's keys, read as a recipe, gives the original's numbers at every step.</summary>
internal static class OfficialScheduleCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            if (call.Op != "build_schedulers") throw new InvalidOperationException($"no handler for {call.Op}");
            using var scope = NewDisposeScope();
            string[] changes =
            [
                $"train.OFFICIAL_EPOCH_LENGTH={call.Int("epoch_length")}",
                $"optim.epochs={call.Int("epochs")}",
                $"train.batch_size_per_gpu={call.Int("batch_size_per_gpu")}",
            ];
            string file = Path.Combine(Repository.Fixtures, "official-configs", call.Arg("config").GetString()!);
            PhaseRecipe phase = OfficialConfig.Read(file, changes).Recipe.Phases[0];
            OptimizerConfig optimizer = phase.Optimizer;
            if (phase.Steps != call.Int("total_iterations")) throw new InvalidOperationException(string.Create(CultureInfo.InvariantCulture, $"{call.Id}: {phase.Steps} steps"));
            bool first = optimizer.LearningRate.Form == ScheduleForm.InclusiveWarmupCosine;
            if (first != (call.Arg("version").GetString() == "v1")) throw new InvalidOperationException($"{call.Id}: the wrong generation of schedules");

            long[] steps = golden.Tensor($"out/{call.Id}/iterations").data<long>().ToArray();
            call.Check("iterations", tensor(steps));
            StepValues[] values = [.. steps.Select(step => optimizer.At(step, phase.Steps, (long)phase.BatchImages * call.Int("world_size")))];
            Check("lr", v => v.LearningRate);
            Check("last_layer_lr", v => v.LastLayerLearningRate);
            Check("weight_decay", v => v.WeightDecay);
            Check("momentum", v => v.Momentum);
            Check("teacher_temp", v => v.TeacherTemperature);
            foreach ((string key, _) in call.Outputs.Where(o => o.Key is "gram_loss_weight" or "dino_local_loss_weight").ToList())
            {
                Schedule weight = (key == "gram_loss_weight" ? phase.Losses.Gram?.Weight : phase.Losses.LocalWeight) ?? throw new InvalidOperationException($"{call.Id}: no {key}");
                call.Check(key, tensor(steps.Select(step => weight.At(step, phase.Steps)).ToArray()));
            }

            void Check(string key, Func<StepValues, double> value) => call.Check(key, tensor(values.Select(value).ToArray()));
        }
    }
}
