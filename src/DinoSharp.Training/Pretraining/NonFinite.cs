using DinoSharp.Training.Views;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Training.Pretraining;

/// <summary>Finds where not-a-number or infinity came from, after a step was found to have one.</summary>
internal static class NonFinite
{
    /// <summary>The first tensor that is not finite, in the order of the computation: crops, weights, losses, gradients.</summary>
    /// <param name="parts">The batch.</param>
    /// <param name="student">With the gradients of the step.</param>
    /// <param name="teacher">The network that gave the targets.</param>
    /// <param name="numbers">Loss terms and gradient norms of the step.</param>
    public static string First(PretrainBatch[] parts, PretrainNetwork student, nn.Module teacher, double[] numbers)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        IEnumerable<(string Name, Tensor? Tensor)> crops = parts.SelectMany(p => new (string, Tensor?)[] { ("the global crops", p.GlobalCrops), ("the local crops", p.LocalCrops), ("the Gram crops", p.GramCrops) });
        IEnumerable<(string Name, Tensor? Tensor)> weights = Named(student, "weight of the student ").Concat(Named(teacher, "weight of the teacher "));
        foreach ((string name, Tensor? tensor) in crops.Concat(weights))
        {
            if (tensor is not null && !IsFinite(tensor)) return name;
        }

        // The total comes last: it is the sum of the others.
        int term = Enumerable.Range(1, StudentPass.TermNames.Length - 1).Append(0).FirstOrDefault(i => !double.IsFinite(numbers[i]), -1);
        if (term >= 0) return "the " + StudentPass.TermNames[term];
        foreach ((string name, Parameter parameter) in student.named_parameters())
        {
            using Tensor? gradient = parameter.grad;
            if (gradient is not null && !IsFinite(gradient)) return "gradient of " + name;
        }

        return "the gradient norm (every gradient is finite, their squares overflow)";
    }

    private static bool IsFinite(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        return tensor.isfinite().all().item<bool>();
    }

    private static IEnumerable<(string Name, Tensor? Tensor)> Named(nn.Module network, string prefix) => network.named_parameters().Select(p => (prefix + p.name, (Tensor?)p.parameter));
}
