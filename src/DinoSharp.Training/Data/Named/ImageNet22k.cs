using DinoSharp.Images;

namespace DinoSharp.Training.Data.Named;

/// <summary>
/// ImageNet-22k: one uncompressed tar file per class under the root. With the original's table <c>entries.npy</c> nothing is scanned; without it the tar headers are.
/// </summary>
public static class ImageNet22k
{
    // A tar member is preceded by one block of header.
    private const int Block = 512;

    // Known to be no usable image; the original leaves it out, too.
    private const string Broken = "n06470073_47249.JPEG";

    /// <summary>Opens the data set.</summary>
    /// <param name="root">The folder of tar files.</param>
    /// <param name="extra">The folder of <c>entries.npy</c>; null: scan the tar files.</param>
    /// <param name="reading">How files are read; null for the defaults.</param>
    /// <exception cref="DinoSharpException">Something that is needed is not there.</exception>
    public static TarDataset Open(string root, string? extra = null, ImageReadOptions? reading = null)
    {
        reading ??= new ImageReadOptions();
        string name = $"ImageNet22k ({root})";
        if (extra is null) return TarShards.OpenClassTars(name, TarShards.Expand(root), reading);
        NpyTable table = NpyTable.Read(Path.Combine(extra, "entries.npy"));
        var members = new List<TarMember>(table.Rows);
        var labels = new List<int>(table.Rows);
        var classes = new SortedDictionary<int, string>();
        for (int i = 0; i < table.Rows; i++)
        {
            (string file, string id, int label) = (table.Text("filename", i), table.Text("class_id", i), (int)table.Number("class_index", i));
            if (file == Broken) continue;

            // The offsets are counted in the original in bytes; they include the header and the padding to a whole block.
            long start = table.Number("start_offset", i), end = table.Number("end_offset", i);
            if (end < start + Block) throw new DinoSharpException($"{extra}/entries.npy, row {i}: the member {file} ends at {end} before its header does ({start} + {Block})");
            members.Add(new TarMember(Path.Combine(root, id + ".tar"), file, start + Block, (int)(end - start - Block)));
            labels.Add(label);
            classes.TryAdd(label, id);
        }

        return new TarDataset(name, members, labels, [.. Enumerable.Range(0, classes.Keys.LastOrDefault() + 1).Select(c => classes.GetValueOrDefault(c, ""))], reading);
    }
}
