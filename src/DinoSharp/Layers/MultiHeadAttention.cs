using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Multi-head attention between different queries, keys and values (Vaswani et al. 2017), with the three input projections stored as one, rows [Q | K | V].</summary>
internal sealed class MultiHeadAttention : nn.Module
{
    [ComponentName(Name = "in_proj_weight")] private readonly Parameter _weight;
    [ComponentName(Name = "in_proj_bias")] private readonly Parameter _bias;
    [ComponentName(Name = "out_proj")] private readonly Linear _output;
    private readonly int _heads;

    public MultiHeadAttention(int width, int heads, Device? device = null)
        : base(nameof(MultiHeadAttention))
    {
        _heads = heads;
        _weight = new Parameter(empty(3 * width, width, device: device));
        _bias = new Parameter(empty(3 * width, device: device));
        _output = new Linear(width, width, true, device);
        RegisterComponents();
    }

    /// <param name="query">[B, Q, D]</param>
    /// <param name="key">[B, K, D]</param>
    /// <param name="value">[B, K, D]</param>
    /// <param name="blocked">True where a query must not look; broadcasts to [B, A, Q, K]. Null: everywhere is open. A row without any open key gives NaN.</param>
    /// <returns>[B, Q, D]</returns>
    public Tensor Forward(Tensor query, Tensor key, Tensor value, Tensor? blocked = null)
    {
        using var scope = NewDisposeScope();
        Tensor[] weights = _weight.chunk(3), biases = _bias.chunk(3);
        Tensor q = Split(nn.functional.linear(query, weights[0], biases[0])); // [B, A, Q, E]
        Tensor k = Split(nn.functional.linear(key, weights[1], biases[1])); // [B, A, K, E]
        Tensor v = Split(nn.functional.linear(value, weights[2], biases[2])); // [B, A, K, E]
        Tensor mixed = nn.functional.scaled_dot_product_attention(q, k, v, blocked?.logical_not()); // [B, A, Q, E]
        return _output.call(mixed.transpose(1, 2).flatten(2)).MoveToOuterDisposeScope(); // [B, Q, D]
    }

    private Tensor Split(Tensor x) => x.view(x.shape[0], x.shape[1], _heads, x.shape[2] / _heads).transpose(1, 2); // [B, A, N, E]
}
