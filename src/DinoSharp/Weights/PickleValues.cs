namespace DinoSharp.Weights;

/// <summary>A dictionary of a pickle: pairs in the order they were set. Keys are not compared, so no key can make the reader slow.</summary>
internal sealed class PickleDictionary
{
    private List<(object? Key, object? Value)>? _items;

    /// <summary>Made when first used: a small file can hold millions of empty ones.</summary>
    public List<(object? Key, object? Value)> Items => _items ??= [];

    public bool IsEmpty => _items is null or { Count: 0 };
}

/// <summary>A list of a pickle. Tuples are plain arrays.</summary>
internal sealed class PickleList
{
    private List<object?>? _items;

    /// <summary>Made when first used: a small file can hold millions of empty ones.</summary>
    public List<object?> Items => _items ??= [];
}

/// <summary>A permitted global name, standing for itself. Names are compared with a table and never looked up.</summary>
internal sealed record PickleGlobal(string Name, PickleGlobalKind Kind, ElementType? Type = null);

/// <summary>Stands for an object whose content is not wanted (a set of options beside the weights). Using it as a tensor is an error.</summary>
internal sealed record PicklePlaceholder(string Name);

/// <summary>A block of raw elements stored outside the pickle.</summary>
/// <param name="Key">Name of the block in the container.</param>
/// <param name="Type">Element type; null if the block counts bytes.</param>
/// <param name="Count">Elements in the block.</param>
/// <param name="First">First element of the slice that is meant, when an old file refers to a part of the block.</param>
/// <param name="Slice">Elements of the slice; <paramref name="Count"/> without one.</param>
internal sealed record PickleStorage(string Key, ElementType? Type, long Count, long First, long Slice);

/// <summary>A tensor: a strided view of a storage, offset and strides in elements.</summary>
internal sealed record PickleTensor(PickleStorage Storage, ElementType Type, long Offset, long[] Shape, long[] Strides);
