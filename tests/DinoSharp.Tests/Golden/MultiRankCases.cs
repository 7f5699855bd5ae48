using System.Text.Json;
using DinoSharp.Tests.Training.Distributed;
using DinoSharp.Training.Distributed;
using DinoSharp.Training.Losses;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>multi_rank</c>: what each of several processes gets. The processes are threads here that exchange through the same calls.</summary>
internal static class MultiRankCases
{
    public static void Run(GoldenCase golden)
    {
        int world = golden.Config.GetProperty("world_size").GetInt32();
        foreach (GoldenCall call in golden.Calls)
        {
            switch (call.Op)
            {
                case "koleo_distributed":
                    foreach (JsonElement options in call.Args.EnumerateArray()) KoLeo(call, world, options);
                    break;
                case "dino_sinkhorn" or "ibot_sinkhorn":
                    CheckRanks(call, "probs", Ranks(world, Inputs(call, "teacher_output", world), (logits, group) =>
                        [TeacherTargets.SinkhornKnopp(logits[0], call.Arg("teacher_temp").GetDouble(), group, call.Int("n_iterations"))]), 0);
                    break;
                case "dino_center":
                    CheckRanks(call, "center", Ranks(world, Inputs(call, "teacher_output", world), (logits, group) =>
                        [TeacherTargets.UpdateCenter(zeros(1, logits[0].shape[1]), logits[0], call.Arg("momentum").GetDouble(), group)]), 0);
                    break;
                case "clip_loss":
                    Contrastive(call, world);
                    break;
                default:
                    throw new InvalidOperationException($"no handler for {call.Op}");
            }
        }
    }

    private static void KoLeo(GoldenCall call, int world, JsonElement options)
    {
        int neighbours = options.GetProperty("topk").GetInt32();
        int? group = (int?)ConfigReader.Number(options, "loss_group_size");
        Tensor[][] results = Ranks(world, Inputs(call, "student_output", world), (inputs, collectives) =>
        {
            Tensor x = inputs[0].clone().requires_grad_(true);
            Tensor loss = KoLeoLoss.Compute(x, neighbours, group, collectives);
            loss.backward();
            return [loss.detach(), x.grad!];
        });
        string name = $"out/koleo_topk{neighbours}_group{group?.ToString() ?? "None"}";
        call.CheckPattern("loss", $"{name}/loss.rank*", [.. results.Select(r => r[0])]);
        call.CheckPattern("grad", $"{name}/grad.rank*", [.. results.Select(r => r[1])]);
    }

    private static void Contrastive(GoldenCall call, int world)
    {
        Tensor[][] inputs = [.. Enumerable.Range(0, world).Select(r => new[] { Read(call, "image_features", r), Read(call, "text_features", r) })];
        Tensor[][] results = Ranks(world, inputs, (mine, collectives) =>
        {
            Tensor images = mine[0].clone().requires_grad_(true), texts = mine[1].clone().requires_grad_(true);
            Tensor scale = tensor(call.Arg("logit_scale").GetSingle()).reshape(1).requires_grad_(true);
            Tensor loss = ContrastiveLoss.Compute(images, texts, scale, collectives);
            loss.backward();
            return [loss.detach(), images.grad!, texts.grad!, scale.grad!];
        });
        foreach ((string key, int i) in (ReadOnlySpan<(string, int)>)[("loss", 0), ("grad_image", 1), ("grad_text", 2), ("grad_scale", 3)]) CheckRanks(call, key, results, i);
    }

    private static Tensor[][] Inputs(GoldenCall call, string name, int world) => [.. Enumerable.Range(0, world).Select(r => new[] { Read(call, name, r) })];

    private static Tensor Read(GoldenCall call, string input, int rank) => call.Case.Tensor(call.InputName(input).Replace("rank*", $"rank{rank}", StringComparison.Ordinal));

    private static Tensor[][] Ranks(int world, Tensor[][] inputs, Func<Tensor[], Collectives, Tensor[]> work) =>
        ThreadCollectives.Run(world, group => work(inputs[group.Rank], group));

    private static void CheckRanks(GoldenCall call, string key, Tensor[][] results, int output) =>
        call.CheckPattern(key, call.Outputs.Single(o => o.Key == key).TensorName, [.. results.Select(r => r[output])]);
}
