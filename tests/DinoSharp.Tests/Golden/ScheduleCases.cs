using System.Text.Json;
using DinoSharp.Training.Optimization;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>schedules</c>: both generations of the schedule function, step by step.</summary>
internal static class ScheduleCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            (Schedule schedule, string total) = call.Op switch
            {
                "CosineScheduler" => (First(call), "total_iters"),
                "linear_warmup_cosine_decay" => (Current(call.Args), "total_iterations"),
                _ => throw new InvalidOperationException($"no handler for {call.Op}"),
            };
            long steps = call.Int(total);
            call.Check("schedule", tensor(Enumerable.Range(0, (int)steps).Select(i => schedule.At(i, steps)).ToArray()));
            if (ConfigReader.Number(call.Args, "value_at_total_iters_plus_5") is double beyond && beyond != schedule.At(steps + 5, steps))
            {
                throw new InvalidOperationException($"{call.Id}: {schedule.At(steps + 5, steps)} after the end, expected {beyond}");
            }
        }
    }

    private static Schedule First(GoldenCall call) => new()
    {
        Form = ScheduleForm.InclusiveWarmupCosine,
        Start = ConfigReader.Number(call.Args, "start_warmup_value") ?? 0,
        Peak = call.Arg("base_value").GetDouble(),
        End = call.Arg("final_value").GetDouble(),
        WarmupSteps = (long)(ConfigReader.Number(call.Args, "warmup_iters") ?? 0),
        FrozenSteps = (long)(ConfigReader.Number(call.Args, "freeze_iters") ?? 0),
        TruncateExtra = ConfigReader.Number(call.Args, "trunc_extra") ?? 0,
    };

    private static Schedule Current(JsonElement args) => new()
    {
        Start = args.GetProperty("start").GetDouble(),
        Peak = args.GetProperty("peak").GetDouble(),
        End = args.GetProperty("end").GetDouble(),
        WarmupSteps = (long)args.GetProperty("warmup_iterations").GetDouble(),
        CosineSteps = (long?)ConfigReader.Number(args, "cosine_iterations"),
    };
}
