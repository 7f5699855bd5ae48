using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Heads.Depth;
using DinoSharp.Layers;
using DinoSharp.Training.Features;
using DinoSharp.Training.Optimization;
using static TorchSharp.torch;
using Parameter = TorchSharp.Modules.Parameter;

namespace DinoSharp.Training.Fitting;

/// <summary>The loop that fits dense heads: random pictures, cut to a common grid of patches, against targets on a grid of a few cells to a patch.</summary>
internal sealed class DenseTraining : IDisposable
{
    /// <summary>Cells of a target along the side of a patch: four pixels each at patches of 16.</summary>
    public const int CellsPerPatch = 4;

    private const long MemoryBytes = 2L << 30;
    private readonly FeatureStore _store;
    private readonly IReadOnlyList<StoredImage> _images;
    private readonly Func<int, Tensor> _target;
    private readonly int _cells;
    private readonly DenseFitOptions _options;
    private readonly Device _device;
    private readonly StoredFeatures?[] _kept;
    private long _keptBytes;

    /// <param name="store">Holds the features.</param>
    /// <param name="images">The training pictures.</param>
    /// <param name="target">For the index of a picture its target [..., n·h, n·w], in the current dispose scope.</param>
    /// <param name="options">Steps, batch, rate.</param>
    /// <param name="device">Where the network lives.</param>
    /// <param name="cellsPerPatch">Cells n of a target along the side of a patch.</param>
    public DenseTraining(FeatureStore store, IReadOnlyList<StoredImage> images, Func<int, Tensor> target, DenseFitOptions options, Device device, int cellsPerPatch = CellsPerPatch) =>
        (_store, _images, _target, _options, _device, _cells, _kept) = (store, images, target, options, device, cellsPerPatch, new StoredFeatures?[images.Count]);

    /// <summary>Trains a network in place.</summary>
    /// <param name="network">Its trainable parameters are updated.</param>
    /// <param name="loss">From the features of a batch and the targets of the same cells [B, ..., n·h, n·w] to a number; with the step for schedules of its own.</param>
    /// <param name="progress">Told the number of steps done.</param>
    /// <param name="cancel">Checked at each step.</param>
    /// <returns>Mean loss of the last tenth of the steps.</returns>
    public double Run(nn.Module network, Func<IReadOnlyList<LayerFeatures>, Tensor, int, Tensor> loss, Action<long>? progress, CancellationToken cancel)
    {
        var schedule = new OneCycleSchedule { BaseRate = _options.LearningRate, WarmupSteps = Math.Max(1, _options.Steps / 20) };
        (string Name, Parameter Value)[] parameters = [.. network.named_parameters()];
        using var optimizer = new AdamW(
            [
                new ParameterGroup(1, 1, false, [.. parameters.Where(p => p.Value.dim() > 1)]),
                new ParameterGroup(1, 0, false, [.. parameters.Where(p => p.Value.dim() <= 1)]), // norms and biases do not decay
            ],
            0.9,
            0.999);
        var random = new Random(_options.Seed);
        double last = 0;
        int counted = 0;
        for (int step = 0; step < _options.Steps; step++)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            (IReadOnlyList<LayerFeatures> features, Tensor targets) = Batch(random);
            network.zero_grad();
            Tensor value = loss(features, targets, step); // []
            value.backward();
            Gradients.Clip(parameters.Select(p => p.Value), Gradients.Norm([.. parameters.Select(p => p.Value)]).item<float>(), 10);
            double rate = schedule.RateAt(step, _options.Steps);
            optimizer.Step(new StepValues(rate, rate, _options.WeightDecay, 0, 0));
            if (step >= _options.Steps * 9 / 10)
            {
                last += value.item<float>();
                counted++;
            }

            progress?.Invoke(step + 1);
        }

