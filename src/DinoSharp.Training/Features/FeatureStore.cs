using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Images;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Training.Features;

/// <summary>Which features of a picture are kept.</summary>
public enum FeatureKind
{
    /// <summary>Class token and mean patch of each layer, in float32.</summary>
    Pooled,

    /// <summary>Class token in float32 and every patch in float16, which rounds by up to 0.05 %.</summary>
    Dense,
}

/// <summary>A picture whose features lie in the store.</summary>
/// <param name="Path">Its file.</param>
/// <param name="Hash">SHA-256 of its content.</param>
/// <param name="Mirrored">Whether the features are those of the picture seen in a mirror, left and right exchanged.</param>
public sealed record StoredImage(string Path, string Hash, bool Mirrored = false)
{
    /// <summary>Where its patches lie, so that targets can be made without its features.</summary>
    internal PatchGrid Grid { get; init; } = PatchGrid.None;
}

/// <summary>
/// Features of pictures on disk, so that whoever fits a second head, or the same one again, does not wait for the backbone. An entry belongs to the content of the
/// picture (not its name), the weights of the backbone, the preprocessing and the layer: if one of them changes, features are computed afresh. Damaged entries are too.
/// </summary>
/// <remarks>Lies in <c>features</c> below <c>DINOSHARP_CACHE</c>, else below <c>dinosharp</c> in the user's cache folder, and may be deleted at any time. Several processes may use it at once.</remarks>
public sealed class FeatureStore
{
    private readonly DinoModel _model;
    private readonly HeadInput _input;
    private readonly FeatureKind _kind;
    private readonly int _batch;

    /// <summary>Opens the store for one backbone and one way of looking.</summary>
    /// <param name="model">The backbone; must live as long as the store is used.</param>
    /// <param name="input">Layers, preprocessing and fit.</param>
    /// <param name="kind">What to keep.</param>
    /// <param name="folder">Where; null: the usual folder.</param>
    /// <param name="batchSize">Pictures of equal size that go through the backbone together.</param>
    public FeatureStore(DinoModel model, HeadInput input, FeatureKind kind, string? folder = null, int batchSize = 8)
    {
        input.Validate(model.Backbone);
        input.Preprocessing.RequireLegalSize();
        (_model, _input, _kind, _batch) = (model, input, kind, batchSize);
        Folder = Path.Combine(folder ?? DefaultFolder, Key());
    }

    /// <summary>The folder of all stores.</summary>
    public static string DefaultFolder => Path.Combine(WeightFolders.Find().Own, "features");

    /// <summary>The folder of this store.</summary>
    public string Folder { get; }

    /// <summary>Whether pictures are read as their pixels are stored, whatever their EXIF orientation asks for: the grid of their annotations.</summary>
    internal bool AsStored { get; init; }

    /// <summary>How many pictures went through the backbone so far.</summary>
    public int Computed { get; private set; }

    /// <summary>Makes sure that the features of pictures are in the store.</summary>
    /// <param name="paths">Files of the pictures.</param>
    /// <param name="progress">Told how many are there so far.</param>
    /// <param name="cancel">Stops between batches; what was computed stays in the store.</param>
    /// <param name="mirrored">Whether the pictures are seen in a mirror.</param>
    /// <returns>For each path in order the stored picture, or null if it cannot be read, and all errors.</returns>
    /// <exception cref="DinoSharpException">The folder of the store cannot be written.</exception>
    public (IReadOnlyList<StoredImage?> Images, IReadOnlyList<ImageException> Errors) Prepare(
        IReadOnlyList<string> paths, IProgress<long>? progress = null, CancellationToken cancel = default, bool mirrored = false) =>
        Prepare(paths.Count, i => AsStored ? ImageSource.Stored(paths[i]) : paths[i], progress, cancel, mirrored);

