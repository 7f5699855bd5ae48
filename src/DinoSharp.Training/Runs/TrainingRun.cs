using System.Diagnostics;
using DinoSharp.Inference;
using DinoSharp.Training.Checkpoints;
using DinoSharp.Training.Data;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Recipes;
using DinoSharp.Training.Runs.Monitoring;
using DinoSharp.Training.Runs.Reports;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Training.Runs;

/// <summary>The loop: phases, steps, figures, checkpoints.</summary>
internal sealed class TrainingRun : IDisposable
{
    private readonly PretrainRecipe _recipe;
    private readonly PretrainOptions _options;
    private readonly IProgress<PretrainProgress>? _progress;
    private readonly IProgress<string>? _log;
    private readonly RunFolder _folder;
    private readonly ImageDataset _data;
    private readonly FrozenTeacher? _frozen;
    private readonly RunMonitor _monitor;
    private StudentTeacher[] _learners = [];
    private RunState _state;
    private long _refused;
    private long _unreadable;
    private StepReport? _last;
    private string _refusal = "";

    public TrainingRun(PretrainRecipe recipe, PretrainOptions options, IProgress<PretrainProgress>? progress, IProgress<string>? log)
    {
        (_recipe, _options, _progress, _log) = (recipe, options, progress, log);
        RequireNormalizationOfWeights(recipe);
        _data = ImageDataset.Open(recipe.Data);
        _folder = new RunFolder(recipe.Output ?? Path.Combine("runs", recipe.Name), recipe, options.Resume, Say);
        try
        {
            _state = new RunState(0, 0, 0) { Inputs = RunInputs.Of(recipe, _data, _folder.In("checkpoints")) };
            if (options.Resume) RequireSameInputs();
            _frozen = LoadFrozen(recipe, options.Device);
            _monitor = new RunMonitor(recipe, _data, _folder, options.Device);
        }
        catch
        {
            _frozen?.Dispose();
            _folder.Dispose();
            throw;
        }
    }

    // The look after the last step stops nothing, it only decides what is kept.
    private bool HasGotWorse => _monitor.Retention?.Worse is not null && Total < _recipe.TotalSteps();

    private long Total => StepsBefore + _state.PhaseStep;

    private long StepsBefore => _recipe.Phases.Take(_state.Phase).Sum(p => p.Steps);

    public PretrainResult Run(CancellationToken cancel)
    {
        Begin();
        using (var figures = new RunFigures(_folder.Path, Total))
        {
            while (true)
            {
                RunPhase(figures, cancel);
                if (HasGotWorse || _state.Phase == _recipe.Phases.Count - 1) break;
                EnterNextPhase();
            }

            if (!HasGotWorse) _monitor.Look(figures, _learners, _recipe.TotalSteps());
        }

        Retention? kept = _monitor.Retention;
        if (kept is not null) Say($"the result is the teacher after step {kept.BestStep}{(kept.Worse is null ? "" : ": " + kept.Worse)}");
        long steps = Total;

        _monitor.LookAtCheckpoints();

        string[] teachers = [.. _learners.Select((learner, i) =>
        {
            string file = Path.Combine(Directory.CreateDirectory(RunFolder.FolderOf(_folder.Path, _recipe, i)).FullName, "teacher.safetensors");
            if (kept is not null) Copy(_monitor.RequireBest(kept.BestStep), file);
            else LearnerFiles.Export(learner, file, _recipe.Phases[^1].Views.Normalization, $"{_recipe.Name}, {_recipe.TotalSteps()} steps, seed {_recipe.Seed}");
            return file;
        })];
        return new PretrainResult(_folder.Path, teachers, steps, _refused, _unreadable, _last, RunReport.Write(_folder.Path))
        {
            Stopped = steps < _recipe.TotalSteps() ? kept?.Worse : null,
            KeptStep = kept?.BestStep,
        };
    }

    public static IReadOnlyList<StepReport> Replay(string batchFile, Device? device)
    {
        using var scope = NewDisposeScope();
        (PretrainBatch batch, RunState state, PretrainRecipe recipe, string folder) = RunFolder.ReadRefused(batchFile);
        IReadOnlyDictionary<TrainingComputeType, Products> products = RunProducts.Of(recipe, state.Products, new PretrainOptions { Device = device }, _ => { });
        using FrozenTeacher? frozen = LoadFrozen(recipe, device);
        StudentTeacher[] learners = [.. recipe.LearnersOf(state.Phase).Select(config => new StudentTeacher(config with { Products = products[config.Compute] }, frozen, device: device))];
        try
        {
            RunFolder.Load(folder, recipe, learners);
            PretrainBatch[] parts = learners[0].Prepare(batch);
            Targets[] targets = learners[0].Teach(parts, learners[0].ValuesAt(state.PhaseStep).TeacherTemperature);
            return [.. learners.Select(learner => learner.ForwardBackward(parts, targets, state.PhaseStep, learner.ValuesAt(state.PhaseStep)))];
        }
        finally
        {
            foreach (StudentTeacher learner in learners) learner.Dispose();
        }
    }

