using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Training.Optimization;

/// <summary>Adam with decoupled weight decay (Loshchilov and Hutter 2019) over parameter groups, in place.</summary>
/// <remarks>A parameter with a learning rate of zero keeps its value while its moments go on, as in the original.</remarks>
internal sealed class AdamW : IDisposable
{
    private const double Epsilon = 1e-8;
    private readonly IReadOnlyList<ParameterGroup> _groups;
    private readonly OrderedDictionary<string, Moments> _moments = [];
    private readonly double _beta2;

    public AdamW(IReadOnlyList<ParameterGroup> groups, double beta1, double beta2)
    {
        (_groups, Beta1, _beta2) = (groups, beta1, beta2);
        using var quiet = no_grad();
        foreach ((string name, Parameter parameter) in groups.SelectMany(g => g.Parameters))
        {
            _moments.Add(name, new Moments(zeros_like(parameter).DetachFromDisposeScope(), zeros_like(parameter).DetachFromDisposeScope()));
        }
    }

    /// <summary>Decay of the first moment; some schedules move it.</summary>
    public double Beta1 { get; set; }

    /// <summary>Number of updates made.</summary>
    public long Updates { get; set; }

    /// <summary>How many of them were made while the backbone was frozen: its moments are younger by so many.</summary>
    public long UpdatesWithoutBackbone { get; set; }

    /// <summary>First and second moment of every parameter by its name; the tensors stay owned by the optimizer.</summary>
    public IEnumerable<KeyValuePair<string, Tensor>> State =>
        _moments.SelectMany(m => new KeyValuePair<string, Tensor>[] { new(m.Key + ".first", m.Value.First), new(m.Key + ".second", m.Value.Second) });

    /// <summary>Goes on where another optimizer of the same parameters stopped.</summary>
    public void TakeOver(AdamW other)
    {
        using var quiet = no_grad();
        foreach ((string name, Moments moments) in _moments)
        {
            moments.First.copy_(other._moments[name].First);
            moments.Second.copy_(other._moments[name].Second);
        }

        (Updates, UpdatesWithoutBackbone) = (other.Updates, other.UpdatesWithoutBackbone);
    }

    /// <summary>One update of every parameter that has a gradient.</summary>
    public void Step(StepValues values)
    {
        using var quiet = no_grad();
        Updates++;
        bool frozen = values.BackboneFactor == 0;
        if (frozen) UpdatesWithoutBackbone++;
        var pass = new AdamPass();
        var gradients = new List<Tensor>(); // alive until the pass is over
        foreach (ParameterGroup group in _groups)
        {
            if (frozen && group.IsBackbone) continue;
            AdamFactors factors = FactorsOf(group, values);
            foreach ((string name, Parameter parameter) in group.Parameters)
            {
                if (parameter.grad is not { } gradient) continue;
                gradients.Add(gradient);
                (Tensor first, Tensor second) = _moments[name];
                if (AdamPass.Takes(parameter, gradient)) pass.Add(parameter, gradient, first, second, factors);
                else Update(parameter, gradient, first, second, factors);
            }
        }

        pass.Run();
        foreach (Tensor gradient in gradients) gradient.Dispose();
    }

    /// <summary>The update by libtorch's operations, on any device: what <see cref="AdamPass"/> computes in one go.</summary>
    internal static void Update(Tensor parameter, Tensor gradient, Tensor first, Tensor second, AdamFactors factors)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        first.mul_(Num(factors.Beta1)).add_(gradient, Num(1 - factors.Beta1));
        second.mul_(Num(factors.Beta2)).addcmul_(gradient, gradient, Num(1 - factors.Beta2));
        Tensor denominator = second.sqrt().div_(Num(factors.Root)).add_(Num(factors.Epsilon), Num(1));
        if (factors.Keep != 1) parameter.mul_(Num(factors.Keep));
        parameter.addcdiv_(first, denominator, Num(-factors.Rate));
    }

    private AdamFactors FactorsOf(ParameterGroup group, StepValues values)
    {
        long updates = group.IsBackbone ? Updates - UpdatesWithoutBackbone : Updates;
        double rate = (group.IsLastLayer ? values.LastLayerLearningRate : values.LearningRate) * group.LearningRateMultiplier;
        if (group.IsBackbone) rate *= values.BackboneFactor;
        double decay = values.WeightDecay * group.WeightDecayMultiplier;
        return new AdamFactors(Beta1, _beta2, 1 - (rate * decay), rate / (1 - Math.Pow(Beta1, updates)), Math.Sqrt(1 - Math.Pow(_beta2, updates)), Epsilon);
    }

    public void Dispose()
    {
        foreach (Moments moments in _moments.Values)
        {
            moments.First.Dispose();
            moments.Second.Dispose();
        }
    }

    private sealed record Moments(Tensor First, Tensor Second);
}
