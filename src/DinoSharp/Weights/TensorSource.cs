using System.Collections.Immutable;
using DinoSharp.Diagnostics;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>Where the values of one parameter or buffer come from.</summary>
internal abstract record TensorSource(ElementType Type, ImmutableArray<long> Shape)
{
    public string ShapeText => $"[{string.Join(", ", Shape)}]";

    /// <summary>Writes the values into a tensor of the same shape, converting the type.</summary>
    public abstract void CopyTo(Tensor target);

    /// <summary>The values as a new CPU tensor of the source's type.</summary>
    public Tensor Read()
    {
        Libtorch.Require();
        Tensor tensor = empty(Shape.AsSpan(), Type.Scalar() ?? throw new NotSupportedException($"TorchSharp has no tensors of type {Type}"));
        try
        {
            CopyTo(tensor);
            return tensor;
        }
        catch
        {
            tensor.Dispose();
            throw;
        }
    }
}

/// <summary>
/// Tensors of a file: one, whose shape may differ by axes of length one, or several whose rows follow each other. A null part is a share
/// of zeros as tall as the others.
/// </summary>
internal sealed record FileSource(TensorFile File, ImmutableArray<TensorEntry?> Parts, ElementType Type, ImmutableArray<long> Shape) : TensorSource(Type, Shape)
{
    public override void CopyTo(Tensor target)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        if (Parts is [TensorEntry whole])
        {
            File.CopyTo(whole.Name, whole.Shape.AsSpan().SequenceEqual(target.shape) ? target : target.view([.. whole.Shape]));
            return;
        }

        long rows = Shape[0] / Parts.Length;
        for (int i = 0; i < Parts.Length; i++)
        {
            Tensor share = target.narrow(0, i * rows, rows);
            if (Parts[i] is { } part) File.CopyTo(part.Name, share);
            else share.zero_();
        }
    }

    /// <summary>Whether <see cref="ReadFloats"/> can be asked.</summary>
    public bool HasFloats => Parts.All(part => part is null || File.HasFloats(part));

    /// <summary>Throws if the file was written into since it was opened.</summary>
    public void RequireUnchanged()
    {
        foreach (TensorEntry entry in Parts.OfType<TensorEntry>()) File.Place(entry)?.File.RequireUnchanged();
    }

    /// <summary>Copies numbers as float32, row by row, from an index on.</summary>
    public void ReadFloats(long first, Span<float> to)
    {
        long ofPart = Shape.Aggregate(1L, (product, size) => product * size) / Parts.Length;
        while (to.Length > 0)
        {
            (int part, long within) = ((int)(first / ofPart), first % ofPart);
            Span<float> share = to[..(int)Math.Min(to.Length, ofPart - within)];
            if (Parts[part] is { } entry) File.ReadFloats(entry, within, share);
            else share.Clear();
            first += share.Length;
            to = to[share.Length..];
        }
    }
}

/// <summary>Values that the layout of the file does not store.</summary>
internal sealed record ComputedSource(ImmutableArray<long> Shape, string Reason, Func<Tensor> Compute) : TensorSource(ElementType.Float32, Shape)
{
    public override void CopyTo(Tensor target)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        target.copy_(Compute());
    }
}
