using System.Runtime.InteropServices;

namespace DinoSharp.Images.Decoding;

/// <summary>
/// DICOM pictures: gray (as modality values, for example Hounsfield units), RGB and palette; uncompressed, run-length coded or JPEG. Only what is
/// needed to get at the pixels is understood; overlays, presentation states and non-linear look-up tables are not.
/// </summary>
internal sealed class DicomDecoder(DecoderInput input) : Decoder(input)
{
    private const string RunLength = "1.2.840.10008.1.2.5";

    // Transfer syntaxes whose frames are JPEG streams: baseline, extended (12 bit), lossless, lossless first-order.
    private static readonly string[] Jpeg = ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"];

    public override ImageInfo ReadInfo() => Describe(DicomDataSet.Read(Input.Content, Input.Name));

    public override ImageBuffer Decode()
    {
        DicomDataSet data = DicomDataSet.Read(Input.Content, Input.Name);
        ImageInfo info = Describe(data);
        byte[] pixels = Allocate(info);
        Layout layout = ReadLayout(data);
        string? damage = null;
        byte[] frame = Frame(data, layout, info, ref damage);

        if (info.SampleType == SampleType.Float32)
        {
            Span<float> values = MemoryMarshal.Cast<byte, float>(pixels.AsSpan());
            ToModalityValues(frame, layout, data, values);
            if (layout.IsInverted && info.DisplayRange is null) info = info with { DisplayRange = WholeRangeInverted(values) };
        }
        else if (layout.Photometric == "PALETTE COLOR")
        {
            LookUp(data, layout, frame, pixels);
        }
        else
        {
            frame.CopyTo(pixels, 0);
        }

        return new ImageBuffer(info with { Damage = damage }, pixels);
    }

    private Layout ReadLayout(DicomDataSet data)
    {
        int allocated = data.Number(0x0028_0100) ?? throw Missing("BitsAllocated (0028,0100)");
        var layout = new Layout(
            data.Number(0x0028_0011) ?? throw Missing("Columns (0028,0011)"),
            data.Number(0x0028_0010) ?? throw Missing("Rows (0028,0010)"),
            data.Number(0x0028_0002) ?? 1,
            allocated,
            data.Number(0x0028_0101) ?? allocated,
            data.Number(0x0028_0103) == 1,
            data.Number(0x0028_0006) == 1,
            data.Text(0x0028_0004) ?? "MONOCHROME2");
        if (layout.Allocated is not (8 or 16 or 32) || layout.Stored < 1 || layout.Stored > layout.Allocated)
            throw Fail($"DICOM pixels with {layout.Stored} bits stored in {layout.Allocated} are not supported");
        bool coded = data.Fragments is not null && data.TransferSyntax != RunLength; // a JPEG decoder turns YBR into RGB
        bool known = layout.Photometric is "MONOCHROME1" or "MONOCHROME2" or "RGB" or "PALETTE COLOR" or "YBR_FULL"
            || (coded && layout.Photometric.StartsWith("YBR_", StringComparison.Ordinal));
        if (!known || (layout.Samples == 3 && layout.Allocated != 8) || layout.Samples is not (1 or 3))
            throw Fail($"DICOM pixels of kind {layout.Photometric} with {layout.Samples} samples of {layout.Allocated} bits are not supported");
        return layout;
    }

    private ImageInfo Describe(DicomDataSet data)
    {
        Layout layout = ReadLayout(data);
        if (layout.Columns < 1 || layout.Rows < 1) throw Fail($"the header gives an impossible size, {layout.Columns}×{layout.Rows}");
        bool gray = layout.Samples == 1 && layout.Photometric != "PALETTE COLOR";
        bool plain = layout is { Stored: <= 8, Signed: false, Photometric: "MONOCHROME2" } && data.Decimal(0x0028_1053) is null or 1 && data.Decimal(0x0028_1052) is null or 0;
        return new ImageInfo
        {
            Name = Input.Name,
            Format = ImageFormat.Dicom,
            Width = layout.Columns,
            Height = layout.Rows,
            Channels = gray ? 1 : 3,
            SampleType = gray && !(plain && layout.Allocated == 8) ? SampleType.Float32 : SampleType.UInt8,
            Color = gray ? ColorModel.Gray : ColorModel.Rgb,
            Frames = Math.Max(1, data.Number(0x0028_0008) ?? 1),
            DisplayRange = gray ? Window(data, layout) : null,
        };
    }

