using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text.Json;

namespace DinoSharp.Weights;

/// <summary>
/// A safetensors file: u64 header length, JSON header (name → dtype, shape, data_offsets), then the raw little-endian row-major elements.
/// The header is checked completely before anything is read: every tensor has exactly its bytes, and together they fill the file without
/// gap or overlap.
/// </summary>
public sealed class SafetensorsFile : TensorFile
{
    /// <summary>Longest header accepted, as in the reference implementation.</summary>
    internal const long MaxHeaderBytes = 100_000_000;

    // The largest published models have some 100 thousand, over many files.
    private const int MaxTensors = 200_000;

    private readonly MappedFile _file;
    private readonly OrderedDictionary<string, TensorEntry> _entries = new(StringComparer.Ordinal);
    private readonly OrderedDictionary<string, string> _metadata = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (long Begin, long End)> _ranges = new(StringComparer.Ordinal);
    private readonly long _dataStart;

    internal SafetensorsFile(MappedFile file)
        : base(file.Path, TensorFileFormat.Safetensors)
    {
        _file = file;
        if (file.Length < 8) throw Damaged($"a file of {file.Length} bytes has no room for the header length");
        ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(file.ReadBytes(0, 8));
        if (headerLength > MaxHeaderBytes) throw Damaged($"the header length {headerLength} is above the limit of {MaxHeaderBytes}");
        if (headerLength > (ulong)(file.Length - 8))
            throw Damaged($"the header length {headerLength} is beyond the end of the file ({file.Length} bytes): truncated?");
        _dataStart = 8 + (long)headerLength;
        using MappedRange header = file.Map(8, (int)headerLength);
        try
        {
            ReadHeader(header.Bytes);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new TensorFileException(Path, $"the header is no valid JSON: {error.Message}", error);
        }

        CheckRanges();
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, TensorEntry> Entries => _entries;

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>Opens a single safetensors file.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The open file; dispose it.</returns>
    /// <exception cref="TensorFileException">There is no such file or it is damaged.</exception>
    public static new SafetensorsFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return new SafetensorsFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    internal override (MappedFile File, long Offset)? Place(TensorEntry entry) => (_file, _dataStart + _ranges[entry.Name].Begin);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => _file.Dispose();

    private void ReadHeader(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 8 });
        reader.Read();
        Expect(ref reader, JsonTokenType.StartObject, "the header");
        bool hasMetadata = false;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (name == "__metadata__")
            {
                if (hasMetadata) throw Damaged("the header has __metadata__ twice");
                hasMetadata = true;
                ReadMetadata(ref reader);
            }
            else
            {
                ReadEntry(ref reader, name);
            }
        }

        if (reader.Read()) throw Damaged("the header goes on after its closing brace");
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        Expect(ref reader, JsonTokenType.StartObject, "__metadata__");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string key = reader.GetString()!;
            reader.Read();
            Expect(ref reader, JsonTokenType.String, $"__metadata__ entry '{key}'");
            if (!_metadata.TryAdd(key, reader.GetString()!)) throw Damaged($"__metadata__ has the key '{key}' twice");
        }
    }

    private void ReadEntry(ref Utf8JsonReader reader, string name)
    {
        Expect(ref reader, JsonTokenType.StartObject, $"tensor '{name}'");
        ElementType? type = null;
        List<long>? shape = null, offsets = null;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string key = reader.GetString()!;
            reader.Read();
            switch (key)
            {
                case "dtype" when type is null:
                    Expect(ref reader, JsonTokenType.String, $"dtype of tensor '{name}'");
                    string text = reader.GetString()!;
                    type = ElementTypes.TryParseSafetensors(text, out ElementType parsed)
                        ? parsed
                        : throw Damaged($"tensor '{name}' has the unknown dtype '{text}'; known are {ElementTypes.SafetensorsNames}");
                    break;
                case "shape" when shape is null:
                    shape = ReadNumbers(ref reader, $"shape of tensor '{name}'", 64);
                    break;
                case "data_offsets" when offsets is null:
                    offsets = ReadNumbers(ref reader, $"data_offsets of tensor '{name}'", 2);
                    break;
                default:
                    throw Damaged($"tensor '{name}' has an unknown or repeated field '{key}'; expected dtype, shape and data_offsets once each");
            }
        }

        if (type is null || shape is null || offsets is not { Count: 2 }) throw Damaged($"tensor '{name}' needs dtype, shape and two data_offsets");
        ImmutableArray<long> sizes = [.. shape];
        long bytes = TensorEntry.ByteCountOf(type.Value, sizes.AsSpan())
            ?? throw Damaged($"tensor '{name}' has an impossible shape [{string.Join(", ", shape)}]");
        (long begin, long end) = (offsets[0], offsets[1]);
        if (begin > end || end > _file.Length - _dataStart)
            throw Damaged($"tensor '{name}' has the data_offsets {begin} to {end}, but the data has {_file.Length - _dataStart} bytes: truncated?");
        if (end - begin != bytes)
            throw Damaged($"tensor '{name}' of shape [{string.Join(", ", shape)}] needs {bytes} bytes, its data_offsets span {end - begin}");
        if (_entries.Count == MaxTensors) throw Damaged($"it announces more than {MaxTensors} tensors; no model has so many in one file");
        if (!_entries.TryAdd(name, new TensorEntry(name, type.Value, sizes))) throw Damaged($"the header has the tensor '{name}' twice");
        _ranges.Add(name, (begin, end));
    }

    private List<long> ReadNumbers(ref Utf8JsonReader reader, string what, int most)
    {
        Expect(ref reader, JsonTokenType.StartArray, what);
        var numbers = new List<long>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long number) || number < 0)
                throw Damaged($"the {what} must be non-negative whole numbers below 2^63");
            if (numbers.Count == most) throw Damaged($"the {what} has more than {most} numbers");
            numbers.Add(number);
        }

        return numbers;
    }

    private void CheckRanges()
    {
        long end = 0;
        foreach ((string name, (long Begin, long End) range) in _ranges.OrderBy(pair => pair.Value.Begin).ThenBy(pair => pair.Value.End))
        {
            if (range.Begin < end) throw Damaged($"the bytes of tensor '{name}' overlap those of another tensor");
            if (range.Begin > end) throw Damaged($"{range.Begin - end} bytes before tensor '{name}' belong to no tensor");
            end = range.End;
        }

        if (end != _file.Length - _dataStart) throw Damaged($"{_file.Length - _dataStart - end} bytes at the end belong to no tensor");
    }

    private void Expect(ref Utf8JsonReader reader, JsonTokenType token, string what)
    {
        if (reader.TokenType != token) throw Damaged($"{what}: expected a JSON {token}, found {reader.TokenType}");
    }

    private TensorFileException Damaged(string problem) => new(Path, $"damaged safetensors file: {problem}");
}
