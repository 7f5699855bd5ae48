using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Weights;

namespace DinoSharp.Training.Protocols.Benchmarks;

/// <summary>Which pictures of the revisited Oxford and Paris count as right (Radenović et al. 2018).</summary>
public enum RevisitedProtocol
{
    /// <summary>The easy ones; the hard ones count neither way.</summary>
    Easy,

    /// <summary>The easy and the hard ones.</summary>
    Medium,

    /// <summary>The hard ones; the easy ones count neither way.</summary>
    Hard,
}

/// <summary>What is right for one query, as indices into the database.</summary>
/// <param name="Box">The building on the query: left, top, right, bottom in pixels; null: the whole picture.</param>
/// <param name="Easy">Clearly shown.</param>
/// <param name="Hard">Shown from aside, partly or in bad light.</param>
/// <param name="Junk">Hardly to be seen; counts neither way.</param>
public sealed record RevisitedQuery(IReadOnlyList<double>? Box, IReadOnlyList<int> Easy, IReadOnlyList<int> Hard, IReadOnlyList<int> Junk)
{
    /// <summary>Pictures that are right, and those that count neither way.</summary>
    /// <param name="protocol">By which rule.</param>
    public (IReadOnlySet<int> Right, IReadOnlySet<int> Junk) Under(RevisitedProtocol protocol) => protocol switch
    {
        RevisitedProtocol.Easy => (Easy.ToHashSet(), Junk.Concat(Hard).ToHashSet()),
        RevisitedProtocol.Medium => (Easy.Concat(Hard).ToHashSet(), Junk.ToHashSet()),
        _ => (Hard.ToHashSet(), Junk.Concat(Easy).ToHashSet()),
    };
}

/// <summary>Revisited Oxford and Paris: photographs of buildings, and which of them show the building of each query.</summary>
/// <param name="Database">Files of the pictures to search.</param>
/// <param name="Queries">Files of the pictures to search for.</param>
/// <param name="Truth">What is right for each query.</param>
public sealed record RevisitedBuildings(IReadOnlyList<string> Database, IReadOnlyList<string> Queries, IReadOnlyList<RevisitedQuery> Truth)
{
    private const string Layout = "gnd_roxford5k.pkl or gnd_rparis6k.pkl beside a folder jpg with the pictures it names, jpg/NAME.jpg";

    /// <summary>Reads the ground truth. The pickle is read as data; nothing in it is executed.</summary>
    /// <param name="root">The folder that holds it.</param>
    /// <exception cref="DinoSharpException">Something is missing or not as expected; the message names it and the layout.</exception>
    public static RevisitedBuildings Open(string root)
    {
        string[] files = Directory.Exists(root) ? [.. Directory.EnumerateFiles(root, "gnd_*.pkl").Order(StringComparer.Ordinal)] : [];
        if (files.Length != 1) throw new DinoSharpException($"{root} holds {(files.Length == 0 ? "no file gnd_*.pkl" : $"{files.Length} files gnd_*.pkl")}; expected is {Layout}");
        string file = files[0];
        object? tree = new PickleReader(File.ReadAllBytes(file), file, []).Read();
        string[] database = [.. Names(Entry(tree, "imlist"), "imlist")], queries = [.. Names(Entry(tree, "qimlist"), "qimlist")];
        RevisitedQuery[] truth = [.. Items(Entry(tree, "gnd"), "gnd").Select(Query)];
        if (database.Length == 0 || truth.Length == 0 || queries.Length != truth.Length) throw Wrong($"{database.Length} pictures, {queries.Length} queries and {truth.Length} entries of ground truth");
        return new RevisitedBuildings([.. database.Select(Picture)], [.. queries.Select(Picture)], truth);

        RevisitedQuery Query(object? entry)
        {
            double[]? box = Find(entry, "bbx") is { } numbers ? [.. Items(numbers, "bbx").Select(n => n switch { double d => d, long l => l, _ => throw Wrong("a bbx that is no list of numbers") })] : null;
            if (box is { Length: not 4 } || box is [var left, var top, var right, var bottom] && !(left < right && top < bottom)) throw Wrong("a bbx that is no left, top, right, bottom");
            return new RevisitedQuery(box, Indices("easy"), Indices("hard"), Indices("junk"));

            int[] Indices(string key) => [.. Items(Entry(entry, key), key).Select(n => n is long i && i >= 0 && i < database.Length ? (int)i : throw Wrong($"'{key}' with {n ?? "nothing"}, which is no index of one of the {database.Length} pictures"))];
        }

        string Picture(string name)
        {
            string path = Path.Combine(root, "jpg", name + ".jpg");
            return File.Exists(path) ? path : throw new DinoSharpException($"there is no picture {path}, which {Path.GetFileName(file)} names; expected is {Layout}");
        }

        IEnumerable<string> Names(object? list, string key) =>
            Items(list, key).Select(n => n is string name && name == Path.GetFileName(name) ? name : throw Wrong($"'{key}' with something that is no name of a picture"));

        object? Entry(object? from, string key) => Find(from, key) ?? throw Wrong($"no '{key}'");

        object? Find(object? from, string key) => from is PickleDictionary d ? d.Items.LastOrDefault(i => i.Key is string k && k == key).Value : throw Wrong($"something else where a dictionary with '{key}' was expected");

        IEnumerable<object?> Items(object? list, string key) => list switch
        {
            PickleList l => l.Items,
            object?[] tuple => tuple,
            _ => throw Wrong($"'{key}' that is no list (an array of NumPy? Convert it with tolist() and save again)"),
        };

        DinoSharpException Wrong(string what) => new($"{file} holds {what}; expected is a dictionary with imlist, qimlist and gnd, a list of dictionaries with bbx, easy, hard and junk");
    }

