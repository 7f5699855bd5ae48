using System.Formats.Tar;
using System.IO.Compression;
using System.Text.RegularExpressions;
using DinoSharp.Images;

namespace DinoSharp.Cli.Embedding;

/// <summary>The pictures that the words on a command line stand for: files, folders (recursively, by extension), globs and tar shards. Found once, read one after the other.</summary>
internal sealed class InputImages
{
    /// <summary>What counts as a picture inside folders and tar shards. A file that is named itself is always tried.</summary>
    public static readonly IReadOnlySet<string> Extensions = new HashSet<string>(StringComparer.OrdinalIgnoreCase)
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".tga", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".dcm",
    };

    private readonly List<string> _files = [];
    private readonly List<SkippedInput> _skipped = [];

    private InputImages()
    {
    }

    /// <summary>What could not be found or listed, or was damaged; grows while the pictures are read.</summary>
    public IReadOnlyList<SkippedInput> Skipped => _skipped;

    /// <summary>Adds a picture that could not be embedded.</summary>
    public void Skip(string path, string reason) => _skipped.Add(new SkippedInput(path, reason));

    /// <summary>Finds the files.</summary>
    /// <param name="words">As given; order is kept, folders are sorted by name, a file that comes twice is taken once.</param>
    public static InputImages Find(IEnumerable<string> words)
    {
        var inputs = new InputImages();
        var seen = new HashSet<string>();
        foreach (string file in words.SelectMany(inputs.Expand))
        {
            if (seen.Add(Path.GetFullPath(file))) inputs._files.Add(file);
        }

        return inputs;
    }

    /// <summary>Number of pictures; null if it takes unpacking to know. Reads the directories of tar shards.</summary>
    public long? Count(CancellationToken cancel)
    {
        long count = 0;
        foreach (string file in _files)
        {
            cancel.ThrowIfCancellationRequested();
            if (!IsShard(file)) count++;
            else if (IsCompressed(file)) return null;
            else count += Members(file, report: false).Count();
        }

        return count;
    }

    /// <summary>The pictures in order. The content of a tar member is read when its turn comes; a damaged shard ends early and is listed in <see cref="Skipped"/>.</summary>
    public IEnumerable<(string Name, Func<ImageSource> Open)> Read() =>
        _files.SelectMany(file => IsShard(file) ? Members(file, report: true) : [(file, () => ImageSource.FromPath(file))]);

    private static bool IsShard(string file) => file.EndsWith(".tar", StringComparison.OrdinalIgnoreCase) || IsCompressed(file);

    private static bool IsCompressed(string file) => file.EndsWith(".tar.gz", StringComparison.OrdinalIgnoreCase) || file.EndsWith(".tgz", StringComparison.OrdinalIgnoreCase);

    private IEnumerable<(string Name, Func<ImageSource> Open)> Members(string shard, bool report)
    {
        using var reader = new ShardReader(shard);
        while (true)
        {
            TarEntry? entry;
            try
            {
                entry = reader.Next();
            }
            catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException or FormatException or ArgumentException)
            {
                if (report) Skip(shard, $"the rest of the shard cannot be read: {e.Message}");
                yield break;
            }

            if (entry is null) yield break;
            if (entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile) || !Extensions.Contains(Path.GetExtension(entry.Name)) || Path.GetFileName(entry.Name).StartsWith('.')) continue;
            string name = $"{shard}/{entry.Name}";
            yield return (name, () => ImageSource.FromStream(entry.DataStream ?? Stream.Null, name));
        }
    }

    private IEnumerable<string> Expand(string word)
    {
        if (File.Exists(word)) return [word];
        if (Directory.Exists(word)) return Walk(word, []);
        if (word.AsSpan().IndexOfAny("*?") >= 0)
        {
            string[] matches = [.. Glob(word)];
            if (matches.Length == 0) Skip(word, "no file matches");
            return matches;
        }

        Skip(word, "there is no such file or folder");
        return [];
    }

    /// <summary>Pictures and shards below a folder, sorted by name; hidden files are left out, links are followed but no folder is entered twice on one way down.</summary>
    private IEnumerable<string> Walk(string folder, IReadOnlyList<string> above, bool everything = false)
    {
        string real = new DirectoryInfo(folder).ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? Path.GetFullPath(folder);
        if (above.Contains(real)) yield break;
        string[] entries = [];
        try
        {
            entries = Directory.GetFileSystemEntries(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Skip(folder, $"the folder cannot be listed: {e.Message}");
        }

        Array.Sort(entries, StringComparer.Ordinal);
        foreach (string entry in entries.Where(entry => !Path.GetFileName(entry).StartsWith('.')))
        {
            if (Directory.Exists(entry))
            {
                foreach (string file in Walk(entry, [.. above, real], everything)) yield return file;
            }
            else if (everything || IsShard(entry) || Extensions.Contains(Path.GetExtension(entry)))
            {
                yield return entry;
            }
        }
    }

    /// <summary><c>*</c> and <c>?</c> match inside a name, <c>**</c> any number of folders. For shells that do not expand them, and for quoted patterns.</summary>
    private IEnumerable<string> Glob(string pattern)
    {
        string[] parts = pattern.Split(Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar);
        int plain = Array.FindIndex(parts, part => part.AsSpan().IndexOfAny("*?") >= 0);
        string start = string.Join(Path.DirectorySeparatorChar, parts[..plain]);
        string root = plain == 0 ? "." : start.Length == 0 ? Path.DirectorySeparatorChar.ToString() : start;
        if (!Directory.Exists(root)) return [];
        string expression = string.Concat(parts[plain..].Select((part, i) => part == "**" ? "(?:[^/]+/)*" : Part(part) + (plain + i < parts.Length - 1 ? "/" : "")));
        if (parts[^1] == "**") expression += "[^/]+";
        var regex = new Regex($"^{expression}$", OperatingSystem.IsWindows() ? RegexOptions.IgnoreCase : RegexOptions.None);
        return Walk(root, [], everything: true).Where(file => regex.IsMatch(Path.GetRelativePath(root, file).Replace('\\', '/')))
            .Select(file => plain == 0 ? Path.GetRelativePath(".", file) : file);

        static string Part(string part) => string.Concat(part.Select(c => c switch { '*' => "[^/]*", '?' => "[^/]", _ => Regex.Escape(c.ToString()) }));
    }

    /// <summary>The members of a tar file, plain or compressed with gzip, in order.</summary>
    private sealed class ShardReader(string path) : IDisposable
    {
        private FileStream? _file;
        private Stream? _content;
        private TarReader? _reader;

        public TarEntry? Next()
        {
            if (_reader is null)
            {
                _file = File.OpenRead(path);
                _content = IsCompressed(path) ? new GZipStream(_file, CompressionMode.Decompress) : _file;
                _reader = new TarReader(_content);
            }

            return _reader.GetNextEntry();
        }

        public void Dispose()
        {
            _reader?.Dispose();
            _content?.Dispose();
            _file?.Dispose();
        }
    }
}

/// <summary>Something that was not embedded, and why.</summary>
/// <param name="Path">The file, folder, shard or pattern.</param>
/// <param name="Reason">What is wrong with it.</param>
internal sealed record SkippedInput(string Path, string Reason);
