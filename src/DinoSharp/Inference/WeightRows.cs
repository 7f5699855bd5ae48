using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>A matrix of weights [outputs, inputs], wherever it is: a tensor, or the weight of one or of several linear layers below each other, in memory or still in their file.</summary>
internal sealed class WeightRows
{
    private readonly Linear[] _layers = [];
    private readonly Tensor? _numbers;

    /// <param name="weight">[outputs, …]</param>
    public WeightRows(Tensor weight) => (_numbers, Outputs, Inputs) = (weight, (int)weight.shape[0], (int)(weight.numel() / weight.shape[0]));

    /// <param name="layers">All with the same number of inputs.</param>
    public WeightRows(params Linear[] layers) => (_layers, Outputs, Inputs) = (layers, layers.Sum(layer => layer.Outputs), layers[0].Inputs);

    public int Outputs { get; }

    public int Inputs { get; }

    /// <summary>Copies whole rows.</summary>
    /// <param name="first">Index of the first.</param>
    /// <param name="to">As many as wanted.</param>
    public void Read(int first, Span<float> to)
    {
        if (_numbers is not null)
        {
            using var scope = NewDisposeScope();
            Tensor rows = _numbers.detach().narrow(0, first, to.Length / Inputs).to(ScalarType.Float32).contiguous(); // [rows, …]
            rows.data<float>().CopyTo(to);
        }

        foreach (Linear layer in _layers)
        {
            int count = Math.Clamp(layer.Outputs - first, 0, to.Length / Inputs);
            if (count > 0) layer.ReadWeight((long)first * Inputs, to[..(count * Inputs)]);
            to = to[(count * Inputs)..];
            first = Math.Max(0, first - layer.Outputs);
        }
    }

    /// <summary>All of them as a new tensor. [outputs, inputs]</summary>
    public unsafe Tensor ToTensor()
    {
        Tensor all = empty(Outputs, Inputs);
        const int bytesAtOnce = 1 << 26;
        float* start = InferenceEngine.Start(all);
        int atOnce = Math.Max(1, bytesAtOnce / sizeof(float) / Inputs);
        for (int row = 0; row < Outputs; row += atOnce) Read(row, new Span<float>(start + ((long)row * Inputs), Math.Min(atOnce, Outputs - row) * Inputs));
        return all;
    }
}
