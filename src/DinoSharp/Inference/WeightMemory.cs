namespace DinoSharp.Inference;

/// <summary>Memory for the packed weights of an engine. Layers take it from pieces of 32 MiB, so that nearly all of it lies in large pages; matrices on their own have up to
/// 2 MiB at their ends in small ones, each of which costs more than writing it. Safe for concurrent use.</summary>
internal sealed unsafe class WeightMemory : IDisposable
{
    private const long PieceFloats = (32 << 20) / sizeof(float), LineFloats = 64 / sizeof(float);

    private readonly Lock _turn = new();
    private readonly List<NativeBuffer> _pieces = [];
    private float* _next;
    private long _left;

    /// <summary>Memory for so many floats at the start of a cache line, with anything in it.</summary>
    public float* Take(long floats)
    {
        lock (_turn)
        {
            if (floats > _left)
            {
                var piece = new NativeBuffer();
                _left = Math.Max(floats, PieceFloats);
                _next = piece.Get(_left, zeroed: 0);
                _pieces.Add(piece);
            }

            float* taken = _next;
            floats = Math.Min(_left, (floats + LineFloats - 1) / LineFloats * LineFloats);
            _next += floats;
            _left -= floats;
            return taken;
        }
    }

    public void Dispose()
    {
        foreach (NativeBuffer piece in _pieces) piece.Dispose();
    }
}