    /// <summary>Makes sure that the features of pictures are in the store; the pictures need not be files of their own.</summary>
    /// <param name="count">How many there are.</param>
    /// <param name="source">Gives each.</param>
    /// <param name="progress">Told how many are there so far.</param>
    /// <param name="cancel">Stops between batches; what was computed stays in the store.</param>
    /// <param name="mirrored">Whether the pictures are seen in a mirror.</param>
    /// <returns>As for files.</returns>
    /// <exception cref="DinoSharpException">The folder of the store cannot be written.</exception>
    internal (IReadOnlyList<StoredImage?> Images, IReadOnlyList<ImageException> Errors) Prepare(
        int count, Func<int, ImageSource> source, IProgress<long>? progress, CancellationToken cancel, bool mirrored = false)
    {
        var images = new StoredImage?[count];
        var errors = new List<ImageException>();
        var missing = new List<int>();
        var waiting = new List<(int Index, ImageTensor Input)>();
        long done = 0;
        try
        {
            foreach (LoadedImage loaded in _input.Preprocessing.LoadAll(Missing(), cancellationToken: cancel))
            {
                int index = missing[loaded.Index];
                if (loaded.Image is null)
                {
                    images[index] = null;
                    errors.Add(loaded.Error as ImageException ?? new ImageException(source(index).Name, loaded.Error!.Message));
                    progress?.Report(++done);
                    continue;
                }

                if (waiting.Count > 0 && !waiting[0].Input.Tensor.shape.SequenceEqual(loaded.Image.Tensor.shape)) Compute();
                waiting.Add((index, loaded.Image));
                if (waiting.Count == _batch) Compute();
            }

            if (waiting.Count > 0) Compute();
        }
        finally
        {
            foreach ((_, ImageTensor input) in waiting) input.Dispose();
        }

        return (images, errors);

        // Hashes files as they are asked for, and hands on those that are not in the store.
        IEnumerable<ImageSource> Missing()
        {
            for (int i = 0; i < count; i++)
            {
                cancel.ThrowIfCancellationRequested();
                ImageSource picture;
                string hash;
                try
                {
                    picture = source(i);
                    picture = picture.With(picture.Read());
                    hash = Convert.ToHexStringLower(SHA256.HashData(picture.Read().Span));
                    if (picture.AsStored && ImageFile.ReadInfo(picture).Orientation > 1) hash = hash[..^6] + "stored"; // upright it is another picture
                }
                catch (ImageException error)
                {
                    errors.Add(error);
                    progress?.Report(++done);
                    continue;
                }

                var image = new StoredImage(picture.Name, hash, mirrored);
                images[i] = image;
                if (TryLoad(image) is { } found)
                {
                    images[i] = image with { Grid = found.Grid };
                    found.Dispose();
                    progress?.Report(++done);
                    continue;
                }

                missing.Add(i);
                yield return picture;
            }
        }

        void Compute()
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            using var quiet = no_grad();
            Tensor pixels = stack(waiting.Select(w => w.Input.Tensor)); // [B, C, H, W]
            HeadFeatures features = HeadFeatures.Compute(_model.Backbone, mirrored ? pixels.flip(3) : pixels, _input, _input.Layers);
            for (int i = 0; i < waiting.Count; i++)
            {
                StoredImage image = images[waiting[i].Index]!;
                Write(image, waiting[i].Input.Geometry, features, i);
                (LayerFeatures first, Tensor seen) = (features.Layers[0], features.Images);
                images[waiting[i].Index] = image with { Grid = new PatchGrid(waiting[i].Input.Geometry, (int)seen.shape[2], (int)seen.shape[3], first.GridHeight, first.GridWidth) };
            }

            Computed += waiting.Count;
            done += waiting.Count;
            progress?.Report(done);
            foreach ((_, ImageTensor input) in waiting) input.Dispose();
            waiting.Clear();
        }
    }

    /// <summary>The features of a picture; the caller disposes them.</summary>
    /// <param name="image">From <see cref="Prepare(IReadOnlyList{string}, IProgress{long}?, CancellationToken, bool)"/>.</param>
    /// <exception cref="DinoSharpException">The entry is gone.</exception>
    public StoredFeatures Load(StoredImage image) => TryLoad(image) ?? throw new DinoSharpException($"the stored features of {image.Path} are gone from {Folder}; was the folder deleted meanwhile? Run the command again");

    private StoredFeatures? TryLoad(StoredImage image)
    {
        var layers = new List<LayerFeatures>();
        (ImageGeometry Geometry, int FittedHeight, int FittedWidth, LayerFeatures Layer)? entry = null;
        foreach (int layer in _input.Layers)
        {
            try
            {
                entry = FeatureFile.Decode(File.ReadAllBytes(EntryPath(image, layer)));
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                entry = null;
            }

            if (entry is null)
            {
                foreach (LayerFeatures read in layers) read.Dispose();
                return null;
            }

            layers.Add(entry.Value.Layer);
        }

        return new StoredFeatures(entry!.Value.Geometry, entry.Value.FittedHeight, entry.Value.FittedWidth, layers);
    }

    private void Write(StoredImage image, ImageGeometry geometry, HeadFeatures features, int index)
    {
        foreach (LayerFeatures layer in features.Layers)
        {
            using var scope = NewDisposeScope();
            Tensor classToken = layer.ClassToken.narrow(0, index, 1), patches = layer.Patches.narrow(0, index, 1); // [1, D], [1, P, D]
            if (!patches.isfinite().all().item<bool>()) throw new DinoSharpException($"{_model.Name} gives numbers that are not finite (NaN or infinity) on {image.Path}; the weights may be damaged: try 'dino info' on them");
            bool pooled = _kind == FeatureKind.Pooled;
            LayerFeatures kept = pooled
                ? new LayerFeatures(layer.Layer, classToken, layer.Registers, patches.mean([1], keepdim: true), 1, 1)
                : new LayerFeatures(layer.Layer, classToken, layer.Registers, patches, layer.GridHeight, layer.GridWidth);
            string path = EntryPath(image, layer.Layer), temporary = $"{path}.{Guid.NewGuid():N}.tmp";
            try
            {
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                File.WriteAllBytes(temporary, FeatureFile.Encode(geometry, (int)features.Images.shape[2], (int)features.Images.shape[3], kept, half: !pooled));
                File.Move(temporary, path, overwrite: true);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                File.Delete(temporary);
                throw new DinoSharpException($"{Folder}: the features cannot be kept there: {error.Message}; make room, or name another folder with --cache or DINOSHARP_CACHE", error);
            }
        }
    }

    private string EntryPath(StoredImage image, int layer) => Path.Combine(Folder, image.Hash[..2], $"{image.Hash}{(image.Mirrored ? "m" : "")}.{layer.ToString(CultureInfo.InvariantCulture)}");

    private string Key()
    {
        Preprocessing p = _input.Preprocessing;
        BackboneFingerprint backbone = BackboneFingerprint.Of(_model.Backbone, "");
        string text = string.Join(
            '|',
            (object[])[
                backbone.Architecture, Join(backbone.Samples), _model.Compute, _kind, _input.Fit, _input.MultiplePixels, p.Order, p.Interpolation, p.Size.How, p.Size.Width, p.Size.Height, p.CenterCropPixels ?? 0,
                p.PatchSizePixels, p.MaxInputPixels, Join(p.Normalization.Mean), Join(p.Normalization.Std),
            ]);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];

        static string Join(IEnumerable<float> numbers) => string.Join(',', numbers.Select(n => n.ToString("R", CultureInfo.InvariantCulture)));
    }
}
