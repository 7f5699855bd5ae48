using DinoSharp.Images;

namespace DinoSharp.Tests.Training.Fitting;

/// <summary>Draws small pictures of two kinds that even an untrained network can tell apart: reddish stripes across and bluish ones along.</summary>
internal static class TwoScenes
{
    /// <summary>A folder with the classes <c>across</c> and <c>along</c>.</summary>
    public static string Draw(TemporaryFolder folder, string name, int perClass, int seed)
    {
        for (int i = 0; i < 2 * perClass; i++)
        {
            string path = folder.File(name, i % 2 == 0 ? "across" : "along", $"{i:00}.png");
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            Stripes(i % 2 == 1, new Random((seed * 1000) + i)).Save(path);
        }

        return folder.File(name);
    }

    private static ImageBuffer Stripes(bool along, Random random)
    {
        const int side = 64;
        byte[] pixels = new byte[side * side * 3];
        double phase = random.NextDouble() * 6;
        (int strong, int green, int weak) = (random.Next(180, 255), random.Next(0, 120), random.Next(0, 100));
        (int r, int g, int b) = along ? (weak, green, strong) : (strong, green, weak);
        for (int i = 0; i < side * side; i++)
        {
            double wave = (1 + Math.Sin(phase + (0.8 * (along ? i % side : i / side)))) / 2;
            (pixels[i * 3], pixels[(i * 3) + 1], pixels[(i * 3) + 2]) = ((byte)(r * wave), (byte)(g * wave), (byte)(b * wave));
        }

        return ImageBuffer.FromSamples<byte>(side, side, 3, pixels);
    }
}
