using System.Collections;
using System.Collections.Immutable;

namespace DinoSharp.Heads;

/// <summary>Names of classes by index. An index without a name is called <c>class 17</c>.</summary>
public sealed class ClassNames : IReadOnlyList<string>
{
    private readonly ImmutableArray<string> _names;

    /// <summary>Names in the order of their indices; an empty name stands for an unused index.</summary>
    /// <param name="names">One name for each index.</param>
    public ClassNames(IEnumerable<string> names) => _names = [.. names];

    /// <summary>The 1000 classes of ImageNet-1k (names as in TensorFlow.js models, Apache-2.0).</summary>
    public static ClassNames ImageNet => Resource("imagenet-1k");

    /// <summary>The 150 classes of ADE20K (SceneParse150), without the label 0 of the data set.</summary>
    public static ClassNames Ade20K => Resource("ade20k-150");

    /// <summary>The categories of COCO by their ids 0 to 90; 80 of them are used.</summary>
    public static ClassNames Coco => Resource("coco-91");

    /// <summary>The 19 classes of Cityscapes by their training ids.</summary>
    public static ClassNames Cityscapes => Resource("cityscapes-19");

    /// <summary>Number of indices.</summary>
    public int Count => _names.Length;

    /// <summary>The name of an index.</summary>
    /// <param name="index">0 or more.</param>
    public string this[int index] => index < _names.Length && _names[index].Length > 0 ? _names[index] : $"class {index}";

    /// <summary>Names without a meaning: <c>class 0</c> and following.</summary>
    /// <param name="count">How many.</param>
    public static ClassNames Numbered(int count) => new(Enumerable.Repeat("", count));

    /// <summary>Reads a file with one name on each line, the first line being index 0.</summary>
    /// <param name="path">A text file in UTF-8; empty lines are unused indices.</param>
    /// <exception cref="DinoSharpException">The file cannot be read or is empty.</exception>
    public static ClassNames Read(string path)
    {
        try
        {
            string[] lines = File.ReadAllLines(path);
            return lines.Length > 0 ? new ClassNames(lines.Select(l => l.Trim())) : throw new DinoSharpException($"{path}: is empty; expected the name of a class on each line");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{path}: the class names cannot be read: {error.Message}", error);
        }
    }

    /// <summary>The index of a name, ignoring case; null if there is none.</summary>
    /// <param name="name">As in the list.</param>
    public int? IndexOf(string name)
    {
        for (int i = 0; i < Count; i++)
        {
            if (string.Equals(this[i], name, StringComparison.OrdinalIgnoreCase)) return i;
        }

        return null;
    }

    /// <inheritdoc/>
    public IEnumerator<string> GetEnumerator() => Enumerable.Range(0, Count).Select(i => this[i]).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private static ClassNames Resource(string name)
    {
        using var reader = new StreamReader(typeof(ClassNames).Assembly.GetManifestResourceStream($"DinoSharp.{name}.txt")!);
        return new ClassNames(reader.ReadToEnd().TrimEnd('\n').Split('\n'));
    }
}
