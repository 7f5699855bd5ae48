namespace DinoSharp.Images;

/// <summary>Whether a picture is scaled to 0 … 1 before or after it is resized, and in which arithmetic: three orders are in use, with slightly different pixels.</summary>
public enum ResizeOrder
{
    /// <summary>To 0 … 1 first, resized in float, never rounded: the Hugging Face processor.</summary>
    ScaleThenResize,

    /// <summary>Resized in 8 bit by the uint8 tensor kernel, then to 0 … 1: official evaluation and the model card.</summary>
    ResizeThenScale,

    /// <summary>Resized in 8 bit by Pillow, then to 0 … 1: the official notebooks and training.</summary>
    PillowThenScale,
}

/// <summary>
/// Everything between the pixels of a picture and the input of a model. Immutable; travels with the weights, because features are only right
/// with the preprocessing the weights were made for.
/// </summary>
public sealed record Preprocessing
{
    internal const int MaxSide = 65536;

    /// <summary>What Hugging Face's processor does for DINOv3 (LVD weights): 224 × 224, bilinear, in float.</summary>
    public static Preprocessing HuggingFace { get; } = new();

    /// <summary>What the official evaluation does: shorter side 256 bicubic in 8 bit, centre crop 224.</summary>
    public static Preprocessing Evaluation { get; } = new()
    {
        Order = ResizeOrder.ResizeThenScale,
        Interpolation = Interpolation.Bicubic,
        Size = SizePolicy.ShorterSide(256),
        CenterCropPixels = 224,
    };

    /// <summary>What the official notebooks do: height 768, bilinear as Pillow does it.</summary>
    public static Preprocessing Notebook { get; } = new() { Order = ResizeOrder.PillowThenScale, Size = SizePolicy.FixedHeight(768) };

    /// <summary>Mean and deviation of the weights. A model with another number of channels has another number of these.</summary>
    public Normalization Normalization { get; init; } = Normalization.Lvd;

    /// <summary>When and in which arithmetic pixels are resized.</summary>
    public ResizeOrder Order { get; init; } = ResizeOrder.ScaleThenResize;

    /// <summary>How pixels are resized.</summary>
    public Interpolation Interpolation { get; init; } = Interpolation.Bilinear;

    /// <summary>The size pictures are brought to.</summary>
    public SizePolicy Size { get; init; } = SizePolicy.Square(224);

    /// <summary>Side of the square that is cut out of the middle after resizing; null for none. A smaller picture is padded with black.</summary>
    public int? CenterCropPixels { get; init; }

    /// <summary>The patch size of the model; both sides of its input must be multiples. 1 allows any size, for a model that pads by itself.</summary>
    public int PatchSizePixels { get; init; } = 16;

    /// <summary>Largest input in pixels; keeping the aspect of a 3000 × 1 strip would ask for gigabytes.</summary>
    public long MaxInputPixels { get; init; } = 1 << 26;

    /// <summary>Reads the <c>preprocessor_config.json</c> of a Hugging Face model.</summary>
    /// <param name="path">The file, or the folder that holds it.</param>
    /// <exception cref="DinoSharpException">No such file, not JSON, or a step that is not supported.</exception>
    public static Preprocessing ReadHuggingFace(string path) => HuggingFaceProcessor.Read(path);

    /// <summary>Reads an image file and prepares it.</summary>
    /// <param name="source">A path, or bytes.</param>
    /// <param name="options">How to read it; null for the defaults.</param>
    /// <returns>float32 [C, H, W]; the caller disposes it.</returns>
    /// <exception cref="ImageException">The file cannot be read, or no legal size results.</exception>
    public ImageTensor Load(ImageSource source, ImageReadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        ImageBuffer image = ImageFile.Read(source, options ?? ImageReadOptions.Default, pooled: true);
        try
        {
            return Apply(image, options);
        }
        finally
        {
            image.Return();
        }
    }

