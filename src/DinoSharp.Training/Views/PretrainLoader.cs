using System.Diagnostics;
using DinoSharp.Training.Data;
using DinoSharp.Training.Data.Sampling;
using static TorchSharp.torch;

namespace DinoSharp.Training.Views;

/// <summary>
/// Reads images, makes their views and collects them into batches, in parallel and ahead of the training. Batch k depends on the data, the options and k alone: not on the number of
/// workers, on timing, or on the step at which loading began.
/// </summary>
/// <remarks>
/// Where the original differs: its order changes when a run is resumed, and its choice among resolutions starts again; here both go on. An image that cannot be read ends its run;
/// here another image of the same source, chosen by the seed, takes the place, and the report counts it. Only a source of which nothing can be read ends it.
/// </remarks>
public sealed class PretrainLoader : IDisposable
{
    private const ulong ViewStream = 1;
    private const ulong MaskStream = 2;
    private const ulong SubstituteStream = 3;
    private const ulong ResolutionSeed = 65537; // the original's
    private const int SubstituteTries = 32;
    private const int ProblemsKept = 20;

    private readonly ImageDataset _dataset;
    private readonly LoaderOptions _options;
    private readonly MaskOptions _maskOptions;
    private readonly (ViewOptions Views, ViewRenderer Renderer, BlockMasking Masking)[] _resolutions;
    private readonly double[] _cumulative;
    private readonly IEnumerator<int> _order;
    private readonly NumpyRandom _choice = new(ResolutionSeed);
    private readonly Thread[] _workers;
    private readonly object _lock = new();
    private readonly Queue<LoadingBatch> _underWay = new(); // in order of steps: complete, being filled, untouched
    private readonly Queue<LoadingBatch> _toFill = new();
    private readonly List<string> _problems = [];
    private readonly Stopwatch _sinceFirst = new();
    private readonly Stopwatch _waiting = new();
    private TimeSpan _firstBatch;
    private Exception? _failure;
    private int _nextSample;
    private long _nextStep;
    private long _unreadable;
    private bool _stop;

    /// <summary>Starts loading.</summary>
    /// <param name="dataset">The images.</param>
    /// <param name="views">The crops.</param>
    /// <param name="masks">The masks.</param>
    /// <param name="options">Batch size, seed, threads.</param>
    /// <exception cref="DinoSharpException">Options that are out of range.</exception>
    public PretrainLoader(ImageDataset dataset, ViewOptions views, MaskOptions masks, LoaderOptions options)
        : this(dataset, [(views, 1)], masks, options)
    {
    }

    /// <summary>Starts loading with several resolutions: each step uses one of them, the same on every process (<c>data/meta_loaders.py</c>).</summary>
    /// <param name="dataset">The images.</param>
    /// <param name="resolutions">The crops of each resolution, and how often it is used, as positive numbers in any unit.</param>
    /// <param name="masks">The masks.</param>
    /// <param name="options">Batch size, seed, threads.</param>
    /// <exception cref="DinoSharpException">Options that are out of range.</exception>
    public PretrainLoader(ImageDataset dataset, IReadOnlyList<(ViewOptions Views, double Ratio)> resolutions, MaskOptions masks, LoaderOptions options)
    {
        options.Validate();
        masks.Validate();
        if (resolutions.Count == 0 || resolutions.Any(r => !(r.Ratio > 0 && double.IsFinite(r.Ratio)))) throw new DinoSharpException("a loader needs at least one resolution, and every ratio must be a positive number");
        foreach ((ViewOptions views, _) in resolutions) views.Validate();
        (_dataset, _options, _maskOptions, _nextStep) = (dataset, options, masks, options.StartStep);
        _resolutions = [.. resolutions.Select(r => (r.Views, new ViewRenderer(r.Views), BlockMasking.ForCrop(r.Views.GlobalSizePixels, r.Views.PatchSize, masks)))];
        double sum = 0;
        _cumulative = [.. resolutions.Select(r => sum += r.Ratio)];
        for (long step = 0; step < options.StartStep && _cumulative.Length > 1; step++) _choice.Choice(_cumulative);
        _order = new SampleStream(dataset, options.Sampler, options.Shuffle, options.Seed, options.Rank, options.WorldSize).From(options.StartStep * options.BatchSize).GetEnumerator();
        Step = options.StartStep;
        for (int i = 0; i <= options.PrefetchBatches; i++) Begin();
        _workers = [.. Enumerable.Range(0, options.WorkerCount).Select(i => new Thread(Work) { IsBackground = true, Name = $"views {i}" })];
        foreach (Thread worker in _workers) worker.Start();
    }

    /// <summary>The step of the batch that <see cref="Next"/> gives next.</summary>
    public long Step { get; private set; }

    /// <summary>The batch of the next step. Waits until it is ready. For one caller at a time.</summary>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <returns>A batch that the caller disposes of.</returns>
    /// <exception cref="DinoSharpException">No image of a source can be read.</exception>
    public PretrainBatch Next(CancellationToken cancellationToken = default)
    {
        _waiting.Start();
        using CancellationTokenRegistration wake = cancellationToken.Register(() =>
        {
            lock (_lock) Monitor.PulseAll(_lock);
        });
        LoadingBatch batch = Take(cancellationToken);
        _waiting.Stop();
        if (!_sinceFirst.IsRunning)
        {
            _firstBatch = _waiting.Elapsed;
            _waiting.Reset();
            _sinceFirst.Start();
        }

        Step = batch.Step + 1;
        var random = new TorchRandom(TorchRandom.SeedOf(_options.Seed, MaskStream, Global(batch.Step)));
        BatchMasks masks = BatchMasks.Draw(2 * _options.BatchSize, _resolutions[batch.Resolution].Masking, _maskOptions, new SeededMaskDraws(random));
        using var scope = NewDisposeScope();
        PretrainBatch made = batch.ToBatch(masks.ToTensor().DetachFromDisposeScope());
        made.MaskedIndices.DetachFromDisposeScope(); // the caller disposes of the batch, not a scope of his
        made.MaskWeights.DetachFromDisposeScope();
        return made;
    }

