using DinoSharp.Inference;
using DinoSharp.Weights;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>y = x·Wᵀ + b with W [out, in]. Unlike the library's own layer it leaves its weights unset, because weights follow or are drawn once. W may stay in the file that it
/// comes from until somebody asks for it: our kernels take their packed copy from there, and most programs need no other (docs/decisions/0035-one-copy-of-weights.md).</summary>
internal class Linear : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "weight")] private protected readonly Parameter _weight;
    [ComponentName(Name = "bias")] private protected readonly Parameter? _bias;
    private readonly Lock _turn = new();
    private volatile DeferredWeight? _deferred;

    public Linear(int inputs, int outputs, bool bias, Device? device = null)
        : this(nameof(Linear), inputs, outputs, bias, device)
    {
        RegisterComponents();
    }

    private protected Linear(string name, int inputs, int outputs, bool bias, Device? device)
        : base(name)
    {
        (Inputs, Outputs) = (inputs, outputs);
        _weight = new Parameter(empty(outputs, inputs, device: device));
        _bias = bias ? new Parameter(empty(outputs, device: device)) : null;
    }

    /// <summary>[out, in]</summary>
    public Parameter Weight
    {
        get
        {
            Fill();
            return _weight;
        }
    }

    public Parameter? Bias => _bias;

    public int Inputs { get; }

    public int Outputs { get; }

    /// <summary>Whether W is still in the file.</summary>
    public bool IsDeferred => _deferred is not null;

    /// <summary>Who multiplies, in networks that are trained.</summary>
    public Products Products { get; set; } = Products.Libtorch;

    /// <summary>The parameters for their shapes, types and devices: numbers that are still in the file are not set.</summary>
    internal IEnumerable<(string Name, Parameter Value)> Unfilled => base.named_parameters(recurse: false);

    public override Tensor forward(Tensor x) => TrainedLinear.Run(x, Weight.As(x.dtype), _bias?.As(x.dtype), Products); // [..., out]

    /// <summary>Leaves W in a file until it is asked for.</summary>
    internal void Defer(DeferredWeight weight) => _deferred = weight;

    /// <summary>Copies numbers of W, row by row, without filling the parameter if they are still in the file.</summary>
    /// <param name="first">Index of the first.</param>
    /// <param name="to">As many as wanted.</param>
    internal void ReadWeight(long first, Span<float> to)
    {
        if (IsDeferred)
        {
            lock (_turn) // the file is closed when the last weight has been filled
            {
                if (_deferred is { } deferred)
                {
                    deferred.Read(first, to);
                    return;
                }
            }
        }

        using var scope = NewDisposeScope();
        Tensor numbers = _weight.detach().contiguous().view(-1).narrow(0, first, to.Length).to(ScalarType.Float32).cpu(); // [numbers]
        numbers.data<float>().CopyTo(to);
    }

    private void Fill()
    {
        if (!IsDeferred) return;
        lock (_turn)
        {
            if (_deferred is not { } deferred) return;
            deferred.Fill(_weight);
            _deferred = null;
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<(string name, Parameter parameter)> named_parameters(bool recurse = true)
    {
        Fill();
        return base.named_parameters(recurse);
    }

    /// <inheritdoc/>
    public override Parameter? get_parameter(string target)
    {
        Fill();
        return base.get_parameter(target);
    }

    /// <inheritdoc/>
    protected override nn.Module _to(Device device, ScalarType dtype, bool non_blocking)
    {
        Fill();
        return base._to(device, dtype, non_blocking);
    }

    /// <inheritdoc/>
    protected override nn.Module _to(DeviceType deviceType, int deviceIndex, bool non_blocking)
    {
        Fill();
        return base._to(deviceType, deviceIndex, non_blocking);
    }

    /// <inheritdoc/>
    protected override nn.Module _to(ScalarType dtype, bool non_blocking)
    {
        Fill();
        return base._to(dtype, non_blocking);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _deferred = null; // nothing is read in order to be freed
        base.Dispose(disposing);
    }
}