    public void Dispose()
    {
        foreach (StudentTeacher learner in _learners) learner.Dispose();
        _monitor.Dispose();
        _frozen?.Dispose();
        _folder.Dispose();
    }

    /// <summary>The teacher of a distillation; null if there is none.</summary>
    internal static FrozenTeacher? LoadFrozen(PretrainRecipe recipe, Device? device) => recipe.Distillation switch
    {
        null => null,
        { Targets: DistillationTargets.Features } features => LearnerFiles.LoadFeatureTeacher(features.Teacher, device),
        { } prototypes => LearnerFiles.LoadTeacher(prototypes.Teacher, prototypes.TeacherHeads ?? recipe.Heads, device),
    };

    // Mean and deviation belong to weights; others spoil them without a word.
    private static void RequireNormalizationOfWeights(PretrainRecipe recipe)
    {
        foreach (string path in new[] { recipe.InitialWeights, recipe.Distillation?.Teacher }.OfType<string>())
        {
            using var weights = DinoSharp.Weights.BackboneWeights.Open(path);
            PhaseRecipe? other = weights.Normalization.IsGuess ? null : recipe.Phases.FirstOrDefault(p => !p.Views.Normalization.Equals(weights.Normalization.Values));
            if (other is null) continue;
            Images.Normalization expected = weights.Normalization.Values;
            throw new DinoSharpException($"{path} was trained on pictures of mean [{string.Join(", ", expected.Mean)}] and deviation [{string.Join(", ", expected.Std)}] ({expected.Name}: {weights.Normalization.Evidence}), but phase {other.Name} of the recipe normalises otherwise; set views.normalization to these");
        }
    }

    private StudentTeacher[] Build(int phase) => [.. _recipe.LearnersOf(phase).Select(config => new StudentTeacher(config with { Products = _state.Products![config.Compute] }, _frozen, device: _options.Device))];

    private void Begin()
    {
        if (_options.Resume && _folder.Latest() is var (state, folder))
        {
            _state = state with { Inputs = _state.Inputs, Products = RunProducts.Of(_recipe, state.Products, _options, Say) };
            _learners = Build(state.Phase);
            RunFolder.Load(folder, _recipe, _learners);
            _monitor.Begin(Total);
            CheckAnchors(state.Phase + 1);
            Say($"going on after step {Total} of {_recipe.TotalSteps()}, in phase {_recipe.Phases[state.Phase].Name}");
            return;
        }

        if (_options.Resume) Say($"{_folder.Path} holds no checkpoint to go on from, so the run starts at its beginning");
        _monitor.Begin(0);
        CheckAnchors(0);
        _state = _state with { Products = RunProducts.Of(_recipe, null, _options, Say) };
        _learners = Build(0);
        if (_recipe.InitialWeights is { } initial)
        {
            foreach (StudentTeacher learner in _learners)
            {
                bool heads = LearnerFiles.LoadInitial(learner, initial);
                Say($"starting from {initial}{(heads ? " with its heads" : "; the heads are fresh")}");
            }
        }

        LoadAnchors();
    }

    private void RequireSameInputs()
    {
        if (_folder.Latest() is not { State: var saved }) return;
        if (saved.Inputs is null) Say($"the checkpoints in {_folder.Path} do not say which images the run began with, so whether they are the same cannot be checked");
        else if (_state.Inputs!.DifferenceTo(saved.Inputs) is { } difference) throw new DinoSharpException($"{difference}. Going on would not be the same run: bring back what there was, or start a new run elsewhere (output=FOLDER), with initialWeights if you like");
    }

