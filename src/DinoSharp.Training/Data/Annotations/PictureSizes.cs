using DinoSharp.Images;

namespace DinoSharp.Training.Data.Annotations;

/// <summary>The sizes of annotated pictures, from their headers: what does not fit is told before hours of work, not after.</summary>
internal static class PictureSizes
{
    private const int Named = 3;

    /// <summary>Reads the headers.</summary>
    /// <param name="count">Number of pictures.</param>
    /// <param name="picture">Gives each.</param>
    /// <param name="fault">Says, of a picture and its width and height, what does not fit; null: nothing.</param>
    /// <returns>Width and height of each.</returns>
    /// <exception cref="DinoSharpException">Some cannot be read or do not fit; the message names the first of them and how many there are.</exception>
    public static (int Width, int Height)[] Require(int count, Func<int, ImageSource> picture, Func<int, int, int, string?> fault)
    {
        var sizes = new (int, int)[count];
        var faults = new List<string>();
        for (int i = 0; i < count; i++)
        {
            try
            {
                ImageInfo info = ImageFile.ReadInfo(picture(i));
                sizes[i] = (info.Width, info.Height);
                if (fault(i, info.Width, info.Height) is { } words)
                    faults.Add($"{info.Name}: is {info.Width}x{info.Height} pixels, {words}{(info.Orientation > 1 ? $" (it asks to be turned, EXIF orientation {info.Orientation}, but annotations lie on the pixels as they are stored: save it upright and without that entry)" : "")}");
            }
            catch (ImageException error)
            {
                faults.Add(error.Message);
            }
        }

        return faults.Count == 0 ? sizes : throw new DinoSharpException(
            $"{faults.Count} of {count} pictures cannot be used; repair or remove them: {string.Join("; ", faults.Take(Named))}{(faults.Count > Named ? "; …" : "")}");
    }

    /// <summary>The same for pictures with a map of the same size each.</summary>
    /// <param name="images">Files of the pictures.</param>
    /// <param name="maps">File of the map of each.</param>
    public static (int Width, int Height)[] Require(IReadOnlyList<string> images, IReadOnlyList<string> maps) => Require(images.Count, i => ImageSource.Stored(images[i]), (i, width, height) =>
    {
        ImageInfo map = ImageFile.ReadInfo(ImageSource.Stored(maps[i]));
        return (map.Width, map.Height) == (width, height) ? null : $"its map {maps[i]} {map.Width}x{map.Height}; they must be equal";
    });
}
