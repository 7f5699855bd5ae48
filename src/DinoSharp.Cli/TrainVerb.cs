using System.CommandLine;
using System.Globalization;
using DinoSharp.Diagnostics;
using DinoSharp.Training.Data;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Recipes;
using DinoSharp.Training.Recipes.Official;
using DinoSharp.Training.Runs;

namespace DinoSharp.Cli;

/// <summary><c>dino train</c>: a backbone of your own from pictures without labels, as a recipe says.</summary>
internal sealed class TrainVerb : Verb
{
    private readonly Argument<string?> _recipe = new("RECIPE") { Description = "A recipe (.yaml); see recipes/", Arity = ArgumentArity.ZeroOrOne };
    private readonly Argument<string[]> _changes = new("key=value") { Description = "Changes of the recipe, such as batchImages=16 or phases.gram.steps=500", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<bool> _dryRun = new("--dry-run") { Description = "Show the recipe in full and what it needs of this machine; train nothing" };
    private readonly Option<bool> _resume = new("--resume") { Description = "Go on from the newest checkpoint in the output folder, as if the run had never stopped; refused if the recipe, the images or the weights it began with are others now" };
    private readonly Option<string?> _official = new("--official-config") { Description = "Train by a configuration of the original instead of a recipe, and say what became of each of its keys; changes use its keys too", HelpName = "FILE" };
    private readonly Option<string?> _save = new("--save-recipe") { Description = "Write the recipe in full to a file, comments gone; train nothing", HelpName = "FILE" };
    private readonly Option<string?> _report = new("--report") { Description = "Write report.html and report.png of a run, finished or still going on; train nothing", HelpName = "FOLDER" };
    private readonly Option<string?> _replay = new("--replay") { Description = "Make a refused step again from the batch that was kept, and say where it went wrong", HelpName = "FILE" };


    public TrainVerb()
        : base(
            "train",
            "Train a backbone without labels, or distil one",
            "dino train recipes/smoke.yaml --dry-run",
            "dino train recipes/tiny.yaml output=runs/mine data=my-photos",
            "dino train recipes/tiny.yaml --resume",
            "dino train --report runs/dino-tiny",
            "dino train --official-config vitl_im1k_lin834.yaml train.batch_size_per_gpu=8 --dry-run")
    {
        Add(_recipe);
        Add(_changes);
        Add(_dryRun);
        Add(_resume);
        Add(_official);
        Add(_save);
        Add(_report);
        Add(_replay);
        Validators.Add(result =>
        {
            bool official = result.GetValue(_official) is not null;
            int sources = (result.GetValue(_recipe) is not null && !official ? 1 : 0) + (official ? 1 : 0) + (result.GetValue(_replay) is not null ? 1 : 0) + (result.GetValue(_report) is not null ? 1 : 0);
            if (sources != 1) result.AddError("give one of: a recipe, --official-config FILE, --replay FILE, --report FOLDER");
            if (official && result.GetValue(_recipe) is { } first && !first.Contains('=', StringComparison.Ordinal)) result.AddError($"with --official-config, '{first}' must be a change of one of its keys, such as train.batch_size_per_gpu=8");
            if (result.GetValue(_save) is not null && result.GetValue(_resume)) result.AddError("--save-recipe trains nothing, so it cannot --resume");
            if (result.GetValue(_dryRun) && result.GetValue(_resume)) result.AddError("--dry-run trains nothing, so it cannot --resume");
        });
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        if (arguments.GetValue(_replay) is { } batch)
        {
            IReadOnlyList<StepReport> reports = Pretrainer.Replay(batch, Device(arguments));
            output.Show(reports, reports.Select(r => r.NonFinite is null ? $"step {r.Step} is finite now; total loss {Number(r.Losses.Total)}" : $"step {r.Step}: {r.NonFinite} is not finite"));
            return ExitCode.Ok;
        }

        if (arguments.GetValue(_report) is { } folder)
        {
            string report = Pretrainer.Report(folder);
            output.Show(new { report }, [$"report  {report}"]);
            return ExitCode.Ok;
        }

        OfficialConfig? official = arguments.GetValue(_official) is { } file ? OfficialConfig.Read(file, [.. arguments.GetValue(_recipe) is { } change ? (string[])[change] : [], .. arguments.GetValue(_changes) ?? []]) : null;
        PretrainRecipe recipe = official?.Recipe ?? PretrainRecipe.Read(arguments.GetValue(_recipe)!, arguments.GetValue(_changes));
        string[] account = official is null ? [] : [.. Account(official)];
        if (arguments.GetValue(_save) is { } target)
        {
            recipe.Save(target);
            output.Show(new { recipe = target, official?.Keys }, [.. account, $"recipe written to {target}"]);
            return ExitCode.Ok;
        }

        foreach (string line in account) output.Note(line);
        if (arguments.GetValue(_dryRun))
        {
            recipe.Validate(recipe.About.Processes);
            RunEstimate estimate = await Task.Run(() => RunEstimate.Of(recipe, Device(arguments), cancel: cancel), cancel);
            output.Show(new { recipe = recipe.ToYaml(), estimate, official?.Keys }, [.. recipe.ToYaml().TrimEnd().Split('\n'), "", .. Lines(recipe, estimate)]);
            return ExitCode.Ok;
        }

        official?.RequireNothingRefused();
        recipe.Validate();
        if (recipe.About.Processes > 1) output.Note($"the recipe is written for {recipe.About.Processes} processes, this run has one: its batch, and with it the learning rate, is that of one process");

        var options = new PretrainOptions { Resume = arguments.GetValue(_resume), Device = Device(arguments) };
        var log = new Said(line => output.Note(line));
        void Line(PretrainProgress p)
        {
            bool due = p.TotalStep % recipe.Monitor.LogEverySteps == 0 || p.TotalStep == p.TotalSteps;
            if (due && !output.IsTerminal) output.Note(TrainingDisplay.Line(p));
        }

        PretrainResult result = await output.WithDisplayAsync<PretrainProgress, PretrainResult>(TrainingDisplay.Block, show =>
            Task.Run(() => Pretrainer.Run(recipe, options, new Watch(show + Line), log, cancel), CancellationToken.None));
        output.Show(result, [.. result.Teachers.Select(t => $"teacher  {t}"), $"steps    {result.Steps}", .. result.KeptStep is long kept ? (string[])[$"kept     the teacher after step {kept}"] : [], .. result.Stopped is { } stopped ? (string[])[$"stopped  {stopped}"] : [], $"refused  {result.RefusedSteps}", $"replaced {result.UnreadableImages} unreadable images", $"report   {result.Report}"]);
        return ExitCode.Ok;
    }

    private TorchSharp.torch.Device Device(ParseResult arguments) => SharedOptions.Device(arguments) ?? TorchSharp.torch.CPU;

    private static IEnumerable<string> Lines(PretrainRecipe recipe, RunEstimate estimate)
    {
        long available = SystemReport.Collect().Memory.AvailableBytes;
        if (recipe.About.Processes > 1) yield return $"written for {recipe.About.Processes} processes of {recipe.Phases[0].BatchImages} images; `dino train` runs one";
        yield return $"{(recipe.Students.Count > 0 ? $"{recipe.Students.Count} backbones" : "backbone")} {estimate.BackboneParameters:N0} parameters, heads {estimate.HeadParameters:N0}";
        if (recipe.Distillation is { } distillation) yield return estimate.TeacherParameters is long frozen ? $"frozen teacher {frozen:N0} parameters" : $"frozen teacher: {distillation.Teacher} is not there, so neither its memory nor a step's time is known";
        yield return Data(recipe.Data);
        foreach (PhaseEstimate phase in estimate.Phases)
        {
            string time = phase.SecondsPerStep is double s ? $"{Number(s)} s per step, {TrainingDisplay.Duration(TimeSpan.FromSeconds(s * phase.Steps))} in all on this machine as busy as it is now" : "not tried here";
            yield return $"{phase.Phase}: {phase.Steps} steps; {time}; about {(phase.MemoryBytes + (300L << 20)) >> 20:N0} MiB of {available >> 20:N0} available: {(phase.MemoryBytes + (300L << 20) < available ? "fits" : "does NOT fit; lower batchImages, raise microBatches, or set recomputeActivations")}";
        }
    }

    private static IEnumerable<string> Account(OfficialConfig official)
    {
        foreach (OfficialKey key in official.Keys)
        {
            string fate = key.Fate switch { KeyFate.Used => "used   ", KeyFate.Ignored => "ignored", _ => "REFUSED" };
            yield return $"{fate}  {key.Key} = {key.Value}{(key.Reason is null ? "" : $"  ({key.Reason})")}";
        }

        yield return $"{official.Keys.Count(k => k.Fate == KeyFate.Used)} keys used, {official.Keys.Count(k => k.Fate == KeyFate.Ignored)} ignored, {official.Keys.Count(k => k.Fate == KeyFate.Refused)} refused";
    }

    // A recipe may be looked at where its data are not.
    private static string Data(string description)
    {
        try
        {
            return $"data: {ImageDataset.Open(description).Count:N0} images";
        }
        catch (DinoSharpException e)
        {
            return $"data: NOT usable here: {e.Message}";
        }
    }

    private static string Number(double value) => value.ToString("G4", CultureInfo.InvariantCulture);

    private sealed class Watch(Action<PretrainProgress> action) : IProgress<PretrainProgress>
    {
        public void Report(PretrainProgress value) => action(value);
    }

    private sealed class Said(Action<string> action) : IProgress<string>
    {
        public void Report(string value) => action(value);
    }
}