    private void EnterNextPhase()
    {
        StudentTeacher[] before = _learners;
        _state = _state with { Phase = _state.Phase + 1, PhaseStep = 0, RefusedInARow = 0 };
        _learners = Build(_state.Phase);
        for (int i = 0; i < before.Length; i++)
        {
            bool fromTeacher = _recipe.Phases[_state.Phase].Start == PhaseStart.FromTeacher;
            PretrainNetwork.Copy(fromTeacher ? before[i].TeacherNetwork : before[i].StudentNetwork, _learners[i].StudentNetwork);
            PretrainNetwork.Copy(before[i].TeacherNetwork, _learners[i].TeacherNetwork);
            if (!fromTeacher) _learners[i].Optimizer.TakeOver(before[i].Optimizer);
            _learners[i].ResetGramTeacher();
            before[i].Dispose();
        }

        LoadAnchors();
    }

    // A phase that begins in hours should not fail then for a file that is missing now.
    private void CheckAnchors(int firstPhase)
    {
        for (int i = firstPhase; i < _recipe.Phases.Count; i++)
        {
            if (_recipe.Phases[i].Losses.Gram?.Checkpoint is not { } path) continue;
            string? problem = AnchorFiles.ProblemOf(path, i, Total, _recipe, _folder.In("checkpoints"));
            if (problem is not null) throw new DinoSharpException($"recipe {_recipe.Name}, phase {_recipe.Phases[i].Name}: Gram anchoring: the checkpoint {path} {problem}");
        }
    }

    private void LoadAnchors()
    {
        if (_recipe.Phases[_state.Phase].Losses.Gram?.Checkpoint is not { } path) return;
        foreach (StudentTeacher learner in _learners)
        {
            using var weights = DinoSharp.Weights.BackboneWeights.Open(path);
            weights.LoadInto(learner.Gram!.Backbone!);
        }
    }

    private void RunPhase(RunFigures figures, CancellationToken cancel)
    {
        PhaseRecipe phase = _recipe.Phases[_state.Phase];
        if (_state.PhaseStep >= phase.Steps) return;
        Say($"phase {phase.Name}: {phase.Steps - _state.PhaseStep} steps of {phase.BatchImages} images");
        bool resumed = _state.PhaseStep > 0;
        var options = new LoaderOptions { BatchSize = phase.BatchImages, Workers = _recipe.LoaderThreads, Seed = _learners[0].Config.Seed, Sampler = _recipe.Sampler, StartStep = _state.PhaseStep };
        using var loader = new PretrainLoader(_data, phase.Resolutions.Count == 0 ? [(phase.Views, 1)] : [.. phase.Resolutions.Select(r => (r.Apply(phase.Views), r.Probability))], phase.Masks, options);
        var clock = Stopwatch.StartNew();
        long first = _state.PhaseStep;
        while (_state.PhaseStep < phase.Steps)
        {
            if (cancel.IsCancellationRequested) Stop(cancel);
            if (phase.Losses.Gram is { } gram && (gram.IsWorthALine(_state.PhaseStep) || resumed))
            {
                Say($"step {Total}: the Gram teacher is {gram.Describe(_state.PhaseStep)}, in use since step {StepsBefore + gram.AnchoredSince(_state.PhaseStep)}");
            }

            resumed = false;
            if (_state.PhaseStep == 0 || Total % _recipe.Monitor.EverySteps == 0)
            {
                clock.Stop(); // the pace is that of the steps
                SavingOnFailure(() => _monitor.Look(figures, _learners, Total));
                clock.Start();
                if (HasGotWorse)
                {
                    Save();
                    Say($"stopped after step {Total}: the features are worse than those of the starting weights; {_monitor.Retention!.Worse}");
                    break;
                }
            }

            StepReport[] reports = Step(loader, cancel);
            _last = reports[0];
            long total = Total;
            double perSecond = (_state.PhaseStep - first) * phase.BatchImages / clock.Elapsed.TotalSeconds;
            double left = (_recipe.TotalSteps() - total) * clock.Elapsed.TotalSeconds / (_state.PhaseStep - first);
            var progress = new PretrainProgress(phase.Name, total, _recipe.TotalSteps(), reports[0], perSecond, loader.Report().WaitedShare, TimeSpan.FromSeconds(left), Environment.WorkingSet);
            if (_state.PhaseStep % _recipe.Monitor.LogEverySteps == 0 || _state.PhaseStep == phase.Steps) Write(figures, phase, progress, reports);
            _progress?.Report(progress);
            if (total % _recipe.Checkpoints.EverySteps == 0 || _state.PhaseStep == phase.Steps) Save();
            if (_state.RefusedInARow >= _recipe.StopAfterRefusedSteps) SavingOnFailure(() => throw new DinoSharpException($"{_state.RefusedInARow} steps in a row were refused, so the run stopped. {_refusal}"));
        }

        LoaderReport loaded = loader.Report();
        _unreadable += loaded.Unreadable;
        foreach (string problem in loaded.Problems) Say("an image was replaced: " + problem);
    }

