using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>A golden state dict of several networks, each under a prefix of its own. Every name of the file and of the networks must be used.</summary>
internal static class PrefixedWeights
{
    public static void Load(string file, params (string Prefix, nn.Module Module)[] parts)
    {
        using TensorFile weights = TensorFile.Open(file);
        var targets = new Dictionary<string, Tensor>();
        foreach ((string prefix, nn.Module module) in parts)
        {
            foreach ((string name, Tensor tensor) in module.state_dict()) targets.Add(prefix + name, tensor);
        }

        string[] unexplained = [.. weights.Entries.Keys.Except(targets.Keys), .. targets.Keys.Except(weights.Entries.Keys)];
        if (unexplained.Length > 0) throw new InvalidOperationException($"state dict differs: {string.Join(", ", unexplained)}");
        using var quiet = no_grad();
        foreach ((string name, Tensor target) in targets) weights.CopyTo(name, target);
    }
}
