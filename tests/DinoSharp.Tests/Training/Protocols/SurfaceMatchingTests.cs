using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;
using Xunit;

namespace DinoSharp.Tests.Training.Protocols;

/// <summary>NAVI: reading of cameras and depth, and recall on the surface.</summary>
public sealed class SurfaceMatchingTests : IDisposable
{
    // A wall 500 mm away, 64 x 64 of the 128 x 96 pixels; one pixel is 5 mm of it. The second camera stands 40 mm further to the left, so that the wall lies 8 pixels further to the right.
    private const int Width = 128, Height = 96, Side = 64, Focal = 100, Shift = 8;
    private const ushort Disparity = 1311; // 655350 / 1311 = 499.886 mm
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TheSamePlaceOfTheSurfaceIsTheSameFromBothCameras()
    {
        ObjectViewPair pair = Wall();
        (ImageBuffer picture, Func<DinoSharp.Features.Matching.ImagePoint, SurfacePoint?> onA) = pair.A.Read();
        (_, Func<DinoSharp.Features.Matching.ImagePoint, SurfacePoint?> onB) = pair.B.Read();
        Assert.Equal((Side, Side), (picture.Width, picture.Height)); // the square around the object
        SurfacePoint a = onA(new(10.5, 20.5))!.Value, b = onB(new(10.5, 20.5))!.Value;
        Assert.Equal(0, a.DistanceTo(b), 4); // up to the rounding of the disparity
        Assert.Equal(0.005, a.DistanceTo(onA(new(11.5, 20.5))!.Value), 5); // a pixel is 5 mm
        Assert.Equal(0.499886, a.Z, 5);
        Assert.Equal(90, pair.A.AngleTo(pair.A with { Rotation = [0, -1, 0, 1, 0, 0, 0, 0, 1] }), 9);
        Assert.Equal([0, -1, 0, 1, 0, 0, 0, 0, 1], Turned().A.Rotation.Select(r => Math.Round(r, 9)));
    }

    [Fact]
    public void RecallIsCountedByHand()
    {
        ObjectViewPair pair = Wall();
        // 4 x 4 patches of 16 pixels, which are 80 mm: a right match is exact, any other is 8 cm or more away.
        EvaluationResult perfect = Run(pair, i => i, i => i);
        Assert.Equal((1, 1, "16"), (perfect.Metrics["recall"], perfect.Metrics["recallAt1cm"], perfect.Settings["places"]));
        EvaluationResult half = Run(pair, i => i, i => i < 8 ? i : (i + 1) % 16 < 8 ? 8 : i + 1); // the second half is moved by a patch
        Assert.Equal((0.5, 0.5), (half.Metrics["recallAt1cm"], half.Metrics["recallAt5cm"]));
        Assert.Equal(half.Metrics["recall"], half.Score([0]), 12);
        File.WriteAllText(pair.B.Depth, "no picture");
        Assert.Contains("none of the 1 pairs", Assert.Throws<DinoSharpException>(() => Run(pair, i => i, i => i)).Message);
    }

    [Fact]
    public void TheLayoutIsReadAndWhatIsMissingIsNamed()
    {
        Wall();
        IReadOnlyList<ObjectViewPair> pairs = ObjectViewPair.OpenNavi(_folder.Path);
        ObjectViewPair pair = Assert.Single(pairs); // the first of every four views, and the only other one
        Assert.Equal("wall: 000 and 001", pair.Name);
        Assert.Equal((Focal, Width, Height), ((int)pair.A.FocalPixels, pair.A.Width, pair.A.Height));
        File.Delete(pair.B.Depth);
        string missing = Assert.Throws<DinoSharpException>(() => ObjectViewPair.OpenNavi(_folder.Path)).Message;
        Assert.Contains("there is no " + pair.B.Depth, missing);
        Assert.Contains("OBJECT/wild_set/annotations.json", missing);
        File.WriteAllText(_folder.File("wall/wild_set/annotations.json"), """[{"filename":"000.png"}]""");
        Assert.Contains("cannot be understood", Assert.Throws<DinoSharpException>(() => ObjectViewPair.OpenNavi(_folder.Path)).Message);
        Assert.Contains("holds no object", Assert.Throws<DinoSharpException>(() => ObjectViewPair.OpenNavi(_folder.File("wall"))).Message);
    }

    private static EvaluationResult Run(ObjectViewPair pair, Func<int, int> directionsOfA, Func<int, int> directionsOfB)
    {
        bool first = true;
        return SurfaceMatchingProtocol.Run(
            square =>
            {
                Func<int, int> direction = first ? directionsOfA : directionsOfB;
                first = false;
                float[] values = new float[16 * 16];
                for (int i = 0; i < 16; i++) values[(i * 16) + direction(i)] = 1;
                return new PatchMap(4, 4, 16, values, PatchGeometry.Whole(square.Width, square.Height));
            },
            [pair], "by hand");
    }

    private ObjectViewPair Turned()
    {
        File.WriteAllText(_folder.File("wall/wild_set/annotations.json"), Annotations("[1,0,0,1]")); // a quarter turn, of any length
        return ObjectViewPair.OpenNavi(_folder.Path)[0];
    }

    private ObjectViewPair Wall()
    {
        foreach (string inner in (string[])["images", "depth"]) Directory.CreateDirectory(_folder.File("wall", "wild_set", inner));
        foreach ((string name, int left) in new[] { ("000", 24), ("001", 24 + Shift) })
        {
            TinyModel.Picture(Width, Height).Save(_folder.File($"wall/wild_set/images/{name}.png"));
            ushort[] depth = new ushort[Width * Height];
            for (int y = 16; y < 16 + Side; y++) Array.Fill(depth, Disparity, (y * Width) + left, Side);
            ImageBuffer.FromSamples<ushort>(Width, Height, 1, depth).Save(_folder.File($"wall/wild_set/depth/{name}.png"));
        }

        File.WriteAllText(_folder.File("wall/wild_set/annotations.json"), Annotations("[1,0,0,0]"));
        return ObjectViewPair.OpenNavi(_folder.Path)[0];
    }

    private static string Annotations(string quaternion) => $$$"""
        [{"filename":"000.png","image_size":[{{{Height}}},{{{Width}}}],"camera":{"q":{{{quaternion}}},"t":[0,0,0],"focal_length":{{{Focal}}}}},
         {"filename":"001.png","image_size":[{{{Height}}},{{{Width}}}],"camera":{"q":{{{quaternion}}},"t":[40,0,0],"focal_length":{{{Focal}}}}}]
        """;
}