    // The linear VOI window: centre c and width w show c − ½ ± (w − 1)/2. Of MONOCHROME1 low values are bright.
    private static ValueRange? Window(DicomDataSet data, Layout layout)
    {
        if (data.Decimal(0x0028_1050) is not { } center || data.Decimal(0x0028_1051) is not { } width || !(width >= 1)) return null;
        double low = center - 0.5 - (width - 1) / 2, high = low + Math.Max(1, width - 1);
        return layout.IsInverted ? new ValueRange(high, low) : new ValueRange(low, high);
    }

    private static ValueRange? WholeRangeInverted(ReadOnlySpan<float> values)
    {
        float low = float.PositiveInfinity, high = float.NegativeInfinity;
        foreach (float value in values) (low, high) = (Math.Min(low, value), Math.Max(high, value));
        return high > low ? new ValueRange(high, low) : null;
    }

    private byte[] Frame(DicomDataSet data, Layout layout, ImageInfo info, ref string? damage)
    {
        int length = checked(layout.Columns * layout.Rows * layout.Samples * (layout.Allocated / 8)), index = Input.Options.Frame;
        byte[] frame = new byte[length];
        if (data.Fragments is null)
        {
            ReadOnlySpan<byte> all = data.PixelData.Span;
            long start = (long)index * length;
            ReadOnlySpan<byte> found = start >= all.Length ? [] : all[(int)start..];
            if (TruncatedUnlessAllowed(length, found.Length, ref damage) is { } error) throw error;
            found[..Math.Min(found.Length, length)].CopyTo(frame);
            if (data.BigEndian) ReverseBytes(frame, layout.Allocated / 8);
            if (layout is { Samples: 3, Planar: true }) frame = Interleave(frame);
            if (layout.Photometric == "YBR_FULL") ToRgb(frame);
            return frame;
        }

        if (data.TransferSyntax == RunLength)
        {
            if (index >= data.Fragments.Count) throw Fail($"frame {index} is missing: the file has {data.Fragments.Count} coded frames");
            int found = DicomRunLength.Expand(data.Fragments[index].Span, layout.Allocated / 8, layout.Samples, frame);
            if (TruncatedUnlessAllowed(length, found, ref damage) is { } error) throw error;
            if (layout.Photometric == "YBR_FULL") ToRgb(frame);
            return frame;
        }

        if (!Jpeg.Contains(data.TransferSyntax))
            throw Fail($"DICOM with transfer syntax {data.TransferSyntax} is not supported (read are: uncompressed, RLE, JPEG baseline, extended and lossless); convert it to explicit VR little endian first");
        return JpegFrame(data, layout, info, frame, ref damage);
    }

    private byte[] JpegFrame(DicomDataSet data, Layout layout, ImageInfo info, byte[] frame, ref string? damage)
    {
        // A frame may be spread over several fragments; only one frame can be told apart without an offset table.
        ReadOnlyMemory<byte> jpeg;
        if (info.Frames == 1) jpeg = data.Fragments!.Count == 1 ? data.Fragments[0] : data.Fragments.SelectMany(f => f.ToArray()).ToArray();
        else if (data.Fragments!.Count == info.Frames) jpeg = data.Fragments[Input.Options.Frame];
        else throw Fail($"{info.Frames} frames in {data.Fragments.Count} fragments cannot be told apart");

        ImageBuffer decoded = ImageFile.Read(ImageSource.FromBytes(jpeg, Input.Name), Input.Options with { ApplyOrientation = false, Frame = 0 });
        if (decoded.Width != layout.Columns || decoded.Height != layout.Rows || decoded.Channels != layout.Samples)
            throw Fail($"the header says {layout.Columns}×{layout.Rows}×{layout.Samples}, the JPEG inside is {decoded.Width}×{decoded.Height}×{decoded.Channels}");
        damage = decoded.Info.Damage;
        if (decoded.Bytes.Length == frame.Length) return decoded.Bytes.ToArray();
        if (decoded.SampleType != SampleType.UInt8) throw Fail($"the JPEG inside has {decoded.SampleType} samples where {layout.Allocated} bits are declared");
        for (int i = 0; i < decoded.Bytes.Length; i++) frame[i * (layout.Allocated / 8)] = decoded.Bytes[i]; // 8-bit JPEG in 16-bit words
        return frame;
    }

