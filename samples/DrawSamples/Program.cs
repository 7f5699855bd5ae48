using System.Diagnostics;
using DinoSharp.Images;
using DrawSamples;

// Draws the pictures under samples/images: dotnet run -c Release --project samples/DrawSamples [-- NAME [WIDTH [PATHS]]]
// A full picture takes ten minutes to half an hour on two cores. The random numbers are seeded by pixel. still-life.jpg was drawn by an earlier state of the tracer, robin.jpg with 16 paths.
(string Name, Scene Scene)[] pictures = [("still-life", new StillLife()), ("robin", new Robin())];
foreach ((string name, Scene scene) in pictures)
{
    if (args.Length > 0 && args[0] != name) continue;
    int width = args.Length > 1 ? int.Parse(args[1]) : 1024, height = width * 3 / 4, paths = args.Length > 2 ? int.Parse(args[2]) : 100;
    var clock = Stopwatch.StartNew();
    byte[] pixels = PathTracer.Render(scene, width, height, paths);
    string file = Path.Combine(AppContext.BaseDirectory[..AppContext.BaseDirectory.IndexOf("DrawSamples", StringComparison.Ordinal)], "images", name + ".jpg");
    ImageBuffer.FromSamples<byte>(width, height, 3, pixels, name).Save(file, 88);
    Console.WriteLine($"{file}: {new FileInfo(file).Length / 1000} kB in {clock.Elapsed.TotalSeconds:0} s");
}