    /// <summary>What was loaded, what could not be read, and how long the training had to wait.</summary>
    public LoaderReport Report()
    {
        long batches = Step - _options.StartStep;
        lock (_lock) return new LoaderReport(batches, batches * _options.BatchSize, _unreadable, [.. _problems], _waiting.Elapsed, _firstBatch, _sinceFirst.Elapsed);
    }

    /// <summary>Stops the workers and frees what was not handed out.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _stop = true;
            Monitor.PulseAll(_lock);
        }

        foreach (Thread worker in _workers) worker.Join();
        while (_underWay.TryDequeue(out LoadingBatch? batch)) batch.Dispose();
        _order.Dispose();
    }

    private LoadingBatch Take(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            while (!(_underWay.TryPeek(out LoadingBatch? first) && first.Complete))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (_failure is not null) throw _failure is DinoSharpException known ? new DinoSharpException(known.Message, known) : new InvalidOperationException($"loading a batch failed: {_failure.Message}", _failure);
                ObjectDisposedException.ThrowIf(_stop, this);
                Monitor.Wait(_lock);
            }

            LoadingBatch batch = _underWay.Dequeue();
            Begin();
            Monitor.PulseAll(_lock);
            return batch;
        }
    }

    /// <summary>Makes room for another batch and says which images it shows. Only here is memory taken, by the thread that hands it out.</summary>
    private void Begin()
    {
        int resolution = _cumulative.Length > 1 ? _choice.Choice(_cumulative) : 0;
        int[] images = new int[_options.BatchSize];
        for (int i = 0; i < images.Length; i++)
        {
            _order.MoveNext();
            images[i] = _order.Current;
        }

        var batch = new LoadingBatch(_nextStep++, images, resolution, _resolutions[resolution].Views);
        _underWay.Enqueue(batch);
        _toFill.Enqueue(batch);
    }

    private void Work()
    {
        try
        {
            while (Claim() is var (batch, sample))
            {
                Fill(batch, sample);
                if (!batch.Finish()) continue;
                lock (_lock) Monitor.PulseAll(_lock);
            }
        }
        catch (Exception error)
        {
            lock (_lock)
            {
                _failure ??= error;
                Monitor.PulseAll(_lock);
            }
        }
    }

    /// <summary>The next sample that nobody works on; waits while there is none; null at the end.</summary>
    private (LoadingBatch Batch, int Sample)? Claim()
    {
        lock (_lock)
        {
            while (true)
            {
                if (_stop || _failure is not null) return null;
                if (_toFill.TryPeek(out LoadingBatch? batch))
                {
                    int sample = _nextSample++;
                    if (_nextSample < _options.BatchSize) return (batch, sample);
                    _nextSample = 0;
                    _toFill.Dequeue();
                    return (batch, sample);
                }

                Monitor.Wait(_lock);
            }
        }
    }

    private void Fill(LoadingBatch batch, int sample)
    {
        (ViewOptions views, ViewRenderer renderer, _) = _resolutions[batch.Resolution];
        ulong position = Global(batch.Step) * (ulong)_options.BatchSize + (ulong)sample;
        using Raster image = Open(renderer, batch.Images[sample], position);
        var random = new TorchRandom(TorchRandom.SeedOf(_options.Seed, ViewStream, position));
        ViewPlan plan = ViewPlan.Draw(image.Height, image.Width, views, random);
        renderer.Render(image, plan, (kind, index) => batch.Target(sample, kind, index));
    }

    private Raster Open(ViewRenderer renderer, int index, ulong position)
    {
        (int first, int end) = (_dataset.SourceOf(index).Start.Value, _dataset.SourceOf(index).End.Value);
        for (long attempt = 0; ; attempt++)
        {
            try
            {
                return renderer.Open(_dataset.Read(index));
            }
            catch (DinoSharpException error)
            {
                lock (_lock)
                {
                    _unreadable++;
                    if (_problems.Count < ProblemsKept && !_problems.Contains(error.Message)) _problems.Add(error.Message);
                }

                // First at random, so that no image takes the places of all others; then one after the other, so that the last one that can be read is found.
                if (attempt == SubstituteTries + (long)(end - first) || Volatile.Read(ref _stop) || Volatile.Read(ref _failure) is not null)
                    throw new DinoSharpException($"none of {end - first} images of {_dataset.Name} could be read; the last one: {error.Message}", error);
                index = attempt >= SubstituteTries ? index + 1 < end ? index + 1 : first
                    : (int)new TorchRandom(TorchRandom.SeedOf(_options.Seed, SubstituteStream + (ulong)attempt, position)).Integer(first, end);
            }
        }
    }

    /// <summary>A number for this step of this process that no other step or process has.</summary>
    private ulong Global(long step) => (ulong)step * (ulong)_options.WorldSize + (ulong)_options.Rank;
}
