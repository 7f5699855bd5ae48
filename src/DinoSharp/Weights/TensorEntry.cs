using System.Collections.Immutable;

namespace DinoSharp.Weights;

/// <summary>What a file says about one of its tensors.</summary>
/// <param name="Name">Key in the file; nested dictionaries are joined by dots.</param>
/// <param name="Type">Number format of the elements.</param>
/// <param name="Shape">Size of every axis; empty for a scalar.</param>
public sealed record TensorEntry(string Name, ElementType Type, ImmutableArray<long> Shape)
{
    /// <summary>Number of elements: the product of <see cref="Shape"/>.</summary>
    public long ElementCount => Shape.Aggregate(1L, (product, size) => checked(product * size));

    /// <summary>Size of the elements in bytes.</summary>
    public long ByteCount => checked(ElementCount * Type.Bytes());

    /// <summary>The shape as text, e.g. <c>[384, 3, 16, 16]</c>.</summary>
    public string ShapeText => $"[{string.Join(", ", Shape)}]";

    /// <summary>Name, type and shape on one line.</summary>
    public override string ToString() => $"{Name} {Type.SafetensorsName()} {ShapeText}";

    /// <summary>Size in bytes of a shape from an untrusted file; null if an axis is negative or the size overflows.</summary>
    internal static long? ByteCountOf(ElementType type, ReadOnlySpan<long> shape)
    {
        // Empty axes count as one for the overflow check: libtorch multiplies strides that way.
        UInt128 product = (UInt128)type.Bytes();
        bool empty = false;
        foreach (long size in shape)
        {
            if (size < 0) return null;
            empty |= size == 0;
            product *= (UInt128)Math.Max(size, 1);
            if (product > long.MaxValue) return null;
        }

        return empty ? 0 : (long)product;
    }
}
