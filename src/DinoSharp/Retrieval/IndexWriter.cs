using System.Security.Cryptography;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Retrieval;

/// <summary>What an update of an index did.</summary>
/// <param name="Embedded">Pictures whose vector was computed.</param>
/// <param name="Reused">Pictures whose content was in the index already, under this or another name.</param>
/// <param name="Unchanged">Pictures that were not even read: size and time are those of the index.</param>
/// <param name="Removed">Pictures that left the index because their file is gone, or is another now that cannot be read.</param>
/// <param name="Skipped">Files that cannot be read, and why.</param>
public sealed record IndexUpdate(int Embedded, int Reused, int Unchanged, int Removed, IReadOnlyList<ImageException> Skipped);

/// <summary>Brings an index up to date with files on the disk. Work is saved every half minute, so that an interrupted update goes on where it stopped.</summary>
internal sealed class IndexWriter : IDisposable
{
    // Rows of a part that is written while an update runs, and of a part into which small ones are merged.
    private const int FlushRows = 4096, MergedRows = 16384, MaxSmallSegments = 8;
    private static readonly TimeSpan FlushInterval = TimeSpan.FromSeconds(30);

    private readonly string _folder;
    private readonly FileStream _lock;
    private readonly List<IndexSegment> _segments = [];
    private readonly Dictionary<string, (IndexSegment Segment, int Row)> _byPath = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (IndexSegment Segment, int Row)> _byHash = new(StringComparer.Ordinal);
    private readonly List<(IndexItem Item, float[] Vector)> _pending = [];
    private readonly Dictionary<string, float[]> _pendingByHash = new(StringComparer.Ordinal);
    private IndexManifest _manifest;
    private (IndexSegment Segment, float[] Vectors)? _cache;
    private DateTime _flushed = DateTime.UtcNow;
    private int _mergedSegments;

    private IndexWriter(string folder, FileStream fileLock, IndexManifest manifest) => (_folder, _lock, _manifest) = (folder, fileLock, manifest);

