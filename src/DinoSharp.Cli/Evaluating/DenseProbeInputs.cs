using System.CommandLine;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary>The options that the linear dense protocols share.</summary>
internal sealed class DenseProbeInputs
{
    private readonly DenseProbeOptions _published;
    private readonly Option<bool> _exact = new("--published") { Description = "The published length with fresh views in every step: the backbone runs in each, which takes days without a graphics card" };
    private readonly Option<int?> _steps = Count("--steps", "Steps of the optimizer [default: 1000; published: many more]");
    private readonly Option<int?> _batch = Count("--train-batch", "Views per step [default: 16, as published]");
    private readonly Option<int?> _views = Count("--views", "Random views of each picture whose features are computed once and used again [default: 4]");
    private readonly Option<double?> _rate = new("--rate") { Description = "Largest learning rate [default: 0.001; published for depth: 0.0003]", HelpName = "LR" };
    private readonly Option<int?> _size = SharedOptions.Size("Shorter side at which pictures are seen [default: 512, as published]");

    /// <param name="verb">Gets the options.</param>
    /// <param name="published">The published length.</param>
    /// <param name="sized">Whether the size can be chosen.</param>
    /// <param name="head">The head that is ready and needs no training.</param>
    public DenseProbeInputs(Command verb, DenseProbeOptions published, bool sized, Option<string?> head)
    {
        _published = published;
        verb.Validators.Add(result =>
        {
            Option? training = ((Option[])[_exact, _steps, _batch, _views, _rate, _size]).FirstOrDefault(option => result.GetResult(option) is { Implicit: false });
            if (result.GetValue(head) is not null && training is not null) result.AddError($"{training.Name} is for training a linear layer; a head of --head is ready");
        });
        _rate.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double?>() is double rate && !(rate > 0)) result.AddError("--rate must be above 0");
        });
        foreach (Option option in (Option[])[_exact, _steps, _batch, _views, _rate]) verb.Add(option);
        if (sized) verb.Add(_size);
    }

    /// <summary>What the user asked for.</summary>
    public DenseProbeOptions Read(ParseResult arguments)
    {
        DenseProbeOptions start = arguments.GetValue(_exact) ? _published : new DenseProbeOptions();
        return start with
        {
            Steps = arguments.GetValue(_steps) ?? start.Steps,
            BatchSize = arguments.GetValue(_batch) ?? start.BatchSize,
            Views = arguments.GetValue(_views) ?? start.Views,
            Rate = arguments.GetValue(_rate) ?? start.Rate,
            SizePixels = arguments.GetValue(_size) ?? start.SizePixels,
        };
    }

    private static Option<int?> Count(string name, string description)
    {
        var option = new Option<int?>(name) { Description = description, HelpName = "N" };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() < 1) result.AddError($"{name} must be at least 1");
        });
        return option;
    }
}
