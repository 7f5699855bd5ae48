using System.Collections.Immutable;
using System.Runtime.InteropServices;
using DinoSharp.Images;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>The smallest rectangle of pixels around all visible pixels of an object.</summary>
/// <param name="Left">First column.</param>
/// <param name="Top">First row.</param>
/// <param name="Width">Columns.</param>
/// <param name="Height">Rows.</param>
public readonly record struct SyntheticBox(int Left, int Top, int Width, int Height);

/// <summary>An object of a synthetic picture, at least one pixel of which is visible.</summary>
/// <param name="Id">Its value in <see cref="SyntheticImage.Instances"/>; the same in every picture of a pair, clip or change.</param>
/// <param name="Label">Its class, an index into <see cref="SyntheticClasses.Names"/>.</param>
/// <param name="Box">Around its visible pixels.</param>
/// <param name="VisiblePixels">Pixels where it is seen.</param>
/// <param name="PixelsInFrame">Pixels of the picture where it would be seen if nothing were in front of it.</param>
public sealed record SyntheticObject(int Id, int Label, SyntheticBox Box, int VisiblePixels, int PixelsInFrame)
{
    /// <summary>Name of its class.</summary>
    public string Name => SyntheticClasses.Names[Label];
}

/// <summary>A computed picture with everything that is true about it, exact at every pixel centre.</summary>
public sealed class SyntheticImage
{
    internal SyntheticImage(Renderer renderer, int label, string name)
    {
        Renderer = renderer;
        Label = label;
        Camera = renderer.Camera;
        IReadOnlyList<Thing> things = renderer.Scene.Things;
        int pixels = Width * Height;
        (ushort[] instances, byte[] semantic, float[] depth) = (new ushort[pixels], new byte[pixels], new float[pixels]);
        for (int i = 0; i < pixels; i++)
        {
            int part = renderer.Part[i];
            if (part < 0) continue;
            Thing thing = things[renderer.Parts[part].Thing];
            (instances[i], semantic[i], depth[i]) = ((ushort)thing.Id, (byte)thing.Semantic, renderer.Depth[i]);
        }

        Instances = ImmutableCollectionsMarshal.AsImmutableArray(instances);
        SemanticMap = ImmutableCollectionsMarshal.AsImmutableArray(semantic);
        Depth = ImmutableCollectionsMarshal.AsImmutableArray(depth);
        Objects = FindObjects(renderer, instances);
        Image = Picture(renderer, name);
    }

    /// <summary>The picture alone, for those who need no truth.</summary>
    internal static ImageBuffer Picture(Renderer renderer, string name)
    {
        var info = new ImageInfo { Name = name, Width = renderer.Camera.Width, Height = renderer.Camera.Height, Channels = 3, SampleType = SampleType.UInt8, Color = ColorModel.Rgb };
        return new ImageBuffer(info, new Shading(renderer).Draw());
    }

    /// <summary>The picture, 8-bit RGB.</summary>
    public ImageBuffer Image { get; }

    /// <summary>Class of the picture: that of its main object, an index into <see cref="SyntheticClasses.Names"/>.</summary>
    public int Label { get; }

    /// <summary>Name of the class.</summary>
    public string LabelName => SyntheticClasses.Names[Label];

    /// <summary>Width in pixels.</summary>
    public int Width => Camera.Width;

    /// <summary>Height in pixels.</summary>
    public int Height => Camera.Height;

    /// <summary>The camera that saw it.</summary>
    public SyntheticCamera Camera { get; }

    /// <summary>Number of the object seen at each pixel centre, 0 for none (sky, ground, walls, hills). [H · W]</summary>
    public ImmutableArray<ushort> Instances { get; }

    /// <summary>Index into <see cref="SyntheticClasses.SemanticNames"/> of what is seen at each pixel centre. [H · W]</summary>
    public ImmutableArray<byte> SemanticMap { get; }

    /// <summary>Distance along the camera's axis at each pixel centre in metres; 0 where nothing is. [H · W]</summary>
    public ImmutableArray<float> Depth { get; }

    /// <summary>The objects that are visible, by number.</summary>
    public IReadOnlyList<SyntheticObject> Objects { get; }

    internal Renderer Renderer { get; }

    private List<SyntheticObject> FindObjects(Renderer renderer, ushort[] instances)
    {
        IReadOnlyList<Thing> things = renderer.Scene.Things;
        int count = things.Max(t => t.Id) + 1;
        int[] left = new int[count], top = new int[count], right = new int[count], bottom = new int[count];
        Array.Fill(left, int.MaxValue);
        Array.Fill(top, int.MaxValue);
        for (int i = 0; i < instances.Length; i++)
        {
            int id = instances[i], x = i % Width, y = i / Width;
            (left[id], right[id]) = (Math.Min(left[id], x), Math.Max(right[id], x));
            (top[id], bottom[id]) = (Math.Min(top[id], y), Math.Max(bottom[id], y));
        }

        return [.. things.Select((thing, i) => (thing, i)).Where(t => t.thing.Id > 0 && renderer.VisiblePixels(t.i) > 0).OrderBy(t => t.thing.Id).Select(t =>
        {
            int id = t.thing.Id;
            var box = new SyntheticBox(left[id], top[id], right[id] - left[id] + 1, bottom[id] - top[id] + 1);
            return new SyntheticObject(id, SyntheticClasses.FromSemantic(t.thing.Semantic), box, renderer.VisiblePixels(t.i), renderer.PixelsInFrame(t.i));
        })];
    }
}
