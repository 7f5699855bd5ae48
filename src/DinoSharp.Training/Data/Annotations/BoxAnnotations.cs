using System.Globalization;
using System.Text.Json;
using System.Xml;
using System.Xml.Linq;
using DinoSharp.Evaluation;
using DinoSharp.Images;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace DinoSharp.Training.Data.Annotations;

/// <summary>A picture with the objects on it.</summary>
/// <param name="Path">File of the picture.</param>
/// <param name="Width">Width that the annotation states; null if it does not.</param>
/// <param name="Height">Height that the annotation states; null if it does not.</param>
/// <param name="Objects">In pixels of the picture; <see cref="AnnotatedObject.Image"/> is the place of the picture in the list.</param>
public sealed record BoxedImage(string Path, int? Width, int? Height, IReadOnlyList<AnnotatedObject> Objects)
{
    /// <summary>Whether the boxes lie on the picture turned as its EXIF orientation asks for (YOLO, whose tools read it so); else on the pixels as they are stored (COCO, Pascal VOC).</summary>
    public bool Upright { get; init; }

    /// <summary>The picture on the grid of its boxes.</summary>
    internal ImageSource Source => Upright ? Path : ImageSource.Stored(Path);
}

/// <summary>Pictures with boxes around objects, from the formats of COCO, Pascal VOC and YOLO. The pictures are not touched.</summary>
/// <param name="Name">Where it comes from.</param>
/// <param name="Images">The pictures, also those without objects.</param>
/// <param name="Categories">Name of each category by its id.</param>
/// <param name="Groups">Group of each picture; null if every picture stands alone. [N]</param>
public sealed record BoxAnnotations(string Name, IReadOnlyList<BoxedImage> Images, IReadOnlyDictionary<int, string> Categories, IReadOnlyList<string>? Groups = null) : IAnnotatedPictures<BoxAnnotations>
{
    IReadOnlyList<string> IAnnotatedPictures<BoxAnnotations>.Pictures => [.. Images.Select(i => i.Path)];

    bool IAnnotatedPictures<BoxAnnotations>.AsStored => !Images[0].Upright;

