using System.Text.Json;
using DinoSharp.Features.Matching;
using DinoSharp.Images;

namespace DinoSharp.Training.Protocols.Benchmarks;

/// <summary>A place on the surface of an object, in metres in the frame of the object.</summary>
public readonly record struct SurfacePoint(double X, double Y, double Z)
{
    /// <summary>Distance to another place in metres.</summary>
    /// <param name="other">The other place.</param>
    public double DistanceTo(SurfacePoint other) => Math.Sqrt(Math.Pow(X - other.X, 2) + Math.Pow(Y - other.Y, 2) + Math.Pow(Z - other.Z, 2));
}

/// <summary>A picture of an object with the depth of its surface and the camera (NAVI).</summary>
/// <param name="Picture">File of the picture; it lies upright as its EXIF orientation asks for.</param>
/// <param name="Depth">File of the depth: 16-bit PNG, 655350 divided by the millimetres; 0 is not the object.</param>
/// <param name="FocalPixels">Focal length in pixels of a picture of the annotated size, whose middle is the optical axis.</param>
/// <param name="Width">Annotated width.</param>
/// <param name="Height">Annotated height.</param>
/// <param name="Rotation">From the object to the camera (right, down, forward), row by row. [9]</param>
/// <param name="Translation">From the object to the camera, millimetres. [3]</param>
public sealed record ObjectView(string Picture, string Depth, double FocalPixels, int Width, int Height, IReadOnlyList<double> Rotation, IReadOnlyList<double> Translation)
{
    private const double DisparityScale = 10.0 * ushort.MaxValue;

    /// <summary>Angle between the directions of two cameras in degrees.</summary>
    /// <param name="other">The other view.</param>
    public double AngleTo(ObjectView other)
    {
        double trace = 0;
        for (int i = 0; i < 9; i++) trace += Rotation[i] * other.Rotation[i]; // of R · Rᵀ
        return Math.Acos(Math.Clamp((trace - 1) / 2, -1, 1)) * 180 / Math.PI;
    }

    /// <summary>The square around the object, and the surface seen at each of its places.</summary>
    /// <returns>8-bit RGB; a function of places on it that gives null beside the object.</returns>
    /// <exception cref="ImageException">A file cannot be read, or shows no depth.</exception>
    internal (ImageBuffer Picture, Func<ImagePoint, SurfacePoint?> Surface) Read()
    {
        ImageBuffer picture = ImageFile.Read(Picture).ToRgb8(), map = ImageFile.Read(ImageSource.Stored(Depth));
        if (map.SampleType != SampleType.UInt16 || map.Channels != 1) throw new ImageException(Depth, $"expected one band of 16 bit, found {map.Channels} of {map.SampleType}");
        if ((map.Width, map.Height) != (picture.Width, picture.Height)) throw new ImageException(Depth, $"has {map.Width}x{map.Height} pixels, its picture {Picture} {picture.Width}x{picture.Height}; they must be equal");
        ushort[] disparity = map.Samples<ushort>().ToArray();
        int[] seen = [.. Enumerable.Range(0, disparity.Length).Where(i => disparity[i] > 0)];
        if (seen.Length == 0) throw new ImageException(Depth, "no pixel has a depth, so there is no object");
        (int left, int right, int top, int bottom) = (seen.Min(i => i % map.Width), seen.Max(i => i % map.Width), seen[0] / map.Width, seen[^1] / map.Width);
        int side = Math.Min(Math.Max(right - left, bottom - top) + 1, Math.Min(map.Width, map.Height));
        int x0 = Math.Clamp((left + right + 1 - side) / 2, 0, map.Width - side), y0 = Math.Clamp((top + bottom + 1 - side) / 2, 0, map.Height - side);
        byte[] square = new byte[side * side * 3];
        for (int y = 0; y < side; y++) picture.Samples<byte>().Slice((((y0 + y) * picture.Width) + x0) * 3, side * 3).CopyTo(square.AsSpan(y * side * 3));
        double focal = FocalPixels * picture.Width / Width;
        return (ImageBuffer.FromSamples<byte>(side, side, 3, square, Picture), Surface);

        SurfacePoint? Surface(ImagePoint place)
        {
            (int x, int y) = (x0 + Math.Clamp((int)place.X, 0, side - 1), y0 + Math.Clamp((int)place.Y, 0, side - 1));
            int value = disparity[(y * map.Width) + x];
            if (value == 0) return null;
            double depth = DisparityScale / value; // millimetres
            double[] p = [((x + 0.5 - (map.Width / 2.0)) * depth / focal) - Translation[0], ((y + 0.5 - (map.Height / 2.0)) * depth / focal) - Translation[1], depth - Translation[2]];
            return new SurfacePoint(Turned(p, 0) / 1000, Turned(p, 1) / 1000, Turned(p, 2) / 1000);
        }
    }

    // Back into the frame of the object: the transpose of the rotation.
    private double Turned(double[] p, int axis) => (Rotation[axis] * p[0]) + (Rotation[3 + axis] * p[1]) + (Rotation[6 + axis] * p[2]);
}

