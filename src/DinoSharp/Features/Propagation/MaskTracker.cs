using System.Diagnostics.CodeAnalysis;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Features.Propagation;

/// <summary>Follows the objects of a first mask through a video, frame by frame, without any training. Owns tensors: dispose it.</summary>
/// <remarks>Memory holds the patch vectors of the first frame and of the recent ones only; a video may be of any length.</remarks>
public sealed class MaskTracker : IDisposable
{
    private readonly PropagationOptions _options;
    private readonly (int Height, int Width, int Dim) _grid;
    private readonly List<(Tensor Features, Tensor Labels)> _context = []; // the first frame, then the recent ones

    /// <summary>Starts from the frame of which the mask is known.</summary>
    /// <param name="first">Patches of the first frame, which the grid covers as a whole.</param>
    /// <param name="mask">Objects of the first frame, of any size: 0 is background.</param>
    /// <param name="options">How; null: as published.</param>
    public MaskTracker(PatchMap first, LabelMap mask, PropagationOptions? options = null)
        : this(first, OneHot(mask, first.Height, first.Width), [0, .. mask.Ids.Where(id => id != 0)], options)
    {
    }

    internal MaskTracker(PatchMap first, PatchMap labels, IReadOnlyList<byte> ids, PropagationOptions? options)
    {
        _options = options ?? new PropagationOptions();
        _options.Validate();
        (_grid, Ids) = ((first.Height, first.Width, first.Dim), ids);
        using var scope = NewDisposeScope();
        Remember(Unit(first), labels.ToTensor().view(first.Height, first.Width, -1)); // [h, w, M]
    }

    /// <summary>The id of background, 0, and those of the objects in the first mask, ascending. [M]</summary>
    public IReadOnlyList<byte> Ids { get; }

    /// <summary>Probabilities of background and objects for each patch of the latest frame, in the order of <see cref="Ids"/>. [h, w, M]</summary>
    public PatchMap Probabilities { get; private set; }

    /// <summary>Takes the next frame.</summary>
    /// <param name="frame">Patches of the frame, on the same grid as the first.</param>
    /// <exception cref="DinoSharpException">The frame has another grid or another D.</exception>
    public void Advance(PatchMap frame)
    {
        if ((frame.Height, frame.Width, frame.Dim) != _grid)
            throw new DinoSharpException($"the frame has {frame.Height}x{frame.Width} patches of {frame.Dim}, the first frame {_grid.Height}x{_grid.Width} of {_grid.Dim}; all frames must have one size");
        using var scope = NewDisposeScope();
        Tensor current = Unit(frame); // [h, w, D]
        Tensor labels = LabelPropagation.Step(current, [.. _context.Select(c => c.Features)], [.. _context.Select(c => c.Labels)], _options); // [h, w, M]
        Remember(current, labels);
        if (_context.Count <= _options.ContextLength + 1) return;
        (Tensor oldFeatures, Tensor oldLabels) = _context[1];
        _context.RemoveAt(1);
        oldFeatures.Dispose();
        oldLabels.Dispose();
    }

    /// <summary>The mask of the latest frame; of the first frame, what the patches kept of the mask that was given.</summary>
    /// <param name="width">Width in pixels.</param>
    /// <param name="height">Height in pixels.</param>
    public LabelMap Mask(int width, int height)
    {
        LabelMap classes = ProbabilityMask.Paint(Probabilities, width, height, _options.Upsampling);
        return new LabelMap(width, height, Array.ConvertAll(classes.Array, m => Ids[m]));
    }

    /// <summary>Frees the tensors.</summary>
    public void Dispose()
    {
        foreach ((Tensor features, Tensor labels) in _context)
        {
            features.Dispose();
            labels.Dispose();
        }

        _context.Clear();
    }

    private static PatchMap OneHot(LabelMap mask, int height, int width)
    {
        byte[] ids = [0, .. mask.Ids.Where(id => id != 0)], patches = mask.ResizeNearestExact(width, height).Array;
        float[] labels = new float[patches.Length * ids.Length]; // [h, w, M]
        for (int i = 0; i < patches.Length; i++) labels[(i * ids.Length) + Array.IndexOf(ids, patches[i])] = 1;
        return new PatchMap(height, width, ids.Length, labels, PatchGeometry.Whole(width, height));
    }

    private static Tensor Unit(PatchMap map) => nn.functional.normalize(map.ToTensor()).view(map.Height, map.Width, map.Dim); // [h, w, D]

    [MemberNotNull(nameof(Probabilities))]
    private void Remember(Tensor features, Tensor labels)
    {
        labels = labels.contiguous(); // [h, w, M]
        _context.Add((features.DetachFromDisposeScope(), labels.DetachFromDisposeScope()));
        Probabilities = new PatchMap(_grid.Height, _grid.Width, Ids.Count, labels.data<float>().ToArray(), PatchGeometry.Whole(_grid.Width, _grid.Height));
    }
}
