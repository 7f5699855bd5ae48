using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Optimization;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols;

/// <summary>How a linear dense head is trained.</summary>
public sealed record DenseProbeOptions
{
    /// <summary>Steps of the optimizer.</summary>
    public int Steps { get; init; } = 1000;

    /// <summary>Views per step; published: 16.</summary>
    public int BatchSize { get; init; } = 16;

    /// <summary>Views of each picture whose features are computed once and used again, with the truth at 4 × 4 places of a patch; 0: fresh views in every step and the truth of every pixel,
    /// as published, so that the backbone runs in every step.</summary>
    public int Views { get; init; } = 4;

    /// <summary>Largest learning rate; the paper tries 1e-4, 3e-4 and 1e-3. Null: 1e-3, which suits a short run and is the published one for segmentation; the published one for depth is 3e-4.</summary>
    public double? Rate { get; init; }

    /// <summary>Shorter side at which pictures are seen.</summary>
    public int SizePixels { get; init; } = 512;

    /// <summary>Of weights, views and order.</summary>
    public int Seed { get; init; }

    /// <summary>What a result says of its training.</summary>
    internal Dictionary<string, string> Settings() => new()
    {
        ["rate"] = RateInUse.ToString(CultureInfo.InvariantCulture),
        ["steps"] = Steps.ToString(CultureInfo.InvariantCulture),
        ["batch"] = BatchSize.ToString(CultureInfo.InvariantCulture),
        ["views"] = Views == 0 ? "fresh in every step" : $"{Views} of each picture, truth at 4 x 4 places of a patch",
    };

    internal double RateInUse => Rate ?? 1e-3;

    internal void Validate()
    {
        if (!(RateInUse > 0)) throw new DinoSharpException($"the learning rate must be above 0, found {Rate}");
        if (Steps < 1 || BatchSize < 1 || Views < 0 || SizePixels < 1) throw new DinoSharpException($"steps, batch size and size must be 1 or more and views 0 or more; found {Steps}, {BatchSize}, {SizePixels} and {Views}");
    }
}

/// <summary>Progress of a part that begins where another one ended.</summary>
internal sealed class Shifted(IProgress<long>? progress, long start) : IProgress<long>
{
    /// <inheritdoc/>
    public void Report(long value) => progress?.Report(start + value);
}

/// <summary>The training loop of the linear dense protocols: views of pictures, features of the frozen backbone, AdamW.</summary>
internal sealed class DenseProbe(Backbone backbone, LinearDenseHead head, DenseProbeOptions options)
{
    private const int PlacesPerPatch = 4;

    /// <summary>A view and its truth. The caller owns them. [C, H, W] and as the loss takes it</summary>
    public delegate (Tensor Image, Tensor Truth) ViewOf(int picture, ulong seed);

    /// <summary>Loss of scores [B, C, h, w] against the truths of a batch, at a step from 0.</summary>
    public delegate Tensor LossOf(Tensor scores, Tensor truth, int step);

