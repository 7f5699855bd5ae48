using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>Weights of a linear layer in the order the tile reads them: <c>[group of rows][input][row]</c>, with a layer scale folded in.</summary>
internal sealed unsafe class PackedLinear : IDisposable
{
    private readonly NativeBuffer _memory = new();

    /// <param name="weight">[outputs, inputs]</param>
    /// <param name="bias">[outputs], or null for zero.</param>
    /// <param name="scale">Factor per output [outputs], or null.</param>
    /// <param name="rows">Rows of a tile.</param>
    public PackedLinear(Tensor weight, Tensor? bias, Tensor? scale, int rows)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor w = weight.to(ScalarType.Float32).flatten(1); // [outputs, inputs]
        Tensor b = bias is null ? zeros(w.shape[0]) : bias.to(ScalarType.Float32); // [outputs]
        if (scale is not null) (w, b) = (w * scale.unsqueeze(-1), b * scale);
        (Outputs, Inputs, Rows) = ((int)w.shape[0], (int)w.shape[1], rows);
        long padded = (long)Groups * rows;
        float* start = _memory.Get(padded * (Inputs + 1));
        Bias = start;
        Weights = start + padded;
        b.data<float>().CopyTo(new Span<float>(Bias, Outputs));
        Tensor packed = nn.functional.pad(w, [0, 0, 0, padded - Outputs]).view(Groups, rows, Inputs).transpose(1, 2).contiguous(); // [groups, inputs, rows]
        // A tensor over our own memory would outlive it in the wrong order; a copy in pieces stays within the range of a span.
        for (int g = 0; g < Groups; g++)
        {
            using Tensor group = packed[g].view(-1);
            group.data<float>().CopyTo(new Span<float>(Weights + ((long)g * Inputs * rows), Inputs * rows));
        }
    }

    public int Outputs { get; }

    public int Inputs { get; }

    public int Rows { get; }

    /// <summary>Groups of <see cref="Rows"/> outputs.</summary>
    public int Groups => (Outputs + Rows - 1) / Rows;

    public float* Bias { get; }

    public float* Weights { get; }

    public void Dispose() => _memory.Dispose();
}