/// <summary>Two views of an object.</summary>
/// <param name="Name">For reports.</param>
/// <param name="A">Whose places are looked for.</param>
/// <param name="B">Where they are looked for.</param>
public sealed record ObjectViewPair(string Name, ObjectView A, ObjectView B)
{
    private const string Annotations = "annotations.json", Scene = "wild_set";
    private const int EveryNth = 4;
    private const double MostDegrees = 120;

    private const string Layout = "NAVI: OBJECT/wild_set/annotations.json (a list with filename, image_size and camera: q, t, focal_length), OBJECT/wild_set/images/NAME.jpg and OBJECT/wild_set/depth/NAME.png";

    /// <summary>Whether a folder is laid out as NAVI is.</summary>
    internal static bool IsNavi(string root) => Directory.Exists(root) && Directory.EnumerateDirectories(root).Any(o => Directory.Exists(Path.Combine(o, Scene)));

    /// <summary>The pairs of the protocol (paper, appendix D.3, after Probe3D): every fourth view of the pictures in the wild, and for each a random other view of the object whose camera is turned by 120° or less.</summary>
    /// <param name="root">The folder of NAVI.</param>
    /// <param name="seed">Of the choice of the other views. The published choice was drawn by another generator, so a few pairs differ from it.</param>
    /// <exception cref="DinoSharpException">Something is missing or cannot be understood; the message names it and the layout.</exception>
    public static IReadOnlyList<ObjectViewPair> OpenNavi(string root, int seed = 8)
    {
        if (!IsNavi(root)) throw new DinoSharpException($"{root} holds no object with a folder {Scene}; expected is {Layout}");
        var random = new Random(seed);
        var pairs = new List<ObjectViewPair>();
        int number = 0;
        foreach (string scene in Directory.EnumerateDirectories(root).Order(StringComparer.Ordinal).Select(o => Path.Combine(o, Scene)).Where(Directory.Exists))
        {
            ObjectView[] views = Views(scene);
            foreach (ObjectView a in views)
            {
                ObjectView[] near = [.. views.Where(v => !ReferenceEquals(v, a) && a.AngleTo(v) <= MostDegrees)];
                if (number++ % EveryNth != 0 || near.Length == 0) continue;
                ObjectView b = near[random.Next(near.Length)];
                pairs.Add(new ObjectViewPair($"{Path.GetFileName(Path.GetDirectoryName(scene))}: {Path.GetFileNameWithoutExtension(a.Picture)} and {Path.GetFileNameWithoutExtension(b.Picture)}", a, b));
            }
        }

        return pairs.Count > 0 ? pairs : throw new DinoSharpException($"{root}: no object has two views that are turned by {MostDegrees}° or less against each other; expected is {Layout}");
    }

    private static ObjectView[] Views(string scene)
    {
        string file = Path.Combine(scene, Annotations);
        if (!File.Exists(file)) throw Missing(file);
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(file));
            return [.. json.RootElement.EnumerateArray().OrderBy(v => v.GetProperty("filename").GetString(), StringComparer.Ordinal).Select(v =>
            {
                string name = v.GetProperty("filename").GetString()!;
                JsonElement camera = v.GetProperty("camera"), size = v.GetProperty("image_size");
                (string picture, string depth) = (Path.Combine(scene, "images", name), Path.Combine(scene, "depth", Path.GetFileNameWithoutExtension(name) + ".png"));
                foreach (string needed in (string[])[picture, depth]) if (!File.Exists(needed)) throw Missing(needed);
                return new ObjectView(
                    picture, depth, camera.GetProperty("focal_length").GetDouble(), size[1].GetInt32(), size[0].GetInt32(),
                    Matrix(Numbers(camera.GetProperty("q"), 4)), Numbers(camera.GetProperty("t"), 3));
            })];
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException)
        {
            throw new DinoSharpException($"{file} cannot be understood: {error.Message} Expected is {Layout}", error);
        }

        double[] Numbers(JsonElement list, int count) =>
            list.GetArrayLength() == count ? [.. list.EnumerateArray().Select(n => n.GetDouble())] : throw new DinoSharpException($"{file}: a camera has {list.GetArrayLength()} numbers where {count} are expected; expected is {Layout}");
    }

    // Of a quaternion w, x, y, z of any length. [9]
    private static double[] Matrix(double[] q)
    {
        (double w, double x, double y, double z) = (q[0], q[1], q[2], q[3]);
        double s = 2 / ((w * w) + (x * x) + (y * y) + (z * z));
        return
        [
            1 - (s * ((y * y) + (z * z))), s * ((x * y) - (z * w)), s * ((x * z) + (y * w)),
            s * ((x * y) + (z * w)), 1 - (s * ((x * x) + (z * z))), s * ((y * z) - (x * w)),
            s * ((x * z) - (y * w)), s * ((y * z) + (x * w)), 1 - (s * ((x * x) + (y * y))),
        ];
    }

    private static DinoSharpException Missing(string file) => new($"there is no {file}; expected is {Layout}");
}