        network.zero_grad();
        if (!double.IsFinite(last)) throw new DinoSharpException($"the fit diverged: the loss is no longer a number after {_options.Steps} steps; lower the learning rate (now {_options.LearningRate})");
        return last / counted;
    }

    /// <summary>Weights as usual for convolutions before a ReLU, norms as identity, biases zero; the last layer of a DPT decoder small, so that no answer is preferred at the start.</summary>
    public static void Initialize(nn.Module network, int seed)
    {
        using var random = new Generator((ulong)seed);
        using var quiet = no_grad();
        foreach ((string name, Parameter parameter) in network.named_parameters())
        {
            if (name == "conv_depth.head.4.weight") parameter.normal_(0, 0.01, random);
            else if (parameter.dim() > 1) parameter.normal_(0, Math.Sqrt(2.0 / (parameter.numel() / parameter.shape[0])), random);
            else if (name.EndsWith("weight", StringComparison.Ordinal)) parameter.fill_(Num(1));
            else parameter.zero_();
        }
    }

    /// <summary>An untrained DPT decoder of a size that suits hundreds of pictures.</summary>
    public static DptHead CreateDpt(DinoModel model, HeadInput input, int outputs, int seed, Device device)
    {
        var config = new DptConfig
        {
            InputChannels = [.. input.Layers.Select(model.Backbone.Config.LayerWidth)],
            LevelChannels = [32, 48, 64, 64],
            Channels = 32,
            Outputs = outputs,
            BatchNorm = true,
            FusionBias = true,
            ProjectAfterFusion = false,
        };
        DptHead head = new DptHead(config, device).Kept();
        Initialize(head, seed);
        return head;
    }

    /// <summary>For each cell of a target the pixel of the picture under its middle; -1 where the input was padded.</summary>
    /// <param name="image">The picture.</param>
    /// <returns>Row-major, [4h, 4w]</returns>
    public static (int[] Pixels, int Rows, int Columns) Cells(StoredImage image)
    {
        PatchGrid grid = image.Grid;
        (int width, int height) = (grid.Geometry.OriginalWidth, grid.Geometry.OriginalHeight);
        (int rows, int columns) = (grid.Rows * CellsPerPatch, grid.Columns * CellsPerPatch);
        int[] pixels = new int[rows * columns];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                (double X, double Y)? at = grid.ToOriginal((c + 0.5) * grid.FittedWidth / columns, (r + 0.5) * grid.FittedHeight / rows, image.Mirrored);
                pixels[(r * columns) + c] = at is (double x, double y) && x >= 0 && y >= 0 && x < width && y < height ? ((int)y * width) + (int)x : -1;
            }
        }

        return (pixels, rows, columns);
    }

    /// <summary>Scores at the resolution of the targets.</summary>
    public static Tensor AtCells(Tensor scores, Tensor targets) => MapResize.Bilinear(scores, targets.shape[^2], targets.shape[^1]);

    public void Dispose()
    {
        foreach (StoredFeatures? features in _kept) features?.Dispose();
    }

    private (IReadOnlyList<LayerFeatures> Features, Tensor Targets) Batch(Random random)
    {
        int count = Math.Min(_options.BatchSize, _images.Count);
        int[] drawn = [.. Enumerable.Range(0, _images.Count)];
        random.Shuffle(drawn);
        StoredFeatures[] loaded = [.. drawn.Take(count).Select(Load)];
        int height = loaded.Min(f => f.Layers[0].GridHeight), width = loaded.Min(f => f.Layers[0].GridWidth);
        (int Top, int Left)[] corners = [.. loaded.Select(f => (random.Next(f.Layers[0].GridHeight - height + 1), random.Next(f.Layers[0].GridWidth - width + 1)))];
        var layers = new List<LayerFeatures>();
        for (int l = 0; l < loaded[0].Layers.Count; l++)
        {
            LayerFeatures first = loaded[0].Layers[l];
            int scale = Math.Max(1, loaded[0].Layers[0].GridHeight / first.GridHeight); // later stages of a ConvNeXt are coarser
            Tensor patches = stack(loaded.Select((f, i) => Cut(f.Layers[l], corners[i].Top / scale, corners[i].Left / scale, height / scale, width / scale))); // [B, p, D]
            Tensor classTokens = cat([.. loaded.Select(f => f.Layers[l].ClassToken)]); // [B, D]
            layers.Add(new LayerFeatures(first.Layer, classTokens.to(_device), zeros(count, 0, patches.shape[2], device: _device), patches.to(_device), height / scale, width / scale));
        }

        Tensor targets = stack(drawn.Take(count).Select((image, i) =>
            _target(image).narrow(-2, corners[i].Top * _cells, height * _cells).narrow(-1, corners[i].Left * _cells, width * _cells))); // [B, ..., n·h, n·w]
        foreach ((StoredFeatures features, int image) in loaded.Zip(drawn))
        {
            if (!ReferenceEquals(_kept[image], features)) features.Dispose();
        }

        return (layers, targets.to(_device));
    }

    private static Tensor Cut(LayerFeatures layer, int top, int left, int height, int width) =>
        layer.Patches.view(layer.GridHeight, layer.GridWidth, -1).narrow(0, top, height).narrow(1, left, width).reshape(height * width, -1); // [p, D]

    // Small sets stay in memory; of large ones the system keeps the files.
    private StoredFeatures Load(int image)
    {
        if (_kept[image] is { } known) return known;
        StoredFeatures features = _store.Load(_images[image]);
        long bytes = features.Layers.Sum(l => l.Patches.numel() * sizeof(float));
        if (_keptBytes + bytes > MemoryBytes) return features;
        _keptBytes += bytes;
        foreach (LayerFeatures layer in features.Layers)
        {
            layer.ClassToken.DetachFromDisposeScope();
            layer.Registers.DetachFromDisposeScope();
            layer.Patches.DetachFromDisposeScope();
        }

        return _kept[image] = features;
    }
}
