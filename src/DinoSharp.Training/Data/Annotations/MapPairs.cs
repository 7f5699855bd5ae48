using DinoSharp.Images;

namespace DinoSharp.Training.Data.Annotations;

/// <summary>Pictures with a map of the same size each: label maps, or depth. Paired by their paths below two folders, without extension.</summary>
/// <param name="Name">What it is, for messages.</param>
/// <param name="Images">Files of the pictures, sorted by path. [N]</param>
/// <param name="Maps">File of the map of each. [N]</param>
/// <param name="Groups">Group of each; null if every picture stands alone. [N]</param>
public sealed record MapPairs(string Name, IReadOnlyList<string> Images, IReadOnlyList<string> Maps, IReadOnlyList<string>? Groups = null) : IAnnotatedPictures<MapPairs>
{
    IReadOnlyList<string> IAnnotatedPictures<MapPairs>.Pictures => Images;

    bool IAnnotatedPictures<MapPairs>.AsStored => true;

    /// <summary>Number of pairs N.</summary>
    public int Count => Images.Count;

    /// <summary>Finds the pairs.</summary>
    /// <param name="images">Folder of the pictures.</param>
    /// <param name="maps">Folder of the maps; files of other names are left alone.</param>
    /// <param name="groups">Which pictures belong together; null: every picture stands alone.</param>
    /// <exception cref="DinoSharpException">A folder is missing or empty, or a picture has no map.</exception>
    public static MapPairs Open(string images, string maps, PictureGroups? groups = null)
    {
        FileDataset files = ImageFolder.Open(images, labelled: false), targets = ImageFolder.Open(maps, labelled: false);
        ILookup<string, string> byStem = Enumerable.Range(0, targets.Count).Select(targets.PathOf).ToLookup(p => Stem(maps, p));
        string[] paths = [.. Enumerable.Range(0, files.Count).Select(files.PathOf)];
        string[] missing = [.. paths.Where(p => !byStem.Contains(Stem(images, p)))];
        if (missing.Length > 0)
            throw new DinoSharpException($"{missing.Length} of {paths.Length} pictures in {images} have no map in {maps}: {missing[0]} needs {Path.Combine(maps, Stem(images, missing[0]) + ".png")}");
        string? twice = paths.Select(p => Stem(images, p)).FirstOrDefault(s => byStem[s].Count() > 1);
        if (twice is not null) throw new DinoSharpException($"{maps} has two maps for the picture {twice}: {string.Join(" and ", byStem[twice].Select(p => Path.GetFileName(p)))}; remove one");
        return new MapPairs(images, paths, [.. paths.Select(p => byStem[Stem(images, p)].Single())], groups?.Of(paths));
    }

    /// <summary>Divides the pairs into those to learn from and those to judge by, whole groups together.</summary>
    /// <param name="share">Share to hold out, at least one pair.</param>
    /// <param name="seed">Of the choice.</param>
    /// <exception cref="DinoSharpException">There is one pair or one group only.</exception>
    public (MapPairs Train, MapPairs Held) Divide(double share = 0.2, int seed = 0)
    {
        (int[] train, int[] held) = PictureGroups.Divide(Name, Count, Groups, share, seed);
        return (Select(train, " (training part)"), Select(held, " (held out)"));
    }

    /// <summary>Some of the pairs.</summary>
    /// <param name="indices">Which.</param>
    /// <param name="suffix">Added to the name.</param>
    public MapPairs Select(IReadOnlyList<int> indices, string suffix = "") =>
        new(Name + suffix, [.. indices.Select(i => Images[i])], [.. indices.Select(i => Maps[i])], Groups is null ? null : [.. indices.Select(i => Groups[i])]);

    /// <summary>Reads a label map.</summary>
    /// <param name="index">0 … N − 1.</param>
    /// <param name="classes">Knows the ids.</param>
    /// <param name="width">Width that it must have: the picture's.</param>
    /// <param name="height">Height that it must have.</param>
    /// <returns>Ids; <see cref="ClassTable.AlwaysIgnored"/> where a pixel does not count.</returns>
    /// <exception cref="DinoSharpException">The sizes differ, or there is an id that the table does not know.</exception>
    public LabelMap ReadLabels(int index, ClassTable classes, int width, int height)
    {
        LabelMap map = LabelMap.Read(ImageSource.Stored(Maps[index]));
        RequireSize(index, map.Width, map.Height, width, height);
        byte[] table = new byte[256];
        foreach (byte id in map.Ids) table[id] = classes.ClassOf(id, Maps[index]) ?? ClassTable.AlwaysIgnored;
        return new LabelMap(width, height, [.. map.Values.ToArray().Select(id => table[id])]);
    }

    /// <summary>Reads a depth map.</summary>
    /// <param name="index">0 … N − 1.</param>
    /// <param name="scale">Metres of one unit, for example 0.001.</param>
    /// <param name="width">Width that it must have: the picture's.</param>
    /// <param name="height">Height that it must have.</param>
    /// <returns>Metres [H, W]; 0 where nothing was measured (0, not-a-number, infinity or negative in the file).</returns>
    /// <exception cref="DinoSharpException">The sizes differ, or the file is coloured.</exception>
    public float[] ReadDepth(int index, double scale, int width, int height)
    {
        ImageBuffer image = ImageFile.Read(ImageSource.Stored(Maps[index]));
        RequireSize(index, image.Width, image.Height, width, height);
        if (image.Channels != 1) throw new DinoSharpException($"{Maps[index]}: has {image.Channels} bands; depth is a gray picture of 16 bit (or float), not a coloured one");
        float[] metres = new float[width * height];
        for (int i = 0; i < metres.Length; i++)
        {
            double value = image.SampleType switch
            {
                SampleType.UInt8 => image.Samples<byte>()[i],
                SampleType.UInt16 => image.Samples<ushort>()[i],
                _ => image.Samples<float>()[i],
            } * scale;
            metres[i] = double.IsFinite(value) && value > 0 ? (float)value : 0;
        }

        return metres;
    }

    private void RequireSize(int index, int width, int height, int wantedWidth, int wantedHeight)
    {
        if ((width, height) == (wantedWidth, wantedHeight)) return;
        throw new DinoSharpException($"{Maps[index]}: is {width}x{height} pixels, its picture {Images[index]} is {wantedWidth}x{wantedHeight} as stored (whatever its EXIF orientation asks for); they must be equal");
    }

    private static string Stem(string folder, string path) => Path.ChangeExtension(Path.GetRelativePath(folder, path), null).Replace('\\', '/');
}
