using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Three linear layers with ReLU between: the small networks that turn a query into a mask embedding or a box.</summary>
internal sealed class MultiLayerPerceptron : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "layers")] private readonly ModuleList<Linear> _layers;

    public MultiLayerPerceptron(int width, int outputs, Device? device = null)
        : base(nameof(MultiLayerPerceptron))
    {
        _layers = new ModuleList<Linear>([new Linear(width, width, true, device), new Linear(width, width, true, device), new Linear(width, outputs, true, device)]);
        RegisterComponents();
    }

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        for (int i = 0; i < 2; i++) x = nn.functional.relu(_layers[i].call(x)); // [..., D]
        return _layers[2].call(x).MoveToOuterDisposeScope(); // [..., outputs]
    }
}
