using System.Runtime.Intrinsics;
using DinoSharp.Diagnostics;
using DinoSharp.Inference;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Inference;

/// <summary>A linear layer in every precision against plain loops over the numbers as they are rounded: odd inputs, outputs and tokens, every epilogue.</summary>
public sealed unsafe class LinearTests
{
    public static TheoryData<ComputeType, bool, bool> Kinds() => new()
    {
        { ComputeType.Float32, true, false }, { ComputeType.Float32, false, false }, { ComputeType.BFloat16, true, false }, { ComputeType.BFloat16, true, true }, { ComputeType.BFloat16, false, true },
        { ComputeType.Int8, true, false }, { ComputeType.Int8, false, false },
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public void EqualsPlainLoops(ComputeType type, bool wide, bool library)
    {
        if (wide) Check<Lanes512, Vector512<float>>(type, library);
        else Check<Lanes256, Vector256<float>>(type, library);
    }

    private static void Check<L, V>(ComputeType type, bool library)
        where L : struct, ILanes<V>
        where V : struct
    {
        bool supported = (L.Count == 16 ? Lanes512.IsSupported : Lanes256.IsSupported)
            && type switch { ComputeType.Int8 => DotTile<L, V>.SupportsBytes, ComputeType.BFloat16 => library ? LibraryIsThere() : DotTile<L, V>.SupportsHalves, _ => true };
        Assert.SkipUnless(supported, $"this processor or system has no {type} {(library ? "product in its libtorch" : $"kernels on {32 * L.Count} bits")}");
        var random = new Random(4);
        var workers = new Workers(() => 2);
        foreach ((int inputs, int outputs, int vectors) in new[] { (1, 1, 1), (3, 5, 2), (17, 9, 3), (48, 33, 4), (130, 64, 5), (300, 197, 4), (384, 24, 7) })
        {
            foreach (Epilogue epilogue in Enum.GetValues<Epilogue>())
            {
                int tokens = vectors * L.Count;
                float[,] x = Fill(inputs, tokens, 1), before = Fill(outputs, tokens, 1), weights = Fill(outputs, inputs, 0.5);
                float[] bias = [.. Enumerable.Range(0, outputs).Select(_ => random.NextSingle() - 0.5f)];
                using var scope = NewDisposeScope();
                using var memory = new WeightMemory();
                var w = new PackedLinear(memory, new(tensor(weights)), tensor(bias), null, L.Rows, type, library);
                using NativeBuffer xMemory = new(), yMemory = new(), room = new();
                var xPanels = new Panels(xMemory.Get(Panels.FloatsFor(inputs, vectors, L.Count)), inputs, vectors, L.Count);
                var yPanels = new Panels(yMemory.Get(Panels.FloatsFor(outputs, vectors, L.Count)), outputs, vectors, L.Count);
                for (int t = 0; t < tokens; t++)
                {
                    for (int i = 0; i < inputs; i++) xPanels.Vector(t / L.Count, i)[t % L.Count] = x[i, t];
                    for (int o = 0; o < outputs; o++) yPanels.Vector(t / L.Count, o)[t % L.Count] = before[o, t];
                }

                lock (workers.Turn) PanelOperations<L, V>.Linear(workers, w, xPanels, room.Get(PanelOperations<L, V>.FloatsFor(w, vectors) + 1), yPanels, epilogue);
                Round(weights, x, type, DotTile<L, V>.SumsPairsIn16Bits);
                for (int o = 0; o < outputs; o++)
                {
                    for (int t = 0; t < tokens; t++)
                    {
                        double sum = bias[o];
                        for (int i = 0; i < inputs; i++) sum += (double)weights[o, i] * x[i, t];
                        if (epilogue == Epilogue.Add) sum += before[o, t];
                        // A byte that falls between two values may be rounded either way: a unit of one input in the worst case.
                        double limit = type == ComputeType.Int8 ? 4e-3 : 2e-5;
                        if (epilogue == Epilogue.Gelu) sum = 0.5 * sum * (1 + tensor(sum * Math.Sqrt(0.5)).erf().item<double>());
                        float got = yPanels.Vector(t / L.Count, o)[t % L.Count];
                        Assert.True(Math.Abs(got - sum) <= limit, $"{inputs} to {outputs}, {epilogue}, output {o}, token {t}: {got}, expected {sum}");
                    }
                }
            }
        }

        static bool LibraryIsThere()
        {
            Libtorch.Require();
            return MatrixLibrary.IsThere;
        }

        float[,] Fill(int rows, int columns, double size)
        {
            float[,] numbers = new float[rows, columns];
            for (int r = 0; r < rows; r++)
            {
                for (int c = 0; c < columns; c++) numbers[r, c] = (float)(((random.NextDouble() * 2) - 1) * size);
            }

            return numbers;
        }
    }

    // The same rounding in plain code: weights per output (by their largest, or by the largest sum of a pair), tokens (columns) by their smallest and largest number.
    private static void Round(float[,] weights, float[,] x, ComputeType type, bool pairsIn16Bits)
    {
        for (int o = 0; o < weights.GetLength(0); o++)
        {
            int inputs = weights.GetLength(1);
            float unit = Enumerable.Range(0, inputs).Max(i => Math.Max(Math.Abs(weights[o, i]), pairsIn16Bits && i % 2 == 0 && i + 1 < inputs ? Math.Abs(weights[o, i] + weights[o, i + 1]) : 0)) / 127;
            for (int i = 0; i < inputs; i++) weights[o, i] = type switch { ComputeType.Int8 => MathF.Round(weights[o, i] / unit) * unit, ComputeType.BFloat16 => HalfEven(weights[o, i]), _ => weights[o, i] };
        }

        for (int t = 0; t < x.GetLength(1); t++)
        {
            float[] token = [.. Enumerable.Range(0, x.GetLength(0)).Select(i => x[i, t])];
            float least = token.Min(), unit = Math.Max((token.Max() - least) / 255, 1e-30f);
            for (int i = 0; i < token.Length; i++) x[i, t] = type switch { ComputeType.Int8 => least + (MathF.Round((token[i] - least) / unit) * unit), ComputeType.BFloat16 => Half(token[i]), _ => token[i] };
        }

        // Weights are rounded by libtorch (a tie to even), activations by adding a half.
        static float HalfEven(float value) => BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits(value) + 0x7FFF + (BitConverter.SingleToUInt32Bits(value) >> 16 & 1)) & 0xFFFF0000);

        static float Half(float value) => BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits(value) + 0x8000) & 0xFFFF0000);
    }
}
