using DinoSharp.Images;

namespace DinoSharp.Heads.Segmentation;

/// <summary>How much of a picture belongs to a class.</summary>
/// <param name="Index">Index of the class.</param>
/// <param name="Name">Its name.</param>
/// <param name="Fraction">Part of the pixels, 0..1.</param>
public sealed record ClassShare(int Index, string Name, double Fraction);

/// <summary>A class for every pixel of a picture. Plain memory.</summary>
public sealed class SemanticSegmentation
{
    internal SemanticSegmentation(LabelMap labels, ClassNames classes) => (Labels, Classes) = (labels, classes);

    /// <summary>Index of the class at each pixel.</summary>
    public LabelMap Labels { get; }

    /// <summary>Names of the classes.</summary>
    public ClassNames Classes { get; }

    /// <summary>The classes that occur, the largest first.</summary>
    public IReadOnlyList<ClassShare> Shares
    {
        get
        {
            int[] counts = new int[256];
            foreach (byte id in Labels.Values) counts[id]++;
            double pixels = Labels.Values.Length;
            return [.. Enumerable.Range(0, 256).Where(i => counts[i] > 0).OrderByDescending(i => counts[i]).Select(i => new ClassShare(i, Classes[i], counts[i] / pixels))];
        }
    }

    /// <summary>The name of the class at a pixel.</summary>
    /// <param name="x">Column, 0 to width - 1.</param>
    /// <param name="y">Row, 0 to height - 1.</param>
    public string this[int x, int y] => (uint)x < (uint)Labels.Width && (uint)y < (uint)Labels.Height
        ? Classes[Labels.Values[(y * Labels.Width) + x]]
        : throw new ArgumentOutOfRangeException(nameof(x), $"the pixel {x},{y} is outside of {Labels.Width}x{Labels.Height} pixels");

    /// <summary>The picture with every class tinted in a colour of its own and outlined.</summary>
    /// <param name="picture">8-bit RGB of the same size.</param>
    /// <param name="opacity">Share of the tint, 0..1.</param>
    public ImageBuffer Overlay(ImageBuffer picture, double opacity = 0.5)
    {
        // An overlay leaves the id 0 untinted, but here 0 is a class like any other.
        byte[] shifted = [.. Labels.Values.ToArray().Select(id => (byte)Math.Min(id + 1, byte.MaxValue))];
        return new LabelMap(Labels.Width, Labels.Height, shifted).Overlay(picture, opacity);
    }
}
