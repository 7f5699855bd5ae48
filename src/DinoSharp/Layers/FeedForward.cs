using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>fc2(GELU(fc1 x)), exact (erf) GELU.</summary>
internal sealed class Mlp : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "fc1")] private readonly Linear _fc1;
    [ComponentName(Name = "fc2")] private readonly Linear _fc2;

    public Mlp(int width, int hidden, bool bias, Device? device = null)
        : base(nameof(Mlp))
    {
        _fc1 = new Linear(width, hidden, bias, device);
        _fc2 = new Linear(hidden, width, bias, device);
        RegisterComponents();
    }

    public Linear Fc1 => _fc1;

    public Linear Fc2 => _fc2;

    public override Tensor forward(Tensor x)
    {
        using Tensor hidden = _fc1.call(x); // [..., hidden]
        using Tensor active = nn.functional.gelu(hidden);
        return _fc2.call(active); // [..., D]
    }
}

/// <summary>w3(SiLU(w1 x) * (w2 x)): SwiGLU (Shazeer 2020); w1 is the gate.</summary>
internal sealed class SwiGlu : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "w1")] private readonly Linear _w1;
    [ComponentName(Name = "w2")] private readonly Linear _w2;
    [ComponentName(Name = "w3")] private readonly Linear _w3;

    public SwiGlu(int width, int hidden, bool bias, Device? device = null)
        : base(nameof(SwiGlu))
    {
        _w1 = new Linear(width, hidden, bias, device);
        _w2 = new Linear(width, hidden, bias, device);
        _w3 = new Linear(hidden, width, bias, device);
        RegisterComponents();
    }

    public Linear W1 => _w1;

    public Linear W2 => _w2;

    public Linear W3 => _w3;

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        Tensor gate = nn.functional.silu(_w1.call(x)); // [..., hidden]
        return _w3.call(gate * _w2.call(x)).MoveToOuterDisposeScope(); // [..., D]
    }
}
