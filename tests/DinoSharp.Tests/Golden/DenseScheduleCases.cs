using System.Text.Json;
using DinoSharp.Training.Optimization;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>dense_schedulers</c>.</summary>
internal static class DenseScheduleCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            JsonElement args = call.Args;
            double rate = args.GetProperty("lr").GetDouble(), beta = args.GetProperty("betas")[0].GetDouble();
            long warmup = (long)(ConfigReader.Number(args, "warmup_iters") ?? 0);
            DenseSchedule schedule = args.GetProperty("scheduler").GetString() switch
            {
                "WarmupOneCycleLR" => new OneCycleSchedule
                {
                    BaseRate = rate,
                    WarmupSteps = warmup,
                    WarmupRatio = ConfigReader.Number(args, "warmup_ratio"),
                    FinalDivisor = ConfigReader.Number(args, "final_div_factor") ?? 1000,
                    Annealing = args.TryGetProperty("anneal_strategy", out JsonElement a) && a.GetString() == "linear" ? Annealing.Linear : Annealing.Cosine,
                    Momentum = (ConfigReader.Number(args, "base_momentum") ?? 0.85, ConfigReader.Number(args, "max_momentum") ?? 0.95),
                },
                "WarmupMultiStepLR" => new MultiStepSchedule
                {
                    BaseRate = rate,
                    WarmupSteps = warmup,
                    Milestones = [.. args.GetProperty("milestones").EnumerateArray().Select(m => m.GetDouble())],
                    Factor = args.GetProperty("gamma").GetDouble(),
                },
                "PolynomialLR" => new PolynomialSchedule { BaseRate = rate, Power = args.GetProperty("power").GetDouble() },
                string other => throw new InvalidOperationException($"no handler for {other}"),
                null => throw new InvalidOperationException("the call names no scheduler"),
            };
            int total = call.Int("total_iter");
            call.Check("lr", tensor(Enumerable.Range(0, total).Select(s => schedule.RateAt(s, total)).ToArray()));
            call.Check("beta1", tensor(Enumerable.Range(0, total).Select(s => schedule.MomentumAt(s, total) ?? beta).ToArray()));
        }
    }
}