    private static void ToModalityValues(byte[] frame, Layout layout, DicomDataSet data, Span<float> values)
    {
        double slope = data.Decimal(0x0028_1053) ?? 1, intercept = data.Decimal(0x0028_1052) ?? 0;
        int unused = 32 - layout.Stored, bytes = layout.Allocated / 8;
        for (int i = 0; i < values.Length; i++)
        {
            uint raw = bytes switch
            {
                1 => frame[i],
                2 => MemoryMarshal.Read<ushort>(frame.AsSpan(i * 2)),
                _ => MemoryMarshal.Read<uint>(frame.AsSpan(i * 4)),
            };
            // Bits above the stored ones may hold overlays.
            double stored = layout.Signed ? (int)(raw << unused) >> unused : raw << unused >> unused;
            values[i] = (float)(stored * slope + intercept);
        }
    }

    private void LookUp(DicomDataSet data, Layout layout, byte[] frame, byte[] rgb)
    {
        for (int c = 0; c < 3; c++)
        {
            uint tag = 0x0028_1101u + (uint)c;
            int[] descriptor = data.Numbers(tag) is { Length: 3 } d ? d : throw Missing($"palette descriptor (0028,{0x1101 + c:X4})");
            ReadOnlySpan<byte> table = data.Raw(0x0028_1201u + (uint)c) is { } t ? t.Span : throw Missing($"palette (0028,{0x1201 + c:X4})");
            int count = descriptor[0] == 0 ? 65536 : descriptor[0], first = descriptor[1], entry = descriptor[2] > 8 ? 2 : 1;
            if (table.Length < count * entry) throw Truncated(count * entry, table.Length);
            for (int i = 0; i < rgb.Length / 3; i++)
            {
                int value = layout.Allocated == 8 ? frame[i] : MemoryMarshal.Read<ushort>(frame.AsSpan(i * 2));
                int index = Math.Clamp(value - first, 0, count - 1);
                rgb[i * 3 + c] = entry == 1 ? table[index] : table[index * 2 + (data.BigEndian ? 0 : 1)]; // high byte
            }
        }
    }

    private static byte[] Interleave(byte[] planes)
    {
        byte[] rgb = new byte[planes.Length];
        for (int i = 0; i < rgb.Length; i++) rgb[i] = planes[i % 3 * (rgb.Length / 3) + i / 3];
        return rgb;
    }

    private static void ToRgb(Span<byte> ybr)
    {
        for (int i = 0; i + 2 < ybr.Length; i += 3)
        {
            double y = ybr[i], b = ybr[i + 1] - 128, r = ybr[i + 2] - 128;
            ybr[i] = (byte)Math.Clamp(y + 1.402 * r + 0.5, 0, 255);
            ybr[i + 1] = (byte)Math.Clamp(y - 0.344136 * b - 0.714136 * r + 0.5, 0, 255);
            ybr[i + 2] = (byte)Math.Clamp(y + 1.772 * b + 0.5, 0, 255);
        }
    }

    private static void ReverseBytes(byte[] frame, int unit)
    {
        for (int i = 0; unit > 1 && i + unit <= frame.Length; i += unit) frame.AsSpan(i, unit).Reverse();
    }

    private ImageException Missing(string element) => Fail($"the DICOM file has no {element}, so its pixels cannot be read");

    private sealed record Layout(int Columns, int Rows, int Samples, int Allocated, int Stored, bool Signed, bool Planar, string Photometric)
    {
        public bool IsInverted => Photometric == "MONOCHROME1";
    }
}
