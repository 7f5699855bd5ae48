using System.Text.Json;
using DinoSharp.Features;
using DinoSharp.Features.Propagation;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>tracking</c>.</summary>
internal static class TrackingCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            switch (call.Op)
            {
                case "neighborhood_mask":
                    (int h, int w) = (call.Int("h"), call.Int("w"));
                    call.Check("mask", LabelPropagation.Neighborhood(w, 0, h, 0, h, Options(call.Args)).view(h, w, h, w));
                    break;
                case "propagate":
                    Tensor features = call.Input("features")!;
                    Tensor[] context = [.. call.Arg("context").EnumerateArray().Select(t => features[t.GetInt32()])];
                    call.Check("probs", LabelPropagation.Step(features[call.Int("current")], context, [call.Input("first_probs")!], Options(call.Args)));
                    break;
                case "propagate_sequence":
                    Sequence(call);
                    break;
                case "postprocess_probs":
                    Postprocess(call);
                    break;
                case "nearest_exact":
                    Tensor mask = call.Input("mask")!;
                    var map = new LabelMap((int)mask.shape[1], (int)mask.shape[0], [.. mask.data<long>().Select(v => (byte)v)]);
                    int[] size = Ints(call.Arg("size"));
                    call.Check("y", tensor(Array.ConvertAll(map.ResizeNearestExact(size[1], size[0]).Array, v => (long)v)).view(size[0], size[1]));
                    break;
                default:
                    throw new InvalidOperationException($"no handler for {call.Op}");
            }
        }
    }

    private static void Sequence(GoldenCall call)
    {
        Tensor features = call.Input("features")!, first = call.Input("first_probs")!; // [T, h, w, D], [h, w, M]
        byte[] ids = [.. Enumerable.Range(0, (int)first.shape[2]).Select(i => (byte)i)];
        using var tracker = new MaskTracker(Map(features[0]), Map(first), ids, Options(call.Args));
        var probabilities = new List<Tensor>();
        for (int t = 1; t < features.shape[0]; t++)
        {
            tracker.Advance(Map(features[t]));
            probabilities.Add(tracker.Probabilities.ToTensor().view(first.shape));
        }

        call.Check("probs", stack(probabilities));
    }

    private static void Postprocess(GoldenCall call)
    {
        if (call.Arg("mode").GetString() is not "nearest" and { } mode) throw new InvalidOperationException($"no handler for the mode {mode}");
        Tensor all = call.Input("probs_last")!; // [T, h, w, M]
        PatchMap last = Map(all[-1]);
        int[] size = Ints(call.Arg("size"));
        PatchMap stretched = ProbabilityMask.Stretch(last, size[1], size[0]);
        int[] rows = NearestPixel.UnderEdge(last.Height, size[0]), columns = NearestPixel.UnderEdge(last.Width, size[1]);
        float[] pixels = [.. from m in Enumerable.Range(0, last.Dim) from y in rows from x in columns select stretched[y, x][m]];
        call.Check("probs", tensor(pixels, [1, last.Dim, size[0], size[1]]));
        LabelMap mask = ProbabilityMask.Paint(last, size[1], size[0], MaskUpsampling.NearestStretched);
        call.Check("prediction", tensor(Array.ConvertAll(mask.Array, v => (long)v)).view(1, size[0], size[1]));
    }

    private static PropagationOptions Options(JsonElement args)
    {
        JsonElement area = args.TryGetProperty("neighborhood", out JsonElement inner) ? inner : args;
        var options = new PropagationOptions
        {
            Radius = area.GetProperty("size").GetDouble(),
            Shape = area.GetProperty("shape").GetString() == "square" ? NeighborhoodShape.Square : NeighborhoodShape.Circle,
        };
        if (args.TryGetProperty("topk", out JsonElement top)) options = options with { TopK = top.GetInt32(), Temperature = args.GetProperty("temperature").GetDouble() };
        return args.TryGetProperty("max_context_length", out JsonElement length) ? options with { ContextLength = length.GetInt32() } : options;
    }

    private static PatchMap Map(Tensor values) // [h, w, D]
    {
        (int h, int w, int d) = ((int)values.shape[0], (int)values.shape[1], (int)values.shape[2]);
        return new PatchMap(h, w, d, values.contiguous().data<float>().ToArray(), PatchGeometry.Whole(w, h));
    }

    private static int[] Ints(JsonElement list) => [.. list.EnumerateArray().Select(v => v.GetInt32())];
}