    /// <summary>Opens an index for writing, or begins a new one.</summary>
    /// <param name="folder">Where; created if missing.</param>
    /// <param name="settings">How vectors are made; must be those of the index.</param>
    /// <exception cref="DinoSharpException">Another program is writing, the settings differ, or the folder holds other things.</exception>
    public static IndexWriter Open(string folder, IndexSettings settings)
    {
        if (!File.Exists(IndexManifest.PathIn(folder)) && Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any(e => !IsOurs(e)))
            throw new DinoSharpException($"{folder} is not empty and no index; give the name of a new folder");
        FileStream fileLock;
        try
        {
            Directory.CreateDirectory(folder);
            fileLock = new FileStream(Path.Combine(folder, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{folder} cannot be written, or another program is writing to it: {e.Message}", e);
        }

        try
        {
            bool exists = File.Exists(IndexManifest.PathIn(folder)); // what another writer did until a moment ago counts
            IndexManifest manifest = exists ? IndexManifest.Read(folder) : new IndexManifest { Settings = settings };
            if (manifest.Settings with { Model = settings.Model } != settings) throw new DinoSharpException($"{folder} was made with {Describe(manifest.Settings)}, not with {Describe(settings)}; vectors of the two cannot be compared, so use the same or build another index");
            var writer = new IndexWriter(folder, fileLock, manifest);
            writer.OpenSegments();
            if (!exists) manifest.Write(folder);
            return writer;
        }
        catch
        {
            fileLock.Dispose();
            throw;
        }
    }

    /// <summary>Adds new and changed files and drops those that are gone.</summary>
    /// <param name="files">Files to look at.</param>
    /// <param name="batchSize">Pictures computed at once.</param>
    /// <param name="embed">Turns batches of pictures into vectors; lazy.</param>
    /// <param name="below">Folders whose files leave the index when they are gone, as do those that turn up under another name; null: nothing leaves it.</param>
    /// <param name="progress">Told how many files have been looked at.</param>
    /// <param name="cancel">Stops between batches; what is done is kept.</param>
    public IndexUpdate Update(
        IEnumerable<string> files, int batchSize, Func<IEnumerable<IReadOnlyList<ImageSource>>, IEnumerable<IReadOnlyList<(float[]? Vector, ImageException? Error)>>> embed, IReadOnlyList<string>? below, IProgress<long>? progress, CancellationToken cancel)
    {
        int embedded = 0, reused = 0, unchanged = 0, seen = 0;
        var skipped = new List<ImageException>();
        var waiting = new Queue<IndexItem[]>();
        var twins = new Dictionary<string, List<IndexItem>>(StringComparer.Ordinal); // of pictures that wait, by content
        int waitingTwins = 0;
        var broken = new HashSet<string>(StringComparer.Ordinal); // known pictures whose files are others now, which cannot be read
        var known = new HashSet<string>(StringComparer.Ordinal); // content that the index had already: a gone file with it has moved
        string[] gone = [];
        try
        {
            foreach (IReadOnlyList<(float[]? Vector, ImageException? Error)> results in embed(Batches()))
            {
                foreach ((IndexItem item, (float[]? vector, ImageException? error)) in waiting.Dequeue().Zip(results))
                {
                    twins.Remove(item.Hash, out List<IndexItem>? others);
                    waitingTwins -= others!.Count;
                    if (vector is null)
                    {
                        broken.UnionWith(others.Prepend(item).Select(one => one.FullPath).Where(_byPath.ContainsKey));
                        skipped.AddRange([error!, .. others!.Select(other => new ImageException(other.Path, error!.Cause))]);
                        continue;
                    }

                    foreach (IndexItem one in (IndexItem[])[item, .. others!]) Add(one, vector);
                    embedded++;
                    reused += others!.Count;
                }

                FlushIfDue();
            }

            gone = below is null ? [] : Gone(below, known);
        }
        finally
        {
            Flush([.. gone, .. broken]); // also when stopped: what is computed is kept; what is gone leaves last, because its vectors serve those who have the same content
        }

        return new IndexUpdate(embedded, reused, unchanged, gone.Length + broken.Count, skipped);

        IEnumerable<IReadOnlyList<ImageSource>> Batches()
        {
            var (items, sources) = (new List<IndexItem>(), new List<ImageSource>());
            foreach (string file in files)
            {
                cancel.ThrowIfCancellationRequested();
                if (Look(file) is var (item, source))
                {
                    items.Add(item);
                    sources.Add(source);
                }

                progress?.Report(++seen);
                if (items.Count < batchSize && waitingTwins < FlushRows) continue; // any number of equal files waits for one picture
                waiting.Enqueue([.. items]);
                yield return [.. sources];
                items.Clear();
                sources.Clear();
            }

            if (items.Count == 0) yield break;
            waiting.Enqueue([.. items]);
            yield return sources;
        }

        (IndexItem Item, ImageSource Source)? Look(string file)
        {
            string path = Path.GetFullPath(file);
            try
            {
                var info = new FileInfo(path);
                bool isOld = _byPath.TryGetValue(path, out (IndexSegment Segment, int Row) old);
                if (isOld && info.Exists && old.Segment.Items[old.Row] is { } before && before.Size == info.Length && before.Modified == info.LastWriteTimeUtc)
                {
                    unchanged++;
                    known.Add(before.Hash);
                    return null;
                }

                byte[] content = File.ReadAllBytes(path);
                string name = !isOld ? file : old.Segment.BaseFolder == Environment.CurrentDirectory ? old.Segment.Items[old.Row].Path : path;
                var item = new IndexItem(name, Convert.ToHexStringLower(SHA256.HashData(content)), info.Length, info.LastWriteTimeUtc) { FullPath = path };
                if (twins.TryGetValue(item.Hash, out List<IndexItem>? others))
                {
                    others.Add(item);
                    waitingTwins++;
                    return null;
                }

                float[]? vector = _pendingByHash.GetValueOrDefault(item.Hash);
                if (vector is null && _byHash.TryGetValue(item.Hash, out (IndexSegment Segment, int Row) same))
                {
                    vector = Vector(same.Segment, same.Row);
                    known.Add(item.Hash);
                }

                if (vector is null)
                {
                    twins.Add(item.Hash, []);
                    return (item, ImageSource.FromBytes(content, file));
                }

                Add(item, vector);
                reused++;
                FlushIfDue();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                skipped.Add(new ImageException(file, $"cannot be read: {e.Message}", e));
            }

            return null;
        }
    }

    /// <summary>Closes the files and lets others write.</summary>
    public void Dispose()
    {
        foreach (IndexSegment segment in _segments) segment.Dispose();
        _lock.Dispose();
    }

    private static bool IsOurs(string entry) => Path.GetFileName(entry) is "lock" || Path.GetFileName(entry).StartsWith("part-", StringComparison.Ordinal) || IsHalfManifest(entry);

    // A run that was killed while it wrote the list leaves this.
    private static bool IsHalfManifest(string entry) => Path.GetFileName(entry).StartsWith("index.json.", StringComparison.Ordinal) && entry.EndsWith(".tmp", StringComparison.Ordinal);

    private static string Describe(IndexSettings s) => $"{s.Model} ({s.Pooling}, {s.SizeInWords}, {s.Compute}, weights {s.Fingerprint})";

    private void OpenSegments()
    {
        foreach (IndexSegment segment in _segments) segment.Dispose();
        _segments.Clear();
        _byPath.Clear();
        _byHash.Clear();
        _cache = null;
        foreach (string name in _manifest.Segments) _segments.Add(IndexSegment.Open(_folder, name));
        int[][] live = ImageIndex.LiveRows(_segments);
        for (int s = 0; s < live.Length; s++) Know(_segments[s], live[s]);

        // Parts that no list names: an earlier run was stopped between writing and listing them.
        foreach (string file in Directory.EnumerateFiles(_folder).Where(f => IsHalfManifest(f) || (Path.GetFileName(f).StartsWith("part-", StringComparison.Ordinal) && !_manifest.Segments.Contains(Path.GetFileName(f))))) File.Delete(file);
    }

    private void Know(IndexSegment segment, IEnumerable<int> rows)
    {
        foreach (int row in rows)
        {
            IndexItem item = segment.Items[row];
            _byPath[item.FullPath] = (segment, row);
            _byHash[item.Hash] = (segment, row);
        }
    }

    private void Add(IndexItem item, float[] vector)
    {
        _pending.Add((item, vector));
        _pendingByHash[item.Hash] = vector;
    }

    // Files elsewhere may be on a disk that is not plugged in, so they stay unless they have moved.
    private string[] Gone(IReadOnlyList<string> below, HashSet<string> known)
    {
        string[] folders = [.. below.Select(folder => Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))).Select(folder => Path.EndsInDirectorySeparator(folder) ? folder : folder + Path.DirectorySeparatorChar)]; // a root keeps its own
        return [.. _byPath.Where(entry => !File.Exists(entry.Key) && (known.Contains(entry.Value.Segment.Items[entry.Value.Row].Hash) || folders.Any(folder => entry.Key.StartsWith(folder, StringComparison.Ordinal)))).Select(entry => entry.Key)];
    }

