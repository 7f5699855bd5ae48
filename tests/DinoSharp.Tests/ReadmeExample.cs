using DinoSharp.Features;

namespace DinoSharp.Tests;

/// <summary>The C# example of README.md. ReadmeTests holds the two together and runs it.</summary>
internal static class ReadmeExample
{
    public static void Run()
    {
        // <example>
        using var dino = DinoModel.Load();                                  // the small model that comes along; or "dinov3-vits16", a file, a folder

        float[] vector = dino.Embed("samples/images/still-life.jpg");       // the picture as one vector of unit length
        Console.WriteLine($"{vector.Length} numbers, length {Math.Sqrt(vector.Sum(v => v * v)):0.000}");

        using ImageFeatures features = dino.Extract("samples/images/still-life.jpg", new() { ImageSizePixels = 384, Layers = [-4, -1] });
        PatchMap map = features.PatchMap();                                 // a vector for each patch of 16×16 pixels
        map.Pca(3).Save("fruit-pca.png");                                   // the rainbow picture

        (int row, int column) = map.PatchAt(x: 432, y: 520);                // the lemon
        HeatMap alike = features.SimilarityTo(row, column);
        alike.Save("lemon.png");
        Console.WriteLine($"{map.Height}×{map.Width} patches of {map.Dim} numbers, most alike: {alike.Largest}");
        // </example>
    }
}
