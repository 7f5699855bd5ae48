using DinoSharp.Features;

namespace DinoSharp.Tests;

/// <summary>The C# example of README.md. ReadmeTests holds the two together and runs it.</summary>
internal static class ReadmeExample
{
    public static void Run()
    {
        // <example>
        using var dino = DinoModel.Load("random:vits16");                   // or "dinov3-vits16", a file, a folder

        float[] fruit = dino.Embed("samples/images/still-life.jpg");        // one vector of unit length
        float[] bird = dino.Embed("samples/images/robin.jpg");
        Console.WriteLine($"similarity {fruit.Zip(bird, (a, b) => a * b).Sum():0.000}");

        using ImageFeatures features = dino.Extract("samples/images/robin.jpg", new() { ImageSizePixels = 384, Layers = [-4, -1] });
        PatchMap map = features.PatchMap();                                 // a vector for each patch of 16×16 pixels
        map.Pca(3).Save("robin-pca.png");                                   // the rainbow picture

        (int row, int column) = map.PatchAt(x: 430, y: 330);                // the robin's breast
        HeatMap alike = features.SimilarityTo(row, column);
        alike.Save("robin-breast.png");
        Console.WriteLine($"{map.Height}×{map.Width} patches of {map.Dim} numbers, most alike: {alike.Largest}");
        // </example>
    }
}
