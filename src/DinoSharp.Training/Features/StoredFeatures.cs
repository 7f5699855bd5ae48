using System.Buffers.Binary;
using System.Runtime.InteropServices;
using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Training.Features;

/// <summary>Where the patches of a picture lie.</summary>
/// <param name="Geometry">Where the model's input lies on the picture.</param>
/// <param name="FittedHeight">Rows of the input after it was made to fit.</param>
/// <param name="FittedWidth">Columns of the input after it was made to fit.</param>
/// <param name="Rows">Rows of patches of the first layer that is read.</param>
/// <param name="Columns">Columns of them.</param>
internal sealed record PatchGrid(ImageGeometry Geometry, int FittedHeight, int FittedWidth, int Rows, int Columns)
{
    /// <summary>Of a picture that is not in the store yet.</summary>
    public static readonly PatchGrid None = new(new ImageGeometry(0, 0, 0, 0, 1, 1, 0, 0), 0, 0, 0, 0);

    /// <summary>Where a point of the fitted input lies on the picture; outside of it where the input was padded.</summary>
    /// <param name="x">0 … FittedWidth.</param>
    /// <param name="y">0 … FittedHeight.</param>
    /// <param name="mirrored">Whether the input was seen in a mirror.</param>
    public (double X, double Y)? ToOriginal(double x, double y, bool mirrored)
    {
        (x, y) = (x - ((FittedWidth - Geometry.Width) / 2), y - ((FittedHeight - Geometry.Height) / 2));
        if (x < 0 || y < 0 || x >= Geometry.Width || y >= Geometry.Height) return null;
        return Geometry.ToOriginal(mirrored ? Geometry.Width - x : x, y);
    }

    /// <summary>Where a point of the picture lies on the fitted input.</summary>
    /// <param name="x">0 … width of the picture.</param>
    /// <param name="y">0 … height of the picture.</param>
    /// <param name="mirrored">Whether the input was seen in a mirror.</param>
    public (double X, double Y) ToFitted(double x, double y, bool mirrored)
    {
        (x, y) = Geometry.ToInput(x, y);
        return ((mirrored ? Geometry.Width - x : x) + ((FittedWidth - Geometry.Width) / 2), y + ((FittedHeight - Geometry.Height) / 2));
    }
}

/// <summary>Features of one picture as they are kept on disk: what a head needs to know about the picture, and the tokens of chosen layers. Owns its tensors.</summary>
/// <param name="Geometry">Where the model's input lies on the picture.</param>
/// <param name="FittedHeight">Rows of the input after it was made to fit.</param>
/// <param name="FittedWidth">Columns of the input after it was made to fit.</param>
/// <param name="Layers">Tokens in network order, B = 1; of pooled features the one patch is the mean of all.</param>
public sealed record StoredFeatures(ImageGeometry Geometry, int FittedHeight, int FittedWidth, IReadOnlyList<LayerFeatures> Layers) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (LayerFeatures layer in Layers) layer.Dispose();
    }

    /// <summary>Where the patches lie.</summary>
    internal PatchGrid Grid => new(Geometry, FittedHeight, FittedWidth, Layers[0].GridHeight, Layers[0].GridWidth);

    /// <summary>The same as the pass of the backbone gave it; the pixels themselves are gone.</summary>
    internal HeadFeatures ToHeadFeatures(ImageFit fit, Device? device = null)
    {
        Tensor pixels = zeros(1, device: device).expand(1, 3, FittedHeight, FittedWidth); // [1, C, H', W'], without memory
        LayerFeatures[] moved = [.. Layers.Select(l => device is null ? l : l with { ClassToken = l.ClassToken.to(device), Registers = l.Registers.to(device), Patches = l.Patches.to(device) })];
        return new HeadFeatures(pixels, moved, Geometry.Height, Geometry.Width, fit);
    }
}

/// <summary>The file of one layer of one picture: a magic word, a checksum, numbers, then class token (float32) and patches (float16 or float32).</summary>
internal static class FeatureFile
{
    private const ulong Magic = 0x3130414546534E44; // "DNSFEA01"
    private const int HeaderBytes = 16 + (6 * sizeof(int)) + (6 * sizeof(int)) + (4 * sizeof(double));

