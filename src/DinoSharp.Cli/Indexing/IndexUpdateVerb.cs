using System.CommandLine;
using System.Diagnostics;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Features.HighResolution;
using DinoSharp.Images;
using DinoSharp.Retrieval;

namespace DinoSharp.Cli.Indexing;

/// <summary><c>dino index build</c> and <c>dino index add</c>.</summary>
internal sealed class IndexUpdateVerb : Verb
{
    private const int MostOpened = 16;

    private readonly Argument<string[]> _paths = new("paths") { Description = "Folders (with all below them), files or globs", Arity = ArgumentArity.OneOrMore };
    private readonly Option<string> _out = new("--out", "-o") { Description = "Folder of the index", HelpName = "INDEX", Required = true };
    private readonly Option<string> _model = SharedOptions.Model();
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly Option<PictureSize?> _size = PictureSize.Optional("Side of the square to which each picture is resized, or 'native': each at its own size, one at a time [default: what the weights were made for]");
    private readonly Option<int> _batch = new("--batch") { Description = "Pictures computed at once", HelpName = "N", DefaultValueFactory = _ => 8 };

    private readonly Option<long?> _maxMemory = ResolutionOptions.MaxMemory("Most memory to use, for example 2GB: fewer pictures are then computed at once");

    public IndexUpdateVerb(string name, string description)
        : base(name, description, $"dino index {name} photos/ --out photos.index --model dinov3-vits16")
    {
        _batch.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError("--batch must be at least 1");
        });
        Add(_paths);
        Add(_out);
        Add(_model);
        Add(_compute);
        Add(_size);
        Add(_batch);
        Add(_maxMemory);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string folder = arguments.GetValue(_out)!;
        string[] paths = arguments.GetValue(_paths)!, files = PhotoFeatures.Files(paths, mayBeEmpty: File.Exists(IndexManifest.PathIn(folder)));
        PictureSize? size = arguments.GetValue(_size);
        ComputeType compute = arguments.GetValue(_compute);
        if (compute == ComputeType.Auto && File.Exists(IndexManifest.PathIn(folder))) compute = Enum.Parse<ComputeType>(IndexManifest.Read(folder).Settings.Compute); // what auto took when it was made, it may not take again
        using DinoModel model = DinoModel.Load(arguments.GetValue(_model)!, new DinoModelOptions { Compute = compute, Device = SharedOptions.Device(arguments) }, cancel);
        var options = new EmbedOptions { ImageSizePixels = size?.Pixels, NativeSize = size is { Pixels: null }, BatchSize = arguments.GetValue(_batch) };
        (int width, int height) = Largest(files);
        (int batch, long peak) = model.PlanEmbedding(options, width, height, arguments.GetValue(_maxMemory));
        if (arguments.GetValue(_maxMemory) is not null) output.Note($"memory: {batch} pictures at once, about {ExtractionPlan.Words(peak)}");
        var settings = new IndexSettings(model.Name, model.Fingerprint, options.Pooling.ToString(), options.ImageSizePixels, model.Compute.ToString(), options.NativeSize);
        var time = Stopwatch.StartNew();
        (IndexUpdate update, int total) = await output.WithProgressAsync("indexing", files.Length, progress => Task.Run(() =>
        {
            using (IndexWriter writer = IndexWriter.Open(folder, settings))
            {
                IndexUpdate done = writer.Update(files, batch, batches => model.EmbedBatches(batches, options, cancel).Select(Pairs), Name == "build" ? [.. paths.Where(Directory.Exists)] : null, progress, cancel);
                using ImageIndex index = ImageIndex.Open(folder);
                return (done, index.Items.Count);
            }
        }, CancellationToken.None));
        foreach (ImageException skipped in update.Skipped) output.Warn($"skipped {skipped.Name}: {skipped.Cause}");
        double seconds = time.Elapsed.TotalSeconds;
        output.Show(
            new
            {
                output = folder,
                memory = new { estimatedBytes = peak, measuredBytes = System.Diagnostics.Process.GetCurrentProcess().PeakWorkingSet64, limitBytes = arguments.GetValue(_maxMemory) },
                count = total,
                embedded = update.Embedded,
                reused = update.Reused,
                unchanged = update.Unchanged,
                removed = update.Removed,
                seconds = Math.Round(seconds, 3),
                skipped = update.Skipped.Select(s => new { path = s.Name, reason = s.Cause }),
            },
            [$"{folder}: {total} pictures ({update.Embedded} computed, {update.Reused} known by content, {update.Unchanged} unchanged, {update.Removed} gone, {update.Skipped.Count} skipped; {update.Embedded / seconds:0.0} pictures/s)"]);
        return update.Skipped.Count > 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    // The longest files hold the largest pictures, nearly always; to open all of a million would take minutes.
    private static (int Width, int Height) Largest(string[] files)
    {
        (int Width, int Height) largest = (1, 1);
        foreach (string file in files.OrderByDescending(file => new FileInfo(file) is { Exists: true } found ? found.Length : 0).Take(MostOpened))
        {
            try
            {
                ImageInfo info = ImageFile.ReadInfo(file);
                if ((long)info.Width * info.Height > (long)largest.Width * largest.Height) largest = (info.Width, info.Height);
            }
            catch (ImageException)
            {
                // It will be skipped, and told, when its turn comes.
            }
        }

        return largest;
    }

    private static IReadOnlyList<(float[]? Vector, ImageException? Error)> Pairs(IReadOnlyList<ImageEmbedding> batch) => [.. batch.Select(e => (e.Vector, e.Error))];
}
