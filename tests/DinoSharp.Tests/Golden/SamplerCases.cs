using DinoSharp.Training.Data.Sampling;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>samplers</c>: index sequences of the official samplers.</summary>
internal static class SamplerCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            int length = (int)golden.Tensor(call.Outputs.Single().TensorName).shape[0];
            call.Check("indices", tensor([.. Sequence(call).Take(length).Select(i => (long)i)]));
        }
    }

    private static IEnumerable<int> Sequence(GoldenCall call)
    {
        int count = call.Int("sample_count"), rank = Int(call, "start", 0), world = Int(call, "step", 1), advance = Int(call, "advance", 0);
        ulong seed = (ulong)Int(call, "seed", 0);
        bool shuffle = call.Flag("shuffle");
        if (call.Op == "EpochSampler") return SampleOrder.Epoch(call.Int("size"), count, shuffle, seed, Int(call, "epoch", 0), rank, world);
        if (call.Op == "InfiniteSampler") return SampleOrder.Endless(SamplerKind.Infinite, count, shuffle, seed, rank, world, advance);
        SamplerKind kind = call.Flag("use_new_shuffle_tensor_slice") ? SamplerKind.ShardedInfiniteNew : SamplerKind.ShardedInfinite;

        // The original counts a pass as the whole data set when it skips, but walks only a slice (reference: data.md §5).
        long skipped = shuffle ? (long)(advance / count) * (count / world) + advance % count : advance;
        return SampleOrder.Endless(kind, count, shuffle, seed, rank, world, skipped);
    }

    private static int Int(GoldenCall call, string name, int otherwise) => call.Arg(name).ValueKind == System.Text.Json.JsonValueKind.Number ? call.Int(name) : otherwise;
}