    private float[] Vector(IndexSegment segment, int row)
    {
        if (_cache?.Segment != segment)
        {
            _cache = (segment, segment.ReadValues());
        }

        return _cache!.Value.Vectors.AsSpan(row * segment.Dim, segment.Dim).ToArray();
    }

    private void FlushIfDue()
    {
        if (_pending.Count >= FlushRows || DateTime.UtcNow - _flushed > FlushInterval) Flush([]);
    }

    private void Flush(IReadOnlyList<string> removed)
    {
        _flushed = DateTime.UtcNow;
        if (_pending.Count == 0 && removed.Count == 0) return;
        int dim = _pending.Count > 0 ? _pending[0].Vector.Length : _segments[0].Dim;
        Append([.. _pending.Select(p => p.Item)], [.. _pending.SelectMany(p => p.Vector)], dim, removed, Environment.CurrentDirectory, drop: []);
        _segments.Add(IndexSegment.Open(_folder, _manifest.Segments[^1]));
        Know(_segments[^1], Enumerable.Range(0, _pending.Count));
        _pending.Clear();
        _pendingByHash.Clear();
        if (_manifest.Segments.Count - _mergedSegments > MaxSmallSegments) Merge();
    }

    // Writes a part, then the list that names it instead of the dropped ones, then deletes these.
    private void Append(IReadOnlyList<IndexItem> items, float[] vectors, int dim, IReadOnlyList<string> removed, string baseFolder, IReadOnlyList<string> drop)
    {
        string name = $"part-{Guid.NewGuid():N}.safetensors";
        using (NewDisposeScope()) IndexSegment.Write(_folder, name, items, removed, baseFolder, tensor(vectors, [items.Count, dim]));
        _manifest = _manifest with { Segments = [.. _manifest.Segments.Except(drop), name] };
        _manifest.Write(_folder);
        foreach (string old in drop) File.Delete(Path.Combine(_folder, old));
    }

    // Many small parts make searching slow: they become large ones.
    private void Merge()
    {
        OpenSegments();
        int[][] live = ImageIndex.LiveRows(_segments);
        int[] small = [.. Enumerable.Range(0, _segments.Count).Where(s => live[s].Length < MergedRows / 2)];
        _mergedSegments = _segments.Count - small.Length;
        if (small.Length <= MaxSmallSegments) return;
        (var items, var vectors, var names) = (new List<IndexItem>(), new List<float>(), new List<string>());
        string[] removed = [.. small.SelectMany(s => _segments[s].Removed).Distinct().Where(path => !_byPath.ContainsKey(path))];
        foreach (int s in small)
        {
            names.Add(_segments[s].Name);
            foreach (int row in live[s])
            {
                IndexItem item = _segments[s].Items[row];
                items.Add(item with { Path = Path.IsPathRooted(item.Path) || _segments[s].BaseFolder == _segments[small[0]].BaseFolder ? item.Path : item.FullPath });
                vectors.AddRange(Vector(_segments[s], row));
            }
        }

        int dim = _segments[0].Dim;
        string baseFolder = _segments[small[0]].BaseFolder;
        for (int first = 0; first < Math.Max(1, items.Count); first += MergedRows)
        {
            int count = Math.Min(MergedRows, items.Count - first);
            bool last = first + count >= items.Count;
            Append(items.GetRange(first, count), [.. vectors.GetRange(first * dim, count * dim)], dim, first == 0 ? removed : [], baseFolder, drop: last ? names : []);
        }

        OpenSegments();
        _mergedSegments = _segments.Count;
    }
}
