using DinoSharp.Images;

namespace DinoSharp.Training.Data;

/// <summary>A fixed, numbered set of images, perhaps with classes. All members may be called from any number of threads.</summary>
public abstract class ImageDataset
{
    /// <summary>What it is, for messages and reports.</summary>
    public abstract string Name { get; }

    /// <summary>Number of images.</summary>
    public abstract int Count { get; }

    /// <summary>Names of the classes; empty if the images have none.</summary>
    public virtual IReadOnlyList<string> Classes => [];

    /// <summary>Class of an image, an index into <see cref="Classes"/>; null if it has none.</summary>
    /// <param name="index">0 … <see cref="Count"/> − 1.</param>
    public virtual int? LabelOf(int index) => null;

    /// <summary>Path or name of an image.</summary>
    /// <param name="index">0 … <see cref="Count"/> − 1.</param>
    public abstract string PathOf(int index);

    /// <summary>Reads and decodes an image.</summary>
    /// <param name="index">0 … <see cref="Count"/> − 1.</param>
    /// <exception cref="ImageException">The file is gone, damaged or no image; the message names it.</exception>
    public abstract ImageBuffer Read(int index);

    /// <summary>The file behind an image, for who goes by its content; null if there is none (drawn scenes), or if it is read in a special way.</summary>
    internal virtual ImageSource? FileOf(int index) => null;

    /// <summary>What tells this data set from one of other images, or of the same in another order: the names of all, or less where less is enough.</summary>
    internal virtual IEnumerable<string> Identity => Enumerable.Range(0, Count).Select(PathOf);

    /// <summary>The images among which a substitute for one that cannot be read is chosen: those of the same source, so that a mixture keeps its shares.</summary>
    internal virtual Range SourceOf(int index) => 0..Count;

    /// <summary>
    /// Opens what a line of text describes: a folder, tar shards, a manifest; one of the field's dataset strings (<c>ImageNet:split=TRAIN:root=…</c>); <c>Synthetic:</c>;
    /// or a mixture of these, <c>0.75 * A + 0.25 * B</c>. Of a folder with tar shards and pictures beside them, the ones of which there are more are taken (<c>Tar:root=…</c> and
    /// <c>Folder:root=…</c> say which).
    /// </summary>
    /// <param name="description">The line.</param>
    /// <param name="reading">How files are read; null for the defaults. (The original ignores the EXIF orientation; the default here follows it.)</param>
    /// <exception cref="DinoSharpException">The line cannot be understood, or what it names is not there or empty.</exception>
    public static ImageDataset Open(string description, ImageReadOptions? reading = null) => DatasetString.Open(description, reading ?? new ImageReadOptions());
}
