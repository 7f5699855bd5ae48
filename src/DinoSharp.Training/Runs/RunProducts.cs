using DinoSharp.Inference;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Recipes;

namespace DinoSharp.Training.Runs;

/// <summary>Who multiplies in a run, for each number format of its phases: chosen when it begins and kept in its checkpoints, because sums in another order have other last bits.</summary>
internal static class RunProducts
{
    /// <summary>The choice that a run goes on with, or begins with.</summary>
    /// <param name="recipe">The run.</param>
    /// <param name="before">What its checkpoint says; null: there is none, or it is from before this was written down.</param>
    /// <param name="options">Where it computes, and where measured choices are kept.</param>
    /// <param name="say">Told if a choice cannot be kept.</param>
    public static IReadOnlyDictionary<TrainingComputeType, Products> Of(PretrainRecipe recipe, IReadOnlyDictionary<TrainingComputeType, Products>? before, PretrainOptions options, Action<string> say)
    {
        return recipe.Phases.Select(phase => phase.Compute).Distinct().ToDictionary(compute => compute, Choose);

        Products Choose(TrainingComputeType compute)
        {
            ComputeType type = compute.ToComputeType();
            if (options.Device is { type: not TorchSharp.DeviceType.CPU }) return Products.Libtorch;
            if (before is null || !before.TryGetValue(compute, out Products products)) return options.Routes is null ? ProductChoice.Of(type) : ProductChoice.Choose(type, options.Routes);
            if (ProductChoice.Has(type, products, out string missing)) return products;
            say($"until now the run multiplied in {compute} by {(products == Products.Mkl ? "MKL" : "our own kernels")}, but {missing}: it goes on with libtorch's products, which add in another order, so the last bits will not be those of a run that was never stopped");
            return Products.Libtorch;
        }
    }
}
