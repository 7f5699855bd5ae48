using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Backbones;

/// <summary>A parameter as far as it is known without filling it from the file that it may still be in.</summary>
/// <param name="Name">As in the state dict.</param>
/// <param name="Unfilled">For its shape, type and device: the numbers may not be set.</param>
/// <param name="Layer">Whose weight it is, if it may be in the file.</param>
internal readonly record struct ParameterOutline(string Name, Parameter Unfilled, Linear? Layer)
{
    /// <summary>All parameters of a network, in no particular order.</summary>
    public static IEnumerable<ParameterOutline> Of(nn.Module network)
    {
        foreach ((string name, nn.Module module) in network.named_modules().Prepend(("", network)))
        {
            string prefix = name.Length == 0 ? "" : name + ".";
            if (module is Linear linear)
            {
                foreach ((string own, Parameter value) in linear.Unfilled) yield return new(prefix + own, value, ReferenceEquals(value, linear.Bias) ? null : linear);
            }
            else
            {
                foreach ((string own, Parameter value) in module.named_parameters(recurse: false)) yield return new(prefix + own, value, null);
            }
        }
    }

    /// <summary>Numbers in the order of rows: the first, the one <paramref name="step"/> places after it and so on.</summary>
    public float[] Sample(long step, long count)
    {
        if (Layer is { IsDeferred: true })
        {
            float[] numbers = new float[count];
            for (int i = 0; i < count; i++) Layer.ReadWeight(i * step, numbers.AsSpan(i, 1));
            return numbers;
        }

        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        return Unfilled.flatten().slice(0, 0, count * step, step).to(ScalarType.Float32).cpu().contiguous().data<float>().ToArray(); // [count]
    }
}
