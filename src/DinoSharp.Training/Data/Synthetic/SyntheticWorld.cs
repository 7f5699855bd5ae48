using DinoSharp.Images;
using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>What the synthetic world draws.</summary>
public sealed record SyntheticOptions
{
    /// <summary>Another seed is another world.</summary>
    public ulong Seed { get; init; }

    /// <summary>Width of a picture in pixels, 8 … 4096.</summary>
    public int Width { get; init; } = 256;

    /// <summary>Height of a picture in pixels, 8 … 4096.</summary>
    public int Height { get; init; } = 256;

    internal void Validate()
    {
        if (Width is < 8 or > 4096 || Height is < 8 or > 4096)
            throw new DinoSharpException($"a synthetic picture of {Width}×{Height} pixels cannot be drawn; each side must be between 8 and 4096");
    }
}

/// <summary>
/// Our own endless source of pictures: textured scenes, computed, not photographed. Objects stand in rooms and landscapes, float before backdrops or lie over each other like
/// leaves, under random light and camera. Every picture comes with the exact truth about it, and is a function of the seed and its index alone.
/// </summary>
/// <remarks>
/// The recipe follows the literature on learning from procedural pictures: dead leaves and textures (Baradad et al. 2021), fractals (Kataoka et al. 2020), shaders (Baradad et al. 2022).
/// All members may be called from any number of threads.
/// </remarks>
public sealed class SyntheticWorld
{
    // Streams of random numbers that have nothing in common.
    private const ulong SceneStream = 1;
    private const ulong LabelStream = 2;
    private const ulong ChangeStream = 3;

    // Share of the main object that must be visible, and of the picture that it must fill; else the scene is drawn again with less around it.
    private const float LeastVisible = 0.5f;
    private const float LeastFilled = 0.02f;
    private const int Attempts = 4;

    private readonly SyntheticOptions _options;

    /// <summary>Opens the world.</summary>
    /// <param name="options">Seed and size of the pictures; null for the defaults.</param>
    /// <exception cref="DinoSharpException">A size that cannot be drawn.</exception>
    public SyntheticWorld(SyntheticOptions? options = null)
    {
        _options = options ?? new SyntheticOptions();
        _options.Validate();
    }

    /// <summary>Class of a picture, an index into <see cref="SyntheticClasses.Names"/>: every run of 40 pictures starting at a multiple of 40 has each class once.</summary>
    /// <param name="index">Number of the picture, from 0.</param>
    public int LabelOf(long index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        int classes = SyntheticClasses.Names.Count;
        return new TorchRandom(TorchRandom.SeedOf(_options.Seed, LabelStream, (ulong)(index / classes))).Permutation(classes)[index % classes];
    }

    /// <summary>Draws a picture.</summary>
    /// <param name="index">Number of the picture, from 0.</param>
    public SyntheticImage Draw(long index)
    {
        (SceneScript _, Renderer renderer) = Compose(index, LabelOf(index));
        return new SyntheticImage(renderer, LabelOf(index), Name(index));
    }

    /// <summary>Draws a picture without collecting the truth about it.</summary>
    /// <param name="index">Number of the picture, from 0.</param>
    public ImageBuffer DrawPicture(long index) => SyntheticImage.Picture(Compose(index, LabelOf(index)).Renderer, Name(index));

    /// <summary>Draws one scene twice, from different places.</summary>
    /// <param name="index">Number of the scene, from 0.</param>
    /// <param name="movingObjects">Whether objects move between the pictures, too.</param>
    public SyntheticPair DrawPair(long index, bool movingObjects = false)
    {
        IReadOnlyList<SyntheticImage> images = DrawAt(index, [0, 1], movingObjects);
        return new SyntheticPair(images[0], images[1]);
    }

    /// <summary>Draws a clip.</summary>
    /// <param name="index">Number of the scene, from 0.</param>
    /// <param name="frames">How many frames, at least 2.</param>
    public SyntheticClip DrawClip(long index, int frames)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(frames, 2);
        return new SyntheticClip(DrawAt(index, [.. Enumerable.Range(0, frames).Select(i => (float)i / (frames - 1))], movingObjects: true));
    }

    /// <summary>Draws a place before and after one to four objects changed.</summary>
    /// <param name="index">Number of the scene, from 0.</param>
    public SyntheticChange DrawChange(long index)
    {
        var random = new TorchRandom(TorchRandom.SeedOf(_options.Seed, ChangeStream, (ulong)index));
        int label = (int)random.Integer(0, SyntheticClasses.SolidCount);
        (SceneScript script, Renderer before) = Compose(index, label);
        (Scene scene, IReadOnlySet<int> changed) = new SceneChange(random).Apply(script.Start);
        var after = new Renderer(scene, before.Camera);
        return new SyntheticChange(
            new SyntheticImage(before, label, $"Synthetic change {index}, before"),
            new SyntheticImage(after, label, $"Synthetic change {index}, after"),
            changed);
    }

    private List<SyntheticImage> DrawAt(long index, float[] times, bool movingObjects)
    {
        int label = LabelOf(index);
        (SceneScript script, Renderer first) = Compose(index, label);
        if (!movingObjects) script = script with { Motions = new Dictionary<int, Motion>() };
        var images = new List<SyntheticImage>();
        foreach (float time in times)
        {
            Renderer renderer = time == 0 ? first : new Renderer(script.At(time), script.Camera(time, _options.Width, _options.Height));
            images.Add(new SyntheticImage(renderer, label, FormattableString.Invariant($"{Name(index)}, time {time:0.###}")));
        }

        return images;
    }

    private string Name(long index) => $"Synthetic:seed={_options.Seed}, picture {index}";

    private (SceneScript Script, Renderer Renderer) Compose(long index, int label)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        for (int attempt = 0; ; attempt++)
        {
            var random = new TorchRandom(TorchRandom.SeedOf(_options.Seed, SceneStream, (ulong)index * Attempts + (ulong)attempt));
            SceneScript script = new SceneBuilder(random).Build(label, crowd: 1 - (float)attempt / (Attempts - 1));
            var renderer = new Renderer(script.Start, script.Camera(0, _options.Width, _options.Height));
            int visible = renderer.VisiblePixels(script.Main);
            bool shown = visible >= LeastVisible * renderer.PixelsInFrame(script.Main) && visible >= LeastFilled * _options.Width * _options.Height;
            if (shown || attempt == Attempts - 1) return (script, renderer);
        }
    }
}