    public static byte[] Encode(ImageGeometry g, int fittedHeight, int fittedWidth, LayerFeatures layer, bool half)
    {
        using var scope = NewDisposeScope();
        int width = (int)layer.ClassToken.shape[1];
        byte[] classToken = Bytes(layer.ClassToken, ScalarType.Float32), patches = Bytes(layer.Patches, half ? ScalarType.Float16 : ScalarType.Float32);
        byte[] file = new byte[HeaderBytes + classToken.Length + patches.Length];
        int at = 16;
        foreach (int number in (int[])[layer.Layer, width, layer.GridHeight, layer.GridWidth, half ? 1 : 0, (int)layer.Patches.shape[1], g.OriginalWidth, g.OriginalHeight, g.Width, g.Height, fittedHeight, fittedWidth])
        {
            BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(at), number);
            at += sizeof(int);
        }

        foreach (double number in (double[])[g.ScaleX, g.ScaleY, g.OffsetX, g.OffsetY])
        {
            BinaryPrimitives.WriteDoubleLittleEndian(file.AsSpan(at), number);
            at += sizeof(double);
        }

        classToken.CopyTo(file, at);
        patches.CopyTo(file, at + classToken.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(file, Magic);
        BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(8), Checksum(file.AsSpan(16)));
        return file;
    }

    /// <summary>Reads a file; null if it is damaged, so that the features are computed again.</summary>
    public static (ImageGeometry Geometry, int FittedHeight, int FittedWidth, LayerFeatures Layer)? Decode(ReadOnlySpan<byte> file)
    {
        if (file.Length < HeaderBytes || BinaryPrimitives.ReadUInt64LittleEndian(file) != Magic || BinaryPrimitives.ReadUInt64LittleEndian(file[8..]) != Checksum(file[16..])) return null;
        int[] n = new int[12];
        for (int i = 0; i < n.Length; i++) n[i] = BinaryPrimitives.ReadInt32LittleEndian(file[(16 + (i * sizeof(int)))..]);
        double[] d = new double[4];
        for (int i = 0; i < d.Length; i++) d[i] = BinaryPrimitives.ReadDoubleLittleEndian(file[(64 + (i * sizeof(double)))..]);
        (int width, int patches, bool half) = (n[1], n[5], n[4] == 1);
        using var scope = NewDisposeScope();
        ReadOnlySpan<byte> data = file[HeaderBytes..];
        int classBytes = width * sizeof(float);
        Tensor classToken = From(data[..classBytes], ScalarType.Float32, [1, width]); // [1, D]
        Tensor map = From(data[classBytes..], half ? ScalarType.Float16 : ScalarType.Float32, [1, patches, width]).to(ScalarType.Float32); // [1, P, D]
        var layer = new LayerFeatures(n[0], classToken, zeros(1, 0, width), map, n[2], n[3]);
        return (new ImageGeometry(n[6], n[7], n[8], n[9], d[0], d[1], d[2], d[3]), n[10], n[11], layer.MoveToOuterDisposeScope());
    }

    private static byte[] Bytes(Tensor tensor, ScalarType type) => tensor.detach().to(type).cpu().contiguous().bytes.ToArray();

    private static Tensor From(ReadOnlySpan<byte> data, ScalarType type, long[] shape)
    {
        Tensor tensor = empty(shape, type);
        data.CopyTo(tensor.bytes);
        return tensor;
    }

    // Notices flipped and missing bytes at the speed of memory; it is no protection against intent.
    private static ulong Checksum(ReadOnlySpan<byte> data)
    {
        ulong sum = (ulong)data.Length * 0x9E3779B97F4A7C15;
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(data)) sum = (System.Numerics.BitOperations.RotateLeft(sum, 23) ^ word) * 0x9E3779B97F4A7C15;
        foreach (byte rest in data[(data.Length & ~7)..]) sum = (System.Numerics.BitOperations.RotateLeft(sum, 23) ^ rest) * 0x9E3779B97F4A7C15;
        return sum;
    }
}
