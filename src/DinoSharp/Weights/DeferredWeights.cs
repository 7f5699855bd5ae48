using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>The open file behind weights of linear layers that are read when they are asked for. It is closed when all of them have been, or with the network.</summary>
/// <param name="file">Its owner is this from now on.</param>
/// <param name="cancel">Stops the loading.</param>
internal sealed class DeferredWeights(TensorFile file, CancellationToken cancel) : IDisposable
{
    private readonly ReadAhead _ahead = new(file.Path);
    private CancellationToken _cancel = cancel;
    private int _left;

    /// <summary>Leaves a weight in the file. All are added before the first is read.</summary>
    public void Add(Linear layer, FileSource source)
    {
        _left++;
        layer.Defer(new DeferredWeight(this, source));
    }

    /// <summary>To be called when the network can compute: what is read later is read by somebody else, and in no order.</summary>
    public void EndLoading()
    {
        _ahead.Dispose();
        _cancel = default;
    }

    public void Dispose()
    {
        _ahead.Dispose();
        file.Dispose();
    }

    internal void Check() => _cancel.ThrowIfCancellationRequested();

    internal void Filled()
    {
        if (Interlocked.Decrement(ref _left) == 0) Dispose();
    }
}

/// <summary>One weight that is still in the file.</summary>
internal sealed class DeferredWeight(DeferredWeights weights, FileSource source)
{
    /// <summary>Copies numbers, row by row, from an index on.</summary>
    public void Read(long first, Span<float> to)
    {
        weights.Check();
        source.ReadFloats(first, to);
        source.RequireUnchanged();
    }

    /// <summary>Copies all of them into the parameter, which is the last that is asked of this.</summary>
    public void Fill(Tensor parameter)
    {
        weights.Check();
        source.CopyTo(parameter);
        source.RequireUnchanged();
        weights.Filled();
    }
}
