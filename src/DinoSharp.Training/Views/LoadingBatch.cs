using System.Runtime.CompilerServices;
using static TorchSharp.torch;

namespace DinoSharp.Training.Views;

/// <summary>A batch in the making: memory for all crops, into which workers write sample by sample, each at its own place.</summary>
internal sealed unsafe class LoadingBatch : IDisposable
{
    private readonly ViewOptions _views;
    private readonly Tensor _globals;
    private readonly Tensor _locals;
    private readonly Tensor? _grams;
    private readonly float* _global;
    private readonly float* _local;
    private readonly float* _gram;
    private int _missing;
    private bool _handedOver;

    /// <param name="step">Its step.</param>
    /// <param name="images">For each sample the image.</param>
    /// <param name="resolution">Number of its resolution.</param>
    /// <param name="views">The crops.</param>
    public LoadingBatch(long step, int[] images, int resolution, ViewOptions views)
    {
        (Step, Images, Resolution, _views, _missing) = (step, images, resolution, views, images.Length);
        using var scope = NewDisposeScope();
        int b = images.Length, channels = views.Normalization.Channels;
        _globals = Allocate(2 * b, views.GlobalSizePixels, out _global); // [G·B, C, S, S]
        _locals = Allocate(views.LocalCrops * b, views.LocalSizePixels, out _local); // [L·B, C, s, s]
        if (views.GramSizePixels is int size) _grams = Allocate(2 * b, size, out _gram); // [G·B, C, T, T]

        Tensor Allocate(int crops, int side, out float* first)
        {
            Tensor memory = empty([crops, channels, side, side], ScalarType.Float32);
            first = crops == 0 ? null : (float*)Unsafe.AsPointer(ref memory.narrow(0, 0, 1).bytes[0]); // of the whole a span could be too short
            return memory.DetachFromDisposeScope();
        }
    }

    public long Step { get; }

    public int[] Images { get; }

    public int Resolution { get; }

    /// <summary>True once every sample is there.</summary>
    public bool Complete => Volatile.Read(ref _missing) == 0;

    /// <summary>Where a crop of a sample goes: crops are stored crop-major.</summary>
    public Span<float> Target(int sample, ViewKind kind, int index)
    {
        float* first = kind == ViewKind.Global ? _global : kind == ViewKind.Local ? _local : _gram;
        int side = kind == ViewKind.Global ? _views.GlobalSizePixels : kind == ViewKind.Local ? _views.LocalSizePixels : _views.GramSizePixels!.Value;
        int values = _views.Normalization.Channels * side * side;
        return new Span<float>(first + ((long)index * Images.Length + sample) * values, values);
    }

    /// <summary>Notes that a sample is there; true for the last one.</summary>
    public bool Finish() => Interlocked.Decrement(ref _missing) == 0;

    /// <summary>Hands the memory over to a batch.</summary>
    /// <param name="masks">[G·B, P] bool</param>
    public PretrainBatch ToBatch(Tensor masks)
    {
        _handedOver = true;
        return PretrainBatch.Create(_globals, _locals, _grams, masks);
    }

    public void Dispose()
    {
        if (_handedOver) return;
        _globals.Dispose();
        _locals.Dispose();
        _grams?.Dispose();
    }
}
