using System.Text.Json;
using DinoSharp.Images;

namespace DinoSharp.Tests.Training.Fitting;

/// <summary>Blue pictures with a red rectangle, of two sizes, with everything that can be said about them: label maps (0 ground, 3 rectangle, 7 not to count), depth in millimetres and boxes.</summary>
internal static class PaintedScenes
{
    public const string ClassTable = "id,name,ignore\n0,ground,0\n3,box,0\n7,edge,1\n";

    /// <summary>Folders images, labels and depth, and boxes.json, in a folder of that name.</summary>
    public static string Draw(TemporaryFolder folder, string name, int count, int seed)
    {
        foreach (string inner in (string[])["images", "labels", "depth"]) Directory.CreateDirectory(folder.File(name, inner));
        var boxes = new List<(int Width, int Height, Box Box)>();
        for (int i = 0; i < count; i++)
        {
            var random = new Random((seed * 1000) + i);
            (int width, int height) = i % 3 == 2 ? (90, 75) : (96, 64);
            (int w, int h) = (random.Next(24, 40), random.Next(24, 36));
            var box = new Box(random.Next(width - w), random.Next(height - h), w, h);
            boxes.Add((width, height, box));
            Paint(folder, name, i, width, height, box, random);
        }

        File.WriteAllText(folder.File(name, "boxes.json"), JsonSerializer.Serialize(new
        {
            images = boxes.Select((b, i) => new { id = 100 + i, file_name = $"{i:00}.png", width = b.Width, height = b.Height }),
            annotations = boxes.Select((b, i) => new { id = i, image_id = 100 + i, category_id = 5, bbox = (double[])[b.Box.X, b.Box.Y, b.Box.Width, b.Box.Height], area = b.Box.Area, iscrowd = 0 }),
            categories = (object[])[new { id = 5, name = "box" }],
        }));
        return folder.File(name);
    }

    private static void Paint(TemporaryFolder folder, string name, int index, int width, int height, Box box, Random random)
    {
        byte[] pixels = new byte[width * height * 3], labels = new byte[width * height];
        ushort[] depth = new ushort[width * height];
        for (int i = 0; i < labels.Length; i++)
        {
            (int x, int y) = (i % width, i / width);
            bool inside = x >= box.X && x < box.X + box.Width && y >= box.Y && y < box.Y + box.Height;
            (pixels[i * 3], pixels[(i * 3) + 1], pixels[(i * 3) + 2]) = inside ? ((byte)random.Next(200, 255), (byte)60, (byte)30) : ((byte)20, (byte)70, (byte)random.Next(180, 240));
            labels[i] = y == height - 1 ? (byte)7 : inside ? (byte)3 : (byte)0;
            depth[i] = x == 0 ? (ushort)0 : inside ? (ushort)1000 : (ushort)3000;
        }

        ImageBuffer.FromSamples<byte>(width, height, 3, pixels).Save(folder.File(name, "images", $"{index:00}.png"));
        new LabelMap(width, height, labels).Save(folder.File(name, "labels", $"{index:00}.png"));
        ImageBuffer.FromSamples<ushort>(width, height, 1, depth).Save(folder.File(name, "depth", $"{index:00}.png"));
    }
}
