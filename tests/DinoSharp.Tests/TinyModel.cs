using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Tests;

/// <summary>A small vision transformer with random weights in a file, and pictures to feed it, in a folder that is gone after the tests of a class.</summary>
public sealed class TinyModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public TinyModel()
    {
        using var scope = NewDisposeScope();
        using Backbone backbone = Backbone.Create(Config);
        backbone.Initialize(new Generator(5));
        SafetensorsWriter.Write(Path, backbone.state_dict());
    }

    /// <summary>The network: every part of a published one, but layer scales large enough for the blocks to matter.</summary>
    public static VisionTransformerConfig Config { get; } = new() { Width = 48, Depth = 3, Heads = 3, FeedForwardWidth = 96, LayerScale = 0.5 };

    /// <summary>The file of the weights.</summary>
    public string Path => _folder.File("tiny.safetensors");

    /// <summary>A path in the folder.</summary>
    public string File(string name) => _folder.File(name);

    /// <summary>Draws a picture into the folder: a bright disk on a textured ground, different for each seed.</summary>
    public string Draw(string name, int width = 160, int height = 96, int seed = 0)
    {
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(File(name))!);
        Picture(width, height, seed).Save(File(name));
        return File(name);
    }

    /// <summary>The same in memory.</summary>
    public static ImageBuffer Picture(int width = 160, int height = 96, int seed = 0)
    {
        byte[] pixels = new byte[width * height * 3];
        double middleX = width * (0.3 + (0.1 * (seed % 5))), middleY = height * 0.5, radius = Math.Min(width, height) * 0.3;
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                bool disk = ((x - middleX) * (x - middleX)) + ((y - middleY) * (y - middleY)) < radius * radius;
                int i = ((y * width) + x) * 3;
                pixels[i] = (byte)(disk ? 230 : 40 + (20 * Math.Sin((x + seed) * 0.7)));
                pixels[i + 1] = (byte)(disk ? 200 - (y % 16 * 4) : 60 + (20 * Math.Cos(y * 0.5)));
                pixels[i + 2] = (byte)(disk ? 40 + (seed * 17 % 100) : 120 - (x % 32));
            }
        }

        return ImageBuffer.FromSamples<byte>(width, height, 3, pixels, $"drawn {seed}");
    }

    public void Dispose() => _folder.Dispose();
}
