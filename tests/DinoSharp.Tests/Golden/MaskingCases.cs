using System.Text.Json;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>masking</c>: the block masks and the collation, driven by the recorded draws.</summary>
internal static class MaskingCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            var draws = new RecordedDraws(call.Arg("draws"));
            if (call.Op == "masking_generator") Generate(call, draws);
            else Collate(call, draws);
            if (draws.Left > 0) throw new InvalidOperationException($"{call.Id}: {draws.Left} recorded draws were not used");
        }
    }

    private static void Generate(GoldenCall call, MaskDraws draws)
    {
        int[] size = Ints(call.Arg("input_size"));
        var options = new MaskOptions { MinBlockPatches = call.Arg("min_num_patches").ValueKind == JsonValueKind.Number ? call.Int("min_num_patches") : 4 };
        bool[] mask = new BlockMasking(size[0], size[1], call.Arg("max_num_patches").GetDouble(), options).Generate(call.Int("num_masking_patches"), draws);
        call.Check("mask", tensor(mask, [size[0], size[1]]));
    }

    private static void Collate(GoldenCall call, MaskDraws draws)
    {
        int[] grid = Ints(call.Arg("grid"));
        double[] ratios = [.. call.Arg("mask_ratio_tuple").EnumerateArray().Select(r => r.GetDouble())];
        var options = new MaskOptions
        {
            CropProbability = call.Arg("mask_probability").GetDouble(),
            MinRatio = ratios[0],
            MaxRatio = ratios[1],
            RandomCircularShift = call.Flag("random_circular_shift"),
        };
        Tensor global = CropMajor(call.Input("samples_global")!); // [G·B, C, S, S]
        BatchMasks masks = BatchMasks.Draw((int)global.shape[0], new BlockMasking(grid[0], grid[1], call.Arg("max_num_patches").GetDouble(), options), options, draws);
        if (masks.UpperBound != call.Int("upperbound")) throw new InvalidOperationException($"{call.Id}: upper bound {masks.UpperBound} instead of {call.Int("upperbound")}");
        using PretrainBatch batch = PretrainBatch.Create(global, CropMajor(call.Input("samples_local")!), CropMajor(call.Input("samples_gram")!), masks.ToTensor());
        call.Check("collated_global_crops", batch.GlobalCrops);
        call.Check("collated_local_crops", batch.LocalCrops);
        call.Check("collated_gram_teacher_crops", batch.GramCrops!);
        call.Check("collated_masks", batch.Masks);
        call.Check("mask_indices_list", batch.MaskedIndices);
        call.Check("masks_weight", batch.MaskWeights);
        call.Check("n_masked_patches", tensor(new[] { batch.MaskedIndices.shape[0] }));
    }

    // [B, crops, C, H, W] → [crops·B, C, H, W]
    private static Tensor CropMajor(Tensor samples) => samples.transpose(0, 1).flatten(0, 1).clone();

    private static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(v => v.GetInt32())];

    /// <summary>Gives back what the original drew, and insists that the same things are asked for in the same order.</summary>
    private sealed class RecordedDraws(JsonElement draws) : MaskDraws
    {
        private int _next;

        public int Left => draws.GetArrayLength() - _next;

        public override double Uniform(double a, double b)
        {
            JsonElement draw = Next("uniform");
            if (Math.Abs(draw[1].GetDouble() - a) > 1e-12 || Math.Abs(draw[2].GetDouble() - b) > 1e-12)
                throw new InvalidOperationException($"draw {_next - 1} is uniform({draw[1]}, {draw[2]}), asked for ({a}, {b})");
            return draw[3].GetDouble();
        }

        public override int Integer(int low, int high)
        {
            JsonElement draw = Next("randint");
            if (draw[1].GetInt32() != low || draw[2].GetInt32() != high)
                throw new InvalidOperationException($"draw {_next - 1} is randint({draw[1]}, {draw[2]}), asked for ({low}, {high})");
            return draw[3].GetInt32();
        }

        public override IReadOnlyList<int> Choose(IReadOnlyList<int> candidates, int count)
        {
            int[] chosen = Ints(Next("choice")[1]);
            if (chosen.Length != count || chosen.Except(candidates).Any())
                throw new InvalidOperationException($"draw {_next - 1} chose [{string.Join(", ", chosen)}], asked for {count} of [{string.Join(", ", candidates)}]");
            return chosen;
        }

        public override IReadOnlyList<int> Shuffle(int count) => Ints(Next("shuffle")[1]);

        private JsonElement Next(string kind)
        {
            if (Left == 0) throw new InvalidOperationException($"no recorded draw left, asked for {kind}");
            JsonElement draw = draws[_next++];
            return draw[0].GetString() == kind ? draw : throw new InvalidOperationException($"draw {_next - 1} is {draw[0]}, asked for {kind}");
        }
    }
}
