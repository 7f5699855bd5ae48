namespace DinoSharp.Tests.Images;

/// <summary>Writes lossless JPEG (SOF3, one component, 12 bits, predictor 1), which no library at hand writes.</summary>
internal static class LosslessJpeg
{
    public static byte[] Encode(ushort[] samples, int width, int height)
    {
        const int Precision = 12;
        var file = new List<byte> { 0xFF, 0xD8 };
        Segment(0xC3, [Precision, (byte)(height >> 8), (byte)height, (byte)(width >> 8), (byte)width, 1, 1, 0x11, 0]);
        // Every category 0 … 15 has a code of five bits: its number.
        Segment(0xC4, [0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        Segment(0xDA, [1, 1, 0, 1, 0, 0]);

        int buffer = 0, used = 0;
        for (int i = 0; i < samples.Length; i++)
        {
            int x = i % width, y = i / width;
            int predicted = x > 0 ? samples[i - 1] : y > 0 ? samples[i - width] : 1 << (Precision - 1);
            int difference = samples[i] - predicted, category = difference == 0 ? 0 : (int)Math.Log2(Math.Abs(difference)) + 1;
            Bits(category, 5);
            if (category > 0) Bits(difference > 0 ? difference : difference + (1 << category) - 1, category);
        }

        while (used != 0) Bits(1, 1);
        file.AddRange([0xFF, 0xD9]);
        return [.. file];

        void Segment(byte marker, byte[] body) => file.AddRange([0xFF, marker, (byte)((body.Length + 2) >> 8), (byte)(body.Length + 2), .. body]);

        void Bits(int value, int count)
        {
            for (int bit = count - 1; bit >= 0; bit--)
            {
                buffer = buffer << 1 | (value >> bit & 1);
                if (++used < 8) continue;
                file.Add((byte)buffer);
                if ((byte)buffer == 0xFF) file.Add(0);
                (buffer, used) = (0, 0);
            }
        }
    }
}
