namespace DinoSharp.Training.Recipes;

/// <summary>What is measured while training goes on.</summary>
public sealed record MonitorRecipe
{
    /// <summary>A line of figures is written after so many steps.</summary>
    public long LogEverySteps { get; init; } = 10;
}