    /// <summary>
    /// Reads and prepares many images on several threads ahead of the caller, and hands them over in the given order. An image that cannot be used
    /// is handed over as an error and stops nothing.
    /// </summary>
    /// <param name="sources">Paths or bytes; enumerated as needed, on the caller's thread.</param>
    /// <param name="options">How to read them; null for the defaults.</param>
    /// <param name="parallelism">Images worked on at once; 0 for the number of processors.</param>
    /// <param name="ahead">Most images that are finished or under way beyond the one handed over; bounds memory. 0 for twice the parallelism.</param>
    /// <param name="cancellationToken">Stops reading; the enumeration then throws.</param>
    /// <returns>A lazy sequence; the caller disposes each item. Leaving it early disposes what was prepared in vain.</returns>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public IEnumerable<LoadedImage> LoadAll(
        IEnumerable<ImageSource> sources, ImageReadOptions? options = null, int parallelism = 0, int ahead = 0, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(sources);
        ArgumentOutOfRangeException.ThrowIfNegative(parallelism);
        ArgumentOutOfRangeException.ThrowIfNegative(ahead);
        parallelism = parallelism > 0 ? parallelism : Environment.ProcessorCount;
        return ImageLoader.Run(this, sources, options, parallelism, ahead > 0 ? ahead : 2 * parallelism, cancellationToken);
    }

    /// <summary>Prepares a picture.</summary>
    /// <param name="image">Any picture; it becomes 8-bit RGB for a model of three channels, otherwise its bands are taken as they are.</param>
    /// <param name="options">Bands and value range to use; null for the defaults.</param>
    /// <returns>float32 [C, H, W]; the caller disposes it.</returns>
    /// <exception cref="ImageException">No legal size results, or bands are missing.</exception>
    public ImageTensor Apply(ImageBuffer image, ImageReadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(image);
        return new PreprocessingRun(this, image, options ?? ImageReadOptions.Default).Run();
    }

    /// <summary>Refuses a size that is illegal for every picture, so that it is told once and not as the fault of each picture. What depends on the picture is left to it.</summary>
    /// <exception cref="DinoSharpException">The size is no multiple of the patch size, or too large; the message names the nearest legal ones.</exception>
    internal void RequireLegalSize()
    {
        if (Size.How != SizePolicy.Rule.Exact) return;
        try
        {
            Plan(Size.Width, Size.Height, "");
        }
        catch (ImageException e)
        {
            throw new DinoSharpException(e.Cause, e);
        }
    }

    /// <summary>The steps for a picture of a given size: resize, then cut or pad.</summary>
    /// <param name="width">Width of the upright picture.</param>
    /// <param name="height">Height of the upright picture.</param>
    /// <param name="name">A name for messages.</param>
    /// <exception cref="ImageException">The input would have an illegal size; the message names legal ones.</exception>
    internal (int ResizedWidth, int ResizedHeight, PixelWindow Cut) Plan(int width, int height, string name)
    {
        int patch = PatchSizePixels;
        if (patch < 1) throw new DinoSharpException($"the patch size must be at least 1 pixel, not {patch}");
        (long w, long h) = Size.Target(width, height, patch);
        PixelWindow cut = new(0, 0, (int)Math.Min(w, int.MaxValue), (int)Math.Min(h, int.MaxValue));
        if (w < 1 || h < 1) throw new ImageException(name, $"{width}×{height} becomes {w}×{h} by the policy {Size}, which is empty; use a square size for so narrow a picture");
        if (w > MaxSide || h > MaxSide || w * h > MaxInputPixels)
            throw new ImageException(name, $"{width}×{height} becomes {w:N0}×{h:N0} by the policy {Size}, more than {MaxInputPixels:N0} pixels or {MaxSide:N0} a side; use a smaller or a square size");
        if (CenterCropPixels is { } crop)
        {
            if (crop < 1) throw new DinoSharpException($"the centre crop must be at least 1 pixel, not {crop}");
            cut = new PixelWindow(CropStart(w, crop), CropStart(h, crop), crop, crop);
        }
        else if (Size.How == SizePolicy.Rule.Native)
        {
            cut = cut with { Width = cut.Width / patch * patch, Height = cut.Height / patch * patch };
            if (cut.Width == 0 || cut.Height == 0)
                throw new ImageException(name, $"{width}×{height} is smaller than one patch of {patch}×{patch} pixels; use a size policy that scales it up, for example {nameof(SizePolicy)}.{nameof(SizePolicy.Square)}({14 * patch})");
        }

        if (cut.Width % patch != 0 || cut.Height % patch != 0)
        {
            string source = CenterCropPixels is not null ? $"the centre crop is {cut.Width}×{cut.Height}"
                : Size.How == SizePolicy.Rule.Exact ? $"the input is to be {cut.Width}×{cut.Height}"
                : $"the policy {Size} makes {width}×{height} into {cut.Width}×{cut.Height}";
            throw new ImageException(name, $"{source}, but both sides must be multiples of the patch size {patch}; the nearest legal sizes are {Nearest(cut.Width)} wide and {Nearest(cut.Height)} high");
        }

        return ((int)w, (int)h, cut);

        // Half to even: a margin of 5 gives 2, of 7 gives 4. A smaller picture is padded: the odd pixel at the far side.
        static int CropStart(long length, int crop) => length >= crop ? (int)Math.Round((length - crop) / 2.0, MidpointRounding.ToEven) : -(int)((crop - length) / 2);

        string Nearest(int side) => side % patch == 0 ? $"{side}" : side < patch ? $"{patch}" : $"{side / patch * patch} or {(side / patch + 1) * patch}";
    }
}
