using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;
using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

/// <summary>A head that was fitted on patches, and how the fit went. Owns the head.</summary>
/// <typeparam name="THead">What was fitted.</typeparam>
public abstract record DenseFitResult<THead> : IDisposable
    where THead : Head
{
    private protected DenseFitResult(THead head, CourseOfFit course, Func<IReadOnlyList<int>, double> resample) =>
        (Head, FinalLoss, Counts, Groups, Computed, Unreadable, Leaked, Resample) = (head, course.FinalLoss, course.Counts, course.Groups, course.Computed, course.Unreadable, course.Leaked, resample);

    /// <summary>The head; the indices of its classes, if it has any, are the ids of the annotations.</summary>
    public THead Head { get; }

    /// <summary>Mean loss at the end of the training.</summary>
    public double FinalLoss { get; }

    /// <summary>Number of training and validation pictures.</summary>
    public (int Training, int Validation) Counts { get; }

    /// <summary>Number of groups among the validation pictures; null if every picture stands alone.</summary>
    public int? Groups { get; }

    /// <summary>How many pictures went through the backbone.</summary>
    public int Computed { get; }

    /// <summary>Pictures that could not be read and were left out.</summary>
    public IReadOnlyList<ImageException> Unreadable { get; }

    /// <summary>Validation pictures that are also among the training pictures.</summary>
    public IReadOnlyList<string> Leaked { get; }

    /// <summary>The score that is compared when ways of looking are, on any of the validation pictures.</summary>
    internal Func<IReadOnlyList<int>, double> Resample { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Head.Dispose();
        GC.SuppressFinalize(this);
    }
}

/// <summary>How a fit went, whatever was fitted.</summary>
internal sealed record CourseOfFit(double FinalLoss, (int Training, int Validation) Counts, int? Groups, int Computed, IReadOnlyList<ImageException> Unreadable, IReadOnlyList<string> Leaked);

/// <summary>What differs from task to task in a fit on patches.</summary>
/// <param name="Head">The untrained head, whose parameters are its own.</param>
/// <param name="Target">The target of a picture of <see cref="DenseData{TSet}.TrainImages"/> [..., n·h, n·w], in the current dispose scope.</param>
/// <param name="Loss">How far the head is off, from the features of a batch, the targets of the same cells [B, ..., n·h, n·w] and the step; [].</param>
/// <param name="Judge">Compares the answer for a validation picture with the truth; the last argument says whether to keep both as an example.</param>
/// <param name="Score">What all comparisons amount to.</param>
/// <param name="CellsPerPatch">Cells n of a target along the side of a patch.</param>
internal sealed record DenseTask<THead, TResult>(
    THead Head, Func<int, Tensor> Target, Func<IReadOnlyList<LayerFeatures>, Tensor, int, Tensor> Loss, Action<int, HeadFeatures, ImageGeometry, bool> Judge, Func<CourseOfFit, TResult> Score, int CellsPerPatch = DenseTraining.CellsPerPatch)
    where THead : Head;

/// <summary>The course of every fit on patches: features of all pictures on disk, targets, training, judging by pictures that were held out.</summary>
internal static class DenseCourse
{
    private const int Examples = 6;

    public static TResult Run<TSet, THead, TResult>(
        DinoModel model, TSet train, TSet? validation, DenseFitOptions options, HeadInput input, Func<DenseData<TSet>, Device, DenseTask<THead, TResult>> begin, IProgress<long>? progress, CancellationToken cancel)
        where TSet : class, IAnnotatedPictures<TSet>
        where THead : Head
    {
        if (validation is null) (train, validation) = train.Divide(options.HeldOutShare, options.Seed);
        var store = new FeatureStore(model, input, FeatureKind.Dense, options.CacheFolder) { AsStored = train.AsStored };
        DenseData<TSet> data = DenseData<TSet>.Prepare(store, train, validation, options.Flip, progress, cancel);
        Device device = model.Backbone.parameters().First().device;
        using var scope = NewDisposeScope();
        DenseTask<THead, TResult> task = begin(data, device);
        try
        {
            task.Head.BackboneName = model.Name;
            double loss;
            using (var training = new DenseTraining(store, data.TrainImages, task.Target, options, device, task.CellsPerPatch))
                loss = training.Run(task.Head.Network, task.Loss, step => progress?.Report(data.Seen + step), cancel);
            using var quiet = no_grad();
            int count = data.ValidationImages.Count, every = Math.Max(1, count / Examples);
            for (int i = 0; i < count; i++)
            {
                cancel.ThrowIfCancellationRequested();
                using var picture = NewDisposeScope();
                using StoredFeatures features = store.Load(data.ValidationImages[i]);
                task.Judge(i, features.ToHeadFeatures(input.Fit, device), features.Geometry, i % every == 0 && i / every < Examples);
            }

            return task.Score(new CourseOfFit(loss, (data.Count, count), data.Validation.Groups?.Distinct().Count(), store.Computed, data.Unreadable, SharedPictures.Find(data.Train.Pictures, data.Validation.Pictures)));
        }
        catch
        {
            task.Head.Dispose();
            throw;
        }
    }
}
