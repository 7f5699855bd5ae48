using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>The packed blocks of a transformer. While a file is being loaded each is packed as soon as its weights are there, on the thread that read the last of them: the disk
/// goes on meanwhile, and what was just read still lies in the caches (docs/performance.md, "Loading").</summary>
internal sealed class PackedBlocks : IDisposable
{
    private readonly PackedBlock?[] _blocks;
    private readonly Func<int, PackedBlock> _pack;
    private readonly ComputeType _type;

    /// <param name="network">Its weights may be unset until they are packed.</param>
    /// <param name="rows">Rows of a tile.</param>
    /// <param name="type">Precision of the large products.</param>
    /// <param name="feedForward">That of the feed-forward layers of each block.</param>
    /// <param name="library">In bfloat16: for <see cref="MatrixLibrary"/>.</param>
    public PackedBlocks(VisionTransformer network, int rows, ComputeType type, ComputeType[] feedForward, bool library)
    {
        _type = type;
        _blocks = new PackedBlock?[network.Blocks.Count];
        _pack = i => new PackedBlock(Memory, network.Blocks[i], rows, type, feedForward[i], library);
    }

    /// <summary>Where all weights of the engine are.</summary>
    public WeightMemory Memory { get; } = new();

    /// <summary>Packs a block. Different ones may be packed at the same time.</summary>
    public void Pack(int block)
    {
        using var quiet = no_grad();
        _blocks[block] = _pack(block);
    }

    /// <summary>All blocks; those that are not packed yet are packed now.</summary>
    public PackedBlock[] Complete()
    {
        PackedLinear.ForEach(_blocks.Length, _type, block =>
        {
            if (_blocks[block] is null) Pack(block);
        });
        return _blocks!;
    }

    public void Dispose() => Memory.Dispose();
}