    /// <summary>Trains the head.</summary>
    /// <param name="pictures">Number of pictures.</param>
    /// <param name="view">Makes a view.</param>
    /// <param name="loss">The loss.</param>
    /// <param name="schedule">Learning rate and momentum.</param>
    /// <param name="optimizer">Weight decay, second moment, and largest norm of the gradient (null: any).</param>
    /// <param name="late">The schedule is read one step late from the second step on, as the published segmentation does.</param>
    /// <param name="progress">Told how many views and steps are done.</param>
    /// <param name="cancel">Checked between steps.</param>
    public void Train(
        int pictures, ViewOf view, LossOf loss, DenseSchedule schedule, (double WeightDecay, double Beta1, double Beta2, double? Clip) optimizer, bool late, IProgress<long>? progress, CancellationToken cancel)
    {
        options.Validate();
        using var random = new Generator((ulong)options.Seed);
        head.Initialize(random);
        (string, TorchSharp.Modules.Parameter)[] parameters = [.. head.named_parameters().Select(p => (p.name, p.parameter))];
        foreach ((_, TorchSharp.Modules.Parameter parameter) in parameters) parameter.requires_grad_(true);
        using var adam = new AdamW([new ParameterGroup(1, 1, false, parameters)], optimizer.Beta1, optimizer.Beta2);
        var kept = new List<(Tensor Patches, Tensor ClassToken, Tensor Truth, int Height, int Width)>();
        using var scope = NewDisposeScope();
        for (int i = 0; i < pictures * options.Views; i++)
        {
            cancel.ThrowIfCancellationRequested();
            using var piece = NewDisposeScope();
            (Tensor image, Tensor truth) = view(i % pictures, Seed(i));
            LayerFeatures features = Features(image.unsqueeze(0));
            kept.Add((
                features.Patches.to(ScalarType.Float16).MoveToOuterDisposeScope(), features.ClassToken.clone().MoveToOuterDisposeScope(), Thinned(truth, features.GridHeight).MoveToOuterDisposeScope(), features.GridHeight, features.GridWidth));
            progress?.Report(i + 1);
        }

        int available = options.Views > 0 ? kept.Count : pictures, next = available;
        int[] order = [.. Enumerable.Range(0, available)];
        var shuffle = new Random(options.Seed);
        for (int step = 0; step < options.Steps; step++)
        {
            cancel.ThrowIfCancellationRequested();
            using var piece = NewDisposeScope();
            int[] chosen = [.. Enumerable.Range(0, Math.Min(options.BatchSize, available)).Select(_ => Draw())];
            (LayerFeatures features, Tensor truths) = options.Views > 0 ? Kept(chosen) : Fresh(chosen, step);
            Tensor value = loss(head.ForwardTraining([features], random), truths, step);
            head.zero_grad();
            value.backward();
            if (optimizer.Clip is double clip) nn.utils.clip_grad_norm_(head.parameters(), clip);
            int at = late ? Math.Max(0, step - 1) : step;
            if (schedule.MomentumAt(at, options.Steps) is double momentum) adam.Beta1 = momentum;
            double rate = schedule.RateAt(at, options.Steps);
            adam.Step(new StepValues(rate, rate, optimizer.WeightDecay, 0, 0));
            progress?.Report((long)(pictures * options.Views) + step + 1);
        }

        head.zero_grad();

        int Draw()
        {
            if (next >= available)
            {
                shuffle.Shuffle(order);
                next = 0;
            }

            return order[next++];
        }

        (LayerFeatures Features, Tensor Truth) Kept(int[] rows)
        {
            (_, _, _, int height, int width) = kept[rows[0]];
            Tensor patches = cat([.. rows.Select(r => kept[r].Patches)]).to(ScalarType.Float32), tokens = cat([.. rows.Select(r => kept[r].ClassToken)]); // [B, P, D], [B, D]
            return (new LayerFeatures(0, tokens, zeros(rows.Length, 0, tokens.shape[1]), patches, height, width), stack([.. rows.Select(r => kept[r].Truth)]));
        }

        (LayerFeatures Features, Tensor Truth) Fresh(int[] rows, int step)
        {
            (Tensor Image, Tensor Truth)[] views = [.. rows.Select((r, i) => view(r, Seed(((long)step * options.BatchSize) + i)))];
            return (Features(stack([.. views.Select(v => v.Image)])), stack([.. views.Select(v => v.Truth)]));
        }
    }

    /// <summary>How many steps of progress <see cref="Train"/> reports.</summary>
    public static long Length(int pictures, DenseProbeOptions options) => ((long)pictures * options.Views) + options.Steps;

    private LayerFeatures Features(Tensor images)
    {
        using var quiet = no_grad();
        return backbone.GetLayers(images, LayerSelection.Final, normalize: true)[0];
    }

    // The loss of a linear layer on patches says as much at a few places of each patch as at all its 256 pixels, at a sixteenth of the cost, which is all that a step on stored features costs.
    private static Tensor Thinned(Tensor truth, int gridHeight)
    {
        long step = Math.Max(1, truth.shape[^2] / ((long)gridHeight * PlacesPerPatch));
        TensorIndex middle = TensorIndex.Slice(step / 2, null, step);
        return truth[TensorIndex.Ellipsis, middle, middle].clone(); // [..., 4h, 4w]
    }

    private ulong Seed(long number) => TorchRandom.SeedOf((ulong)options.Seed, 0, (ulong)number);
}
