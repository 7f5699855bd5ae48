using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using DinoSharp.Diagnostics;
using TorchSharp;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>How a file stores its tensors.</summary>
public enum TensorFileFormat
{
    /// <summary>One safetensors file.</summary>
    Safetensors,

    /// <summary>Several safetensors files listed by a <c>*.safetensors.index.json</c>.</summary>
    ShardedSafetensors,

    /// <summary>A <c>torch.save</c> file, zip container (PyTorch 1.6 and later).</summary>
    PyTorchZip,

    /// <summary>A <c>torch.save</c> file of the older container.</summary>
    PyTorchLegacy,
}

/// <summary>
/// A file of named tensors, opened without reading them. Tensors are copied out one at a time through a memory map, so opening costs only
/// the header and loading costs no second copy. Reading from several threads at once is safe; disposing during a read is not.
/// </summary>
public abstract class TensorFile : IDisposable
{
    // What is read stays in the second-level cache until it is widened.
    private const int WidenedBytes = 512 << 10;

    private protected TensorFile(string path, TensorFileFormat format) => (Path, Format) = (path, format);

    /// <summary>The file, or the index of a sharded one.</summary>
    public string Path { get; }

    /// <summary>How the tensors are stored.</summary>
    public TensorFileFormat Format { get; }

    /// <summary>Every tensor by name, in the order of the file.</summary>
    public abstract IReadOnlyDictionary<string, TensorEntry> Entries { get; }

