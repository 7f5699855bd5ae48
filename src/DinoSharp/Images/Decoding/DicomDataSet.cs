using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace DinoSharp.Images.Decoding;

/// <summary>The top-level elements of a DICOM file, up to and including the pixel data. Sequences are stepped over.</summary>
internal sealed class DicomDataSet
{
    private const uint PixelDataTag = 0x7FE0_0010, ItemTag = 0xFFFE_E000, ItemEnd = 0xFFFE_E00D, SequenceEnd = 0xFFFE_E0DD, Undefined = uint.MaxValue;
    private const int MaxDepth = 32;

    private readonly Dictionary<uint, ReadOnlyMemory<byte>> _elements = [];
    private readonly ReadOnlyMemory<byte> _file;
    private readonly string _name;
    private bool _explicit = true;
    private int _at;

    private DicomDataSet(ReadOnlyMemory<byte> file, string name)
    {
        _file = file;
        _name = name;
    }

    /// <summary>How the pixels are coded.</summary>
    public string TransferSyntax { get; private set; } = "1.2.840.10008.1.2";

    /// <summary>Byte order of numbers, uncompressed pixels included.</summary>
    public bool BigEndian { get; private set; }

    /// <summary>Uncompressed pixel data.</summary>
    public ReadOnlyMemory<byte> PixelData { get; private set; }

    /// <summary>Compressed pixel data, without the offset table; null if uncompressed.</summary>
    public List<ReadOnlyMemory<byte>>? Fragments { get; private set; }

    /// <summary>Reads the file meta information and the data set.</summary>
    public static DicomDataSet Read(ReadOnlyMemory<byte> file, string name)
    {
        var data = new DicomDataSet(file, name) { _at = 132 };
        data.ReadMeta();
        data.ReadElements();
        return data;
    }

    public ReadOnlyMemory<byte>? Raw(uint tag) => _elements.TryGetValue(tag, out ReadOnlyMemory<byte> value) ? value : null;

    public string? Text(uint tag) => Raw(tag) is { } value ? Encoding.ASCII.GetString(value.Span).Trim(' ', '\0') : null;

    /// <summary>An integer: binary (US, SS) or, for the frame count, text (IS).</summary>
    public int? Number(uint tag)
    {
        if (tag != 0x0028_0008) return Numbers(tag) is { Length: > 0 } numbers ? numbers[0] : null;
        return int.TryParse(Text(tag), NumberStyles.Integer, CultureInfo.InvariantCulture, out int value) ? value : null;
    }

    public int[]? Numbers(uint tag)
    {
        if (Raw(tag) is not { } value) return null;
        int[] numbers = new int[value.Length / 2];
        for (int i = 0; i < numbers.Length; i++) numbers[i] = UInt16(value.Span[(2 * i)..]);
        return numbers;
    }

    /// <summary>The first of a list of decimal numbers in text (DS).</summary>
    public double? Decimal(uint tag) =>
        double.TryParse(Text(tag)?.Split('\\')[0], NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value) ? value : null;

    private void ReadMeta()
    {
        // Group 2 is always explicit little endian.
        while (_at + 8 <= _file.Length && BinaryPrimitives.ReadUInt16LittleEndian(_file.Span[_at..]) == 2)
        {
            (uint tag, _, uint length) = ReadHeader();
            ReadOnlyMemory<byte> value = Take(length);
            if (tag == 0x0002_0010) TransferSyntax = Encoding.ASCII.GetString(value.Span).Trim(' ', '\0');
        }

        BigEndian = TransferSyntax == "1.2.840.10008.1.2.2";
        _explicit = TransferSyntax != "1.2.840.10008.1.2";
        if (TransferSyntax == "1.2.840.10008.1.2.1.99") throw new ImageException(_name, "DICOM with a deflated data set is not supported; convert it to explicit VR little endian first");
    }

    private void ReadElements()
    {
        while (_at + 8 <= _file.Length)
        {
            (uint tag, string vr, uint length) = ReadHeader();
            if (tag == PixelDataTag)
            {
                ReadPixelData(length);
                return;
            }

            if (length == Undefined || vr == "SQ") SkipSequence(length, 0);
            else _elements[tag] = Take(length);
        }

        throw new ImageException(_name, "the DICOM file has no pixel data (7FE0,0010), or is cut off before them");
    }

    private void ReadPixelData(uint length)
    {
        if (length != Undefined)
        {
            // Shorter than declared is for the decoder to judge.
            PixelData = _file.Slice(_at, (int)Math.Min(length, _file.Length - _at));
            return;
        }

        Fragments = [];
        bool offsetTable = true;
        while (_at + 8 <= _file.Length)
        {
            (uint tag, _, uint size) = ReadHeader();
            if (tag == SequenceEnd) return;
            if (tag != ItemTag) throw Damaged("the pixel data fragments");
            ReadOnlyMemory<byte> item = _file.Slice(_at, (int)Math.Min(size, _file.Length - _at));
            _at += item.Length;
            if (!offsetTable) Fragments.Add(item);
            offsetTable = false;
        }
    }

    // Of defined length: jump. Of undefined length: walk to the delimiter, through nested ones.
    private void SkipSequence(uint length, int depth)
    {
        if (depth > MaxDepth) throw Damaged("the nesting of sequences");
        if (length != Undefined)
        {
            Take(length);
            return;
        }

        while (_at + 8 <= _file.Length)
        {
            (uint tag, string vr, uint size) = ReadHeader();
            if (tag is SequenceEnd or ItemEnd) return;
            if (size == Undefined || vr == "SQ" || (tag == ItemTag && size == Undefined)) SkipSequence(size, depth + 1);
            else Take(size);
        }
    }

    private (uint Tag, string Vr, uint Length) ReadHeader()
    {
        ReadOnlySpan<byte> at = _file.Span[_at..];
        if (at.Length < 8) throw Damaged("an element header");
        uint tag = (uint)UInt16(at) << 16 | UInt16(at[2..]);
        if (!_explicit || tag >> 16 == 0xFFFE)
        {
            _at += 8;
            return (tag, "", UInt32(at[4..]));
        }

        string vr = Encoding.ASCII.GetString(at[4..6]);
        if (vr is not ("OB" or "OW" or "OF" or "OD" or "OL" or "OV" or "SQ" or "UC" or "UR" or "UT" or "UN" or "SV" or "UV"))
        {
            _at += 8;
            return (tag, vr, UInt16(at[6..]));
        }

        if (at.Length < 12) throw Damaged("an element header");
        _at += 12;
        return (tag, vr, UInt32(at[8..]));
    }

    private ReadOnlyMemory<byte> Take(uint length)
    {
        if (length > _file.Length - _at) throw Damaged($"an element of {length:N0} bytes");
        ReadOnlyMemory<byte> value = _file.Slice(_at, (int)length);
        _at += (int)length;
        return value;
    }

    private ushort UInt16(ReadOnlySpan<byte> at) => BigEndian ? BinaryPrimitives.ReadUInt16BigEndian(at) : BinaryPrimitives.ReadUInt16LittleEndian(at);

    private uint UInt32(ReadOnlySpan<byte> at) => BigEndian ? BinaryPrimitives.ReadUInt32BigEndian(at) : BinaryPrimitives.ReadUInt32LittleEndian(at);

    private ImageException Damaged(string what) => new(_name, $"the DICOM file is truncated or damaged: {what} at byte {_at:N0} of {_file.Length:N0} cannot be read");
}