    /// <summary>Reads COCO: <c>bbox</c> is x, y, width, height; <c>iscrowd</c> and <c>area</c> are kept.</summary>
    /// <param name="file">An <c>instances_*.json</c>.</param>
    /// <param name="images">Folder to which <c>file_name</c> is relative.</param>
    /// <exception cref="DinoSharpException">The file cannot be read, or refers to a picture or category that it does not list.</exception>
    public static BoxAnnotations ReadCoco(string file, string images)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(file));
            JsonElement root = json.RootElement;
            var categories = new SortedDictionary<int, string>();
            foreach (JsonElement c in Array(root, "categories")) categories[c.GetProperty("id").GetInt32()] = c.GetProperty("name").GetString()!;
            JsonElement[] listed = [.. Array(root, "images")];
            var place = new Dictionary<long, int>();
            foreach (JsonElement image in listed)
            {
                if (!place.TryAdd(image.GetProperty("id").GetInt64(), place.Count)) throw new DinoSharpException($"{file}: two images have the id {image.GetProperty("id").GetInt64()}");
            }

            List<AnnotatedObject>[] objects = [.. listed.Select(_ => new List<AnnotatedObject>())];
            int number = 0;
            foreach (JsonElement a in Array(root, "annotations"))
            {
                string where = $"{file}, annotation {number++}";
                long image = a.GetProperty("image_id").GetInt64();
                int category = a.GetProperty("category_id").GetInt32();
                if (!place.TryGetValue(image, out int index)) throw new DinoSharpException($"{where}: the image_id {image} is not among the images");
                if (!categories.ContainsKey(category)) throw new DinoSharpException($"{where}: the category_id {category} is not among the categories");
                double[] box = [.. a.GetProperty("bbox").EnumerateArray().Select(n => n.GetDouble())];
                if (box.Length != 4 || box.Any(n => !double.IsFinite(n)) || box[2] < 0 || box[3] < 0) throw new DinoSharpException($"{where}: bbox must be x, y, width, height with sizes of 0 or more, found [{string.Join(", ", box)}]");
                objects[index].Add(new AnnotatedObject(
                    index,
                    category,
                    new Box(box[0], box[1], box[2], box[3]),
                    a.TryGetProperty("area", out JsonElement area) && area.ValueKind == JsonValueKind.Number ? area.GetDouble() : null,
                    a.TryGetProperty("iscrowd", out JsonElement crowd) && crowd.ValueKind == JsonValueKind.Number && crowd.GetInt32() == 1));
            }

            return Checked(new BoxAnnotations(file, [.. listed.Select((image, i) => new BoxedImage(System.IO.Path.Combine(images, image.GetProperty("file_name").GetString()!), Size(image, "width"), Size(image, "height"), objects[i]))], categories));
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new DinoSharpException($"{file}: is no COCO annotation (images, annotations, categories): {error.Message}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{file}: the annotations cannot be read: {error.Message}", error);
        }

        IEnumerable<JsonElement> Array(JsonElement root, string key) => root.TryGetProperty(key, out JsonElement array) ? array.EnumerateArray() : throw new DinoSharpException($"{file}: the key '{key}' is missing; COCO annotations have images, annotations and categories");

        static int? Size(JsonElement image, string key) => image.TryGetProperty(key, out JsonElement size) && size.ValueKind == JsonValueKind.Number ? size.GetInt32() : null;
    }

    /// <summary>Reads Pascal VOC: <c>Annotations/NAME.xml</c>, <c>JPEGImages/</c>, <c>ImageSets/Main/SPLIT.txt</c>. Corners count pixels from 1 and include both ends; difficult objects are kept as such.</summary>
    /// <param name="root">The folder that holds the three.</param>
    /// <param name="split">Name of the list, such as train.</param>
    /// <param name="names">Numbers of the categories from another list, so that both agree; null: names in ordinal order.</param>
    /// <exception cref="DinoSharpException">Something is missing; the message names the file and the expected layout.</exception>
    public static BoxAnnotations ReadVoc(string root, string split, IReadOnlyDictionary<int, string>? names = null)
    {
        string list = System.IO.Path.Combine(root, "ImageSets", "Main", split + ".txt");
        if (!File.Exists(list)) throw new DinoSharpException($"{list}: is missing; Pascal VOC has Annotations/NAME.xml, JPEGImages/NAME.jpg and ImageSets/Main/{split}.txt");
        var found = new List<(string Path, int? Width, int? Height, List<(string Name, Box Box, bool Difficult)> Objects)>();
        foreach (string name in File.ReadLines(list).Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault()).OfType<string>())
        {
            string file = System.IO.Path.Combine(root, "Annotations", name + ".xml");
            try
            {
                XElement xml = XDocument.Load(file).Root!;
                string image = (string?)xml.Element("filename") is { Length: > 0 } stated && File.Exists(System.IO.Path.Combine(root, "JPEGImages", stated)) ? stated : name + ".jpg";
                List<(string Name, Box Box, bool Difficult)> objects =
                [
                    .. xml.Elements("object").Select(o =>
                    {
                        double[] c = [.. ((string[])["xmin", "ymin", "xmax", "ymax"]).Select(k => (double?)o.Element("bndbox")?.Element(k) ?? throw new DinoSharpException($"{file}: an object has no bndbox with {k}"))];
                        if (c[2] < c[0] || c[3] < c[1]) throw new DinoSharpException($"{file}: a box ends before it begins: {string.Join(", ", c)}");
                        return ((string?)o.Element("name") ?? throw new DinoSharpException($"{file}: an object has no name"), new Box(c[0] - 1, c[1] - 1, c[2] - c[0] + 1, c[3] - c[1] + 1), (string?)o.Element("difficult") == "1");
                    }),
                ];
                found.Add((System.IO.Path.Combine(root, "JPEGImages", image), (int?)xml.Element("size")?.Element("width"), (int?)xml.Element("size")?.Element("height"), objects));
            }
            catch (Exception error) when (error is XmlException or IOException or UnauthorizedAccessException or FormatException)
            {
                throw new DinoSharpException($"{file}: cannot be read as a Pascal VOC annotation: {error.Message}", error);
            }
        }

        names ??= found.SelectMany(f => f.Objects).Select(o => o.Name).Distinct().Order(StringComparer.Ordinal).Select((name, i) => (name, i)).ToDictionary(n => n.i, n => n.name);
        Dictionary<string, int> numbers = names.ToDictionary(n => n.Value, n => n.Key);
        return Checked(new BoxAnnotations(
            list,
            [
                .. found.Select((f, i) => new BoxedImage(f.Path, f.Width, f.Height, [.. f.Objects.Select(o => new AnnotatedObject(i, numbers.TryGetValue(o.Name, out int id) ? id : throw new DinoSharpException($"{list}: the category '{o.Name}' is not among {string.Join(", ", names.Values)}"), o.Box, null, Crowd: false, o.Difficult))])),
            ],
            names));
    }

    /// <summary>Reads YOLO: a YAML file with <c>path</c>, <c>train</c>, <c>val</c> and <c>names</c>; beside each <c>images</c> folder a <c>labels</c> folder with a line "class x y width height" (middle and size as shares of the picture) for each object.</summary>
    /// <param name="yaml">The file, usually data.yaml.</param>
    /// <param name="split">train or val.</param>
    /// <exception cref="DinoSharpException">Something is missing or out of range; the message names file and line.</exception>
    public static BoxAnnotations ReadYolo(string yaml, string split)
    {
        YamlMappingNode root;
        try
        {
            var stream = new YamlStream();
            using var reader = new StreamReader(yaml);
            stream.Load(reader);
            root = stream.Documents.FirstOrDefault()?.RootNode as YamlMappingNode ?? throw new DinoSharpException($"{yaml}: expected the keys path, {split} and names");
        }
        catch (Exception error) when (error is YamlException or IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{yaml}: cannot be read: {error.Message}", error);
        }

        Dictionary<int, string> names = Child("names") switch
        {
            YamlSequenceNode list => list.Select((n, i) => (n, i)).ToDictionary(n => n.i, n => n.n.ToString()),
            YamlMappingNode map => map.ToDictionary(n => int.Parse(n.Key.ToString(), CultureInfo.InvariantCulture), n => n.Value.ToString()),
            _ => throw new DinoSharpException($"{yaml}: the key 'names' is missing; it lists the classes"),
        };
        string start = System.IO.Path.GetFullPath(Child("path")?.ToString() ?? ".", System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(yaml))!);
        string folder = System.IO.Path.GetFullPath(Child(split)?.ToString() ?? throw new DinoSharpException($"{yaml}: the key '{split}' is missing; it names the folder of pictures"), start);
        FileDataset files = ImageFolder.Open(folder, labelled: false);
        return Checked(new BoxAnnotations(folder, [.. Enumerable.Range(0, files.Count).Select(i => Image(files.PathOf(i), i))], names));

        YamlNode? Child(string key) => root.Children.TryGetValue(new YamlScalarNode(key), out YamlNode? node) ? node : null;

        BoxedImage Image(string path, int index)
        {
            string marker = $"{System.IO.Path.DirectorySeparatorChar}images{System.IO.Path.DirectorySeparatorChar}";
            int at = path.LastIndexOf(marker, StringComparison.Ordinal);
            string labels = System.IO.Path.ChangeExtension(at < 0 ? path : path[..at] + marker.Replace("images", "labels", StringComparison.Ordinal) + path[(at + marker.Length)..], ".txt");
            ImageInfo info = ImageFile.ReadInfo(path);
            if (!File.Exists(labels)) return new BoxedImage(path, info.Width, info.Height, []) { Upright = true }; // a picture without objects has no file
            return new BoxedImage(path, info.Width, info.Height, [.. File.ReadLines(labels).Select((line, n) => (line, n)).Where(l => !string.IsNullOrWhiteSpace(l.line)).Select(l => Object(l.line, $"{labels}, line {l.n + 1}", index, info))]) { Upright = true };
        }

        AnnotatedObject Object(string line, string where, int index, ImageInfo info)
        {
            string[] words = line.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
            double[] n = [.. words.Select(w => double.TryParse(w, NumberStyles.Float, CultureInfo.InvariantCulture, out double v) ? v : double.NaN)];
            const double Excess = 1e-3; // of rounding
            if (n.Length < 5 || (n.Length > 5 && (n.Length < 7 || n.Length % 2 == 0)) || n.Any(v => !double.IsFinite(v)) || n[1..].Any(v => v is < -Excess or > 1 + Excess)) throw new DinoSharpException($"{where}: expected 'class x y width height', or a polygon 'class x1 y1 x2 y2 x3 y3 …', with shares of the picture from 0 to 1, found '{line}'");
            if (!names.ContainsKey((int)n[0])) throw new DinoSharpException($"{where}: the class {words[0]} is not among the names of {yaml}");
            (double left, double top, double right, double bottom) = n.Length == 5
                ? (n[1] - (n[3] / 2), n[2] - (n[4] / 2), n[1] + (n[3] / 2), n[2] + (n[4] / 2))
                : (Even(1).Min(), Even(2).Min(), Even(1).Max(), Even(2).Max()); // a polygon: its box
            return new AnnotatedObject(index, (int)n[0], new Box(left * info.Width, top * info.Height, (right - left) * info.Width, (bottom - top) * info.Height));

            IEnumerable<double> Even(int from) => n.Skip(from).Where((_, i) => i % 2 == 0);
        }
    }

    /// <summary>Reads the header of every picture, so that what cannot be used is known before anything is computed.</summary>
    /// <exception cref="DinoSharpException">Pictures cannot be read, or have another size than their annotations say.</exception>
    internal void RequirePictures() =>
        PictureSizes.Require(Images.Count, i => Images[i].Source, (i, w, h) => (Images[i].Width ?? w, Images[i].Height ?? h) == (w, h) ? null : $"its annotation says {Images[i].Width}x{Images[i].Height}");

    /// <summary>The same with the category ids of other annotations: files number their categories as they like, names are what both share.</summary>
    /// <param name="other">Whose ids to take.</param>
    /// <exception cref="DinoSharpException">An object is of a category that the other does not name.</exception>
    public BoxAnnotations Renumber(BoxAnnotations other)
    {
        Dictionary<string, int> ids = other.Categories.GroupBy(c => c.Value).ToDictionary(g => g.Key, g => g.First().Key);
        int Of(int category) => ids.TryGetValue(Categories[category], out int id) ? id : throw new DinoSharpException($"{Name}: the category '{Categories[category]}' ({category}) is not among those of {other.Name}: {string.Join(", ", ids.Keys)}");
        return this with { Images = [.. Images.Select(i => i with { Objects = [.. i.Objects.Select(o => o with { Category = Of(o.Category) })] })], Categories = other.Categories };
    }

    /// <summary>The same with the group of each picture.</summary>
    /// <param name="groups">Which pictures belong together; null: every picture stands alone.</param>
    /// <exception cref="DinoSharpException">A picture has no group.</exception>
    public BoxAnnotations WithGroups(PictureGroups? groups) => this with { Groups = groups?.Of([.. Images.Select(i => i.Path)]) };

    /// <summary>Divides the pictures into those to learn from and those to judge by, whole groups together.</summary>
    /// <param name="share">Share to hold out, at least one picture.</param>
    /// <param name="seed">Of the choice.</param>
    /// <exception cref="DinoSharpException">There is one picture or one group only.</exception>
    public (BoxAnnotations Train, BoxAnnotations Held) Divide(double share = 0.2, int seed = 0)
    {
        (int[] train, int[] held) = PictureGroups.Divide(Name, Images.Count, Groups, share, seed);
        return (Select(train, " (training part)"), Select(held, " (held out)"));
    }

    /// <summary>Some of the pictures; their objects are numbered anew.</summary>
    /// <param name="indices">Which.</param>
    /// <param name="suffix">Added to the name.</param>
    public BoxAnnotations Select(IReadOnlyList<int> indices, string suffix = "") =>
        this with
        {
            Name = Name + suffix,
            Images = [.. indices.Select((from, to) => Images[from] with { Objects = [.. Images[from].Objects.Select(o => o with { Image = to })] })],
            Groups = Groups is null ? null : [.. indices.Select(i => Groups[i])],
        };

    private static BoxAnnotations Checked(BoxAnnotations set)
    {
        if (set.Images.Count == 0) throw new DinoSharpException($"{set.Name}: lists no pictures");
        if (set.Categories.Count == 0) throw new DinoSharpException($"{set.Name}: has no categories");
        string? missing = set.Images.Select(i => i.Path).FirstOrDefault(p => !File.Exists(p));
        return missing is null ? set : throw new DinoSharpException($"{missing}: is missing, but {set.Name} lists it; is the folder of the pictures the right one?");
    }
}