    /// <summary>Texts stored beside the tensors: safetensors <c>__metadata__</c>, plain numbers and texts of a checkpoint. Empty if none.</summary>
    public abstract IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>
    /// Opens a safetensors file, a <c>.pth</c> file (either container), an index of shards, or a folder that holds one of these. The content
    /// decides, not the name.
    /// </summary>
    /// <param name="path">File or folder.</param>
    /// <returns>The open file; dispose it.</returns>
    /// <exception cref="TensorFileException">There is no such file, it is none of these kinds, or it is damaged.</exception>
    public static TensorFile Open(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        if (Directory.Exists(path)) path = FindInFolder(path);
        MappedFile file = MappedFile.Open(path);
        try
        {
            byte[] start = file.ReadBytes(0, (int)Math.Min(file.Length, 512));
            if (start.AsSpan().StartsWith(PyTorchFile.ZipMagic)) return new PyTorchFile(file, TensorFileFormat.PyTorchZip);
            if (start.AsSpan().StartsWith(PyTorchFile.LegacyMagic)) return new PyTorchFile(file, TensorFileFormat.PyTorchLegacy);
            bool json = start.AsSpan().TrimStart(" \t\r\n"u8).StartsWith("{"u8);
            if (start.Length > 8 && start[8] == '{' && !(json && BinaryPrimitives.ReadUInt64LittleEndian(start) > SafetensorsFile.MaxHeaderBytes))
            {
                return new SafetensorsFile(file);
            }

            if (!json) throw NotRecognized(path, start);
            file.Dispose();
            return ShardedSafetensorsFile.OpenIndex(path);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Copies a tensor out of the file.</summary>
    /// <param name="name">Its name in <see cref="Entries"/>.</param>
    /// <returns>A new contiguous CPU tensor of the stored type and shape; the caller (or the current dispose scope) owns it.</returns>
    /// <exception cref="TensorFileException">No such tensor, or a type that TorchSharp does not have.</exception>
    public Tensor Read(string name)
    {
        Libtorch.Require(); // its headers need no tensors, so the file may be open before libtorch is
        TensorEntry entry = Entry(name);
        Tensor tensor = empty(entry.Shape.AsSpan(), ScalarTypeOf(entry));
        try
        {
            Fill(entry, tensor);
            CheckBooleans(entry, tensor);
            return tensor;
        }
        catch
        {
            tensor.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Copies a tensor into an existing one of the same shape, converting type and device. Costs no memory if the type is equal and the target
    /// lies contiguous on the CPU, one tensor otherwise.
    /// </summary>
    /// <param name="name">Its name in <see cref="Entries"/>.</param>
    /// <param name="target">Receives the values; may be a view or a parameter (no gradient is recorded).</param>
    /// <exception cref="TensorFileException">No such tensor, another shape, or a type that TorchSharp does not have.</exception>
    public void CopyTo(string name, Tensor target)
    {
        TensorEntry entry = Entry(name);
        if (!entry.Shape.AsSpan().SequenceEqual(target.shape))
            throw new TensorFileException(Path, $"tensor '{name}' has the shape {entry.ShapeText}, expected [{string.Join(", ", target.shape)}]");
        if (target.device_type == DeviceType.META)
            throw new ArgumentException($"the target of '{name}' has no memory: it is on the meta device", nameof(target));

        using var noGrad = no_grad();
        bool widen = entry.Type == ElementType.BFloat16 && target.dtype == ScalarType.Float32;
        if (target.device_type == DeviceType.CPU && (widen || target.dtype == ScalarTypeOf(entry)) && target.is_contiguous())
        {
            AskForLargePages(target);
            Fill(entry, target);
            CheckBooleans(entry, target);
            return;
        }

        using var scope = NewDisposeScope();
        target.copy_(Read(name));
    }

    /// <summary>Closes the file.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    private static unsafe void AskForLargePages(Tensor target)
    {
        fixed (byte* memory = target.bytes) LargePages.Ask(memory, (nuint)target.bytes.Length);
    }

    /// <summary>Whether the elements of an entry can be read from any index on, as float32 without rounding.</summary>
    internal bool HasFloats(TensorEntry entry) => entry.Type is ElementType.Float32 or ElementType.BFloat16 && Place(entry) is not null;

    /// <summary>Copies some elements of such an entry, counted in the order of rows.</summary>
    internal void ReadFloats(TensorEntry entry, long first, Span<float> to)
    {
        (MappedFile file, long offset) = Place(entry)!.Value;
        ReadFloats(file, offset + (first * entry.Type.Bytes()), entry.Type, to);
    }

    /// <summary>Where the elements of an entry lie row by row; null if they lie in another order.</summary>
    internal abstract (MappedFile File, long Offset)? Place(TensorEntry entry);

    /// <summary>Writes the elements of an entry into a contiguous CPU tensor of equal shape and type; one of bfloat16 also into float32.</summary>
    private protected virtual void Fill(TensorEntry entry, Tensor target)
    {
        (MappedFile file, long offset) = Place(entry)!.Value;
        CopyBytes(file, offset, entry.Type, target);
    }

    /// <summary>Closes the file.</summary>
    /// <param name="disposing">False only from a finalizer.</param>
    protected abstract void Dispose(bool disposing);

    /// <summary>Copies raw little-endian elements of the file into a contiguous CPU tensor, piece by piece; bfloat16 into float32 if that is what the tensor holds.</summary>
    private protected static void CopyBytes(MappedFile file, long offset, ElementType type, Tensor target)
    {
        if (!BitConverter.IsLittleEndian) throw new PlatformNotSupportedException("tensor files are little-endian and this processor is not");
        bool widen = type == ElementType.BFloat16 && target.dtype == ScalarType.Float32;
        using var scope = NewDisposeScope();
        long count = target.numel(), step = MappedFile.WindowBytes / target.element_size();
        Tensor flat = target.detach().view(-1);
        for (long first = 0; first < count; first += step)
        {
            using var inner = NewDisposeScope();
            Span<byte> part = flat.narrow(0, first, Math.Min(step, count - first)).bytes;
            if (widen) ReadFloats(file, offset + (first * sizeof(ushort)), type, MemoryMarshal.Cast<byte, float>(part));
            else file.ReadInto(offset + (first * target.element_size()), part);
        }
    }

    private static void ReadFloats(MappedFile file, long offset, ElementType type, Span<float> to)
    {
        if (type == ElementType.Float32)
        {
            file.ReadInto(offset, MemoryMarshal.AsBytes(to));
            return;
        }

        byte[] halves = ArrayPool<byte>.Shared.Rent(Math.Min(WidenedBytes, to.Length * sizeof(ushort)));
        try
        {
            for (int first = 0; first < to.Length; first += WidenedBytes / sizeof(ushort))
            {
                Span<float> part = to[first..Math.Min(to.Length, first + (WidenedBytes / sizeof(ushort)))];
                Span<byte> piece = halves.AsSpan(0, part.Length * sizeof(ushort));
                file.ReadInto(offset + ((long)first * sizeof(ushort)), piece);
                Widen(MemoryMarshal.Cast<byte, ushort>(piece), MemoryMarshal.Cast<float, uint>(part));
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(halves);
        }
    }

    // A bfloat16 number is the upper half of the float32 number that it stands for.
    private static void Widen(ReadOnlySpan<ushort> from, Span<uint> to)
    {
        ref ushort source = ref MemoryMarshal.GetReference(from);
        ref uint target = ref MemoryMarshal.GetReference(to);
        int i = 0;
        for (; i <= from.Length - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.LoadUnsafe(ref source, (nuint)i));
            (low << 16).StoreUnsafe(ref target, (nuint)i);
            (high << 16).StoreUnsafe(ref target, (nuint)(i + Vector256<uint>.Count));
        }

        for (; i < from.Length; i++) to[i] = (uint)from[i] << 16;
    }

    private TensorEntry Entry(string name) =>
        Entries.TryGetValue(name, out TensorEntry? entry)
            ? entry
            : throw new TensorFileException(Path, $"has no tensor '{name}'; it has {Entries.Count} tensors{Example()}");

    private string Example() => Entries.Count == 0 ? "" : $", the first is '{Entries.Keys.First()}'";

    private ScalarType ScalarTypeOf(TensorEntry entry) =>
        entry.Type.Scalar()
            ?? throw new TensorFileException(
                Path,
                $"tensor '{entry.Name}' has the element type {entry.Type}, which TorchSharp has no tensors of; convert the file to float32 or bfloat16 first");

    private void CheckBooleans(TensorEntry entry, Tensor tensor)
    {
        if (entry.Type != ElementType.Bool || tensor.numel() > int.MaxValue) return;
        if (tensor.bytes.IndexOfAnyExceptInRange((byte)0, (byte)1) >= 0)
            throw new TensorFileException(Path, $"tensor '{entry.Name}' is boolean but holds bytes other than 0 and 1");
    }

    private static string FindInFolder(string folder)
    {
        foreach (string name in new[] { "model.safetensors", "model.safetensors.index.json" })
        {
            string path = System.IO.Path.Combine(folder, name);
            if (File.Exists(path)) return path;
        }

        if (File.Exists(System.IO.Path.Combine(folder, ".metadata")))
            throw new TensorFileException(
                folder,
                "this is a distributed PyTorch checkpoint (.metadata and *.distcp); make one .pth file of it first "
                + "(python -m torch.distributed.checkpoint.format_utils dcp_to_torch)");
        string[] extensions = [".safetensors", ".pth", ".pt", ".bin"];
        IEnumerable<string> files = Directory.EnumerateFiles(folder).Where(file => extensions.Contains(System.IO.Path.GetExtension(file)));
        string[] candidates = [.. files.Order(StringComparer.Ordinal)];
        return candidates.Length switch
        {
            1 => candidates[0],
            0 => throw new TensorFileException(
                folder,
                "the folder holds no weights: expected model.safetensors, model.safetensors.index.json or one .safetensors or .pth file"),
            _ => throw new TensorFileException(
                folder,
                "the folder holds several files of weights; name one of " + string.Join(", ", candidates.Select(System.IO.Path.GetFileName))),
        };
    }

    private static TensorFileException NotRecognized(string path, ReadOnlySpan<byte> start)
    {
        const string expected = "expected a safetensors file, a .pth file of torch.save, a *.safetensors.index.json, or a folder with one of these";
        string found = start switch
        {
            _ when start.StartsWith("version https://git-lfs"u8) => "this is a Git LFS pointer, not the file itself; run 'git lfs pull' or download the file",
            _ when start.TrimStart(" \t\r\n"u8).StartsWith("<"u8) =>
                "this is a web page, not weights (a download that was refused?); download again with your access token",
            _ when start.StartsWith("GGUF"u8) => $"this is a GGUF file; {expected}",
            _ when start.StartsWith<byte>([0x89, 0x48, 0x44, 0x46]) => $"this is an HDF5 file; {expected}",
            _ when start.StartsWith<byte>([0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]) => $"this is a NumPy file; {expected}",
            _ when start.StartsWith("PYTORCH1"u8) => $"this is a preview container older than PyTorch 1.0; {expected}",
            _ when start.Length >= 262
                && start[257..262].SequenceEqual("ustar"u8) =>
                    $"this is a tar archive (a .pth file older than PyTorch 0.1.10, or packed weights); unpack it or save it again; {expected}",
            _ when start.StartsWith<byte>([0x80]) => $"this is a bare pickle, not a file of torch.save; {expected}",
            _ when start.Length >= 8
                && BinaryPrimitives.ReadUInt64LittleEndian(start) > SafetensorsFile.MaxHeaderBytes =>
                    $"not recognised (its first eight bytes are {Convert.ToHexString(start[..8])}); {expected}",
            _ => $"not recognised, or cut off after {start.Length} bytes; {expected}",
        };
        return new TensorFileException(path, found);
    }
}