    /// <summary>The database as the protocol sees it.</summary>
    /// <param name="side">Side of the square in pixels.</param>
    internal ImageDataset DatabaseImages(int side) => new WholeInSquare("database", Database, null, side);

    /// <summary>The queries as the protocol sees them: the building alone.</summary>
    /// <param name="side">Side of the square in pixels.</param>
    internal ImageDataset QueryImages(int side) => new WholeInSquare("queries", Queries, [.. Truth.Select(t => t.Box)], side);

    /// <summary>Pictures brought to a longer side and set in the middle of a black square, so that nothing is cut off (paper, appendix D.8). Each is a class of its own.</summary>
    private sealed class WholeInSquare(string name, IReadOnlyList<string> paths, IReadOnlyList<IReadOnlyList<double>?>? boxes, int side) : ImageDataset
    {
        public override string Name => name;

        public override int Count => paths.Count;

        public override IReadOnlyList<string> Classes => paths;

        public override int? LabelOf(int index) => index;

        public override string PathOf(int index) => paths[index];

        public override ImageBuffer Read(int index)
        {
            ImageBuffer picture = ImageFile.Read(paths[index]).ToRgb8();
            var window = new PixelWindow(0, 0, picture.Width, picture.Height);
            if (boxes?[index] is { } box)
            {
                int left = Math.Clamp((int)box[0], 0, picture.Width - 1), top = Math.Clamp((int)box[1], 0, picture.Height - 1);
                window = new PixelWindow(left, top, Math.Clamp((int)box[2], left + 1, picture.Width) - left, Math.Clamp((int)box[3], top + 1, picture.Height) - top);
            }

            int longer = Math.Max(window.Width, window.Height);
            int width = Math.Max(1, (int)((long)side * window.Width / longer)), height = Math.Max(1, (int)((long)side * window.Height / longer));
            byte[] small = new byte[width * height * 3], square = new byte[side * side * 3];
            Resize.UInt8(picture.Samples<byte>(), picture.Width, picture.Height, 3, window, small, width, height, Interpolation.Bicubic, ResizeArithmetic.Pillow);
            (int x, int y) = ((side - width) / 2, (side - height) / 2);
            for (int row = 0; row < height; row++) small.AsSpan(row * width * 3, width * 3).CopyTo(square.AsSpan((((y + row) * side) + x) * 3));
            return ImageBuffer.FromSamples<byte>(side, side, 3, square);
        }

        // The store of features goes by the content of what the model sees, which is another for each box.
        internal override ImageSource FileOf(int index) => ImageSource.FromBytes((byte[])[.. System.Text.Encoding.ASCII.GetBytes($"P6 {side} {side} 255\n"), .. Read(index).Samples<byte>()], paths[index]);
    }
}