    private StepReport[] Step(PretrainLoader loader, CancellationToken cancel)
    {
        PretrainBatch batch = null!;
        try
        {
            SavingOnFailure(() => batch = loader.Next(cancel));
        }
        catch (OperationCanceledException)
        {
            Stop(cancel);
            throw;
        }

        using (batch)
        {
            StepReport[] reports = StudentTeacher.StepTogether(_learners, batch, _state.PhaseStep);
            bool refused = reports.Any(r => r.NonFinite is not null);
            long total = Total;
            if (refused) Refuse(batch, total, reports.First(r => r.NonFinite is not null).NonFinite!);
            _state = _state with { PhaseStep = _state.PhaseStep + 1, RefusedInARow = refused ? _state.RefusedInARow + 1 : 0 };
            return reports;
        }
    }

    private void Refuse(PretrainBatch batch, long total, string problem)
    {
        _refused++;
        string kept;
        try
        {
            kept = $"Look at it again with: dino train --replay {_folder.SaveRefused(batch, _state, total, _recipe, _learners)}";
        }
        catch (DinoSharpException error)
        {
            kept = $"Its batch could not be kept: {error.Message}";
        }

        _refusal = $"step {total} was refused: {problem} is not finite; no weight was changed. {kept}";
        Say(_refusal);
    }

    // Between two steps all weights are whole, so what the steps since the last checkpoint have learnt need not be lost with what comes next.
    private void SavingOnFailure(Action work)
    {
        try
        {
            work();
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            try
            {
                if (Total > 0) Save();
            }
            catch (DinoSharpException second)
            {
                Say($"the steps since the last checkpoint are lost: {second.Message}");
            }

            throw;
        }
    }

    private void Save()
    {
        if (_folder.Store.Steps.Contains(Total)) return;
        _folder.Save(_state, Total, _recipe, _learners);
        _monitor.RemoveSurpassed(Total);
    }

    private void Stop(CancellationToken cancel)
    {
        Save();
        Say($"stopped after step {Total}; --resume goes on from there");
        cancel.ThrowIfCancellationRequested();
    }

    private void Write(RunFigures figures, PhaseRecipe phase, PretrainProgress progress, StepReport[] reports)
    {
        for (int i = 0; i < reports.Length; i++)
        {
            StepReport r = reports[i];
            figures.Write(RunFigures.Line(
            [
                new("step", progress.TotalStep - 1), new("phase", phase.Name), new("student", _recipe.StudentName(i)),
                new("total_loss", r.Losses.Total), new("feature_class_loss", r.Losses.FeatureClass), new("feature_patch_loss", r.Losses.FeaturePatches),
                new("backbone_factor", r.Values.BackboneFactor), new("dino_global_crops_loss", r.Losses.DinoGlobal), new("dino_local_crops_loss", r.Losses.DinoLocal),
                new("ibot_loss", r.Losses.Ibot), new("koleo_loss", r.Losses.KoLeo), new("gram_loss", r.Losses.Gram), new("gram_loss_weight", r.Losses.GramWeight),
                new("dino_local_loss_weight", r.Losses.LocalWeight), new("masked_gram_loss", r.Losses.GramMasked), new("unmasked_gram_loss", r.Losses.GramUnmasked),
                new("lr", r.Values.LearningRate), new("last_layer_lr", r.Values.LastLayerLearningRate), new("wd", r.Values.WeightDecay), new("mom", r.Values.Momentum), new("teacher_temp", r.Values.TeacherTemperature),
                new("backbone_grad_norm", r.GradientNorms.Backbone), new("dino_head_grad_norm", r.GradientNorms.DinoHead), new("ibot_head_grad_norm", r.GradientNorms.IbotHead),
                new("refused", r.NonFinite), new("images_per_second", progress.ImagesPerSecond), new("loader_wait_share", progress.LoaderWaitShare), new("memory_bytes", progress.MemoryBytes),
            ]));
        }
    }

    private static void Copy(string from, string to)
    {
        using FileStream source = File.OpenRead(from);
        DinoSharp.Weights.SafetensorsWriter.WriteBeside(to, source.Length, source.CopyTo);
    }

    private void Say(string message) => _log?.Report(message);
}
