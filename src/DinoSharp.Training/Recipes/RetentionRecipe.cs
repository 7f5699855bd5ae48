namespace DinoSharp.Training.Recipes;

/// <summary>
/// Guards what a backbone could do before it was trained on: every look of the monitor (<see cref="MonitorRecipe.EverySteps"/>) is compared with the one at the start.
/// A run whose features are worse is stopped, and the best weights so far are its result.
/// </summary>
/// <remarks>
/// With labelled images (<see cref="MonitorRecipe.Labelled"/>) the measure is k-NN accuracy and the best weights are those with the highest one. Without, it is the effective rank
/// of class tokens and patches and the locality of patches, none of which may fall; these can tell that features decay, not that they improve, so the best weights are the latest that
/// are not worse.
/// </remarks>
public sealed record RetentionRecipe
{
    /// <summary>How much of a measure may be lost before features count as worse, as a share of its value at the start, 0 … 1.</summary>
    public double Tolerance { get; init; } = 0.05;

    internal void Validate(PretrainRecipe recipe)
    {
        Require(Tolerance is >= 0 and < 1, $"tolerance must be at least 0 and below 1, found {Tolerance}");
        Require(recipe.InitialWeights is not null, "needs initialWeights: features that start from nothing cannot be retained");
        Require(recipe.Monitor.EverySteps is not null, "needs monitor.everySteps: it judges what the monitor sees");
        Require(recipe.Students.Count == 0, "looks after one student; train several without it");

        static void Require(bool condition, string problem)
        {
            if (!condition) throw new DinoSharpException("recipe: retention " + problem);
        }
    }
}
