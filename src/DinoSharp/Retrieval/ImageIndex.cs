using static TorchSharp.torch;

namespace DinoSharp.Retrieval;

/// <summary>Vectors of many pictures in a folder, searched exactly. Vectors stay on the disk and pass through memory one part at a time.</summary>
public sealed class ImageIndex : IDisposable
{
    // A writer may replace small parts by a large one between the reading of the list and the opening of the parts.
    private const int OpenAttempts = 3;

    // How far from 1 the product of a vector of unit length with itself may be in float32.
    private const float Rounding = 2e-6f;

    private readonly IReadOnlyList<IndexSegment> _segments;
    private readonly int[][] _live; // rows that count, for each segment

    private ImageIndex(string folder, IndexManifest manifest, IReadOnlyList<IndexSegment> segments)
    {
        (Folder, Settings, _segments) = (folder, manifest.Settings, segments);
        _live = LiveRows(segments);
        Items = [.. segments.SelectMany((segment, s) => _live[s].Select(row => segment.Items[row]))];
        if (segments.Select(s => s.Dim).Distinct().Count() > 1) throw new DinoSharpException($"{folder} is damaged: its parts hold vectors of different length");
    }

    /// <summary>Where it lies.</summary>
    public string Folder { get; }

    /// <summary>How its vectors were made.</summary>
    public IndexSettings Settings { get; }

    /// <summary>Length D of the vectors; 0 if there is none.</summary>
    public int Dim => _segments.Count > 0 ? _segments[0].Dim : 0;

    /// <summary>The pictures.</summary>
    public IReadOnlyList<IndexItem> Items { get; }

    /// <summary>Cosine similarities that are looked at together; the default takes 16 MB.</summary>
    internal int MostSimilarities { get; set; } = 1 << 22;

    // Of one part: the copy that is read, the rows that count, and these at unit length.
    private long PartBytes => 3L * sizeof(float) * _segments.Select((s, i) => (long)Math.Max(_live[i].Length, s.Items.Count) * s.Dim).DefaultIfEmpty(0).Max();

    /// <summary>Bytes that <see cref="Search"/> adds at its peak.</summary>
    internal long SearchBytes => PartBytes;

    /// <summary>Bytes that <see cref="FindDuplicates"/> and <see cref="RankOutliers"/> add at their peak: two parts, similarities and the list of those above a limit.</summary>
    /// <param name="neighbors">Of <see cref="RankOutliers"/>: so many of each picture of a part are kept.</param>
    internal long CompareBytes(int neighbors = 0)
    {
        long rows = _live.Select(live => (long)live.Length).DefaultIfEmpty(0).Max(), kept = Math.Min(neighbors, Items.Count);
        return (PartBytes * 4 / 3) + (6L * sizeof(float) * Math.Min(MostSimilarities, rows * (rows + kept))) + (2L * sizeof(float) * rows * kept);
    }

    /// <summary>Opens an index.</summary>
    /// <param name="folder">The folder that 'dino index build' made.</param>
    /// <exception cref="DinoSharpException">No index, another format, or damaged.</exception>
    public static ImageIndex Open(string folder)
    {
        for (int attempt = 1; ; attempt++)
        {
            IndexManifest manifest = IndexManifest.Read(folder);
            var segments = new List<IndexSegment>();
            try
            {
                foreach (string name in manifest.Segments) segments.Add(IndexSegment.Open(folder, name));
                return new ImageIndex(folder, manifest, segments);
            }
            catch (DinoSharpException) when (attempt < OpenAttempts && manifest.Segments.Any(name => !File.Exists(Path.Combine(folder, name))))
            {
                foreach (IndexSegment segment in segments) segment.Dispose();
            }
            catch
            {
                foreach (IndexSegment segment in segments) segment.Dispose();
                throw;
            }
        }
    }

    /// <summary>Every picture with its vector as it is kept, in the order of <see cref="Items"/>. Lazy: one part of the index is in memory at a time.</summary>
    /// <returns>Pictures and vectors. [D]</returns>
    public IEnumerable<(IndexItem Item, float[] Vector)> ReadVectors()
    {
        for (int s = 0; s < _segments.Count; s++)
        {
            float[] vectors = _segments[s].ReadValues();
            foreach (int row in _live[s]) yield return (_segments[s].Items[row], vectors.AsSpan(row * _segments[s].Dim, _segments[s].Dim).ToArray());
        }
    }

    /// <summary>The pictures most similar to a vector, best first.</summary>
    /// <param name="query">A vector made as <see cref="Settings"/> say; its length does not matter. [D]</param>
    /// <param name="count">How many.</param>
    /// <exception cref="DinoSharpException">The vector has another D.</exception>
    public IReadOnlyList<SearchHit> Search(ReadOnlySpan<float> query, int count = 10)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        if (Items.Count == 0) return [];
        if (query.Length != _segments[0].Dim) throw new DinoSharpException($"the query has {query.Length} numbers, the vectors of {Folder} {_segments[0].Dim}; make it with the model and the pooling of the index ({Settings.Model}, {Settings.Pooling})");
        using var scope = NewDisposeScope();
        Tensor unit = nn.functional.normalize(tensor(query.ToArray()), dim: 0); // [D]
        var best = new PriorityQueue<int, float>(); // the weakest of the best first
        for (int s = 0; s < _segments.Count; s++)
        {
            using Part part = Read(s);
            using var piece = NewDisposeScope();
            float[] scores = part.Vectors.mv(unit).clamp(Num(-1), Num(1)).data<float>().ToArray(); // [n]
            for (int i = 0; i < scores.Length; i++)
            {
                if (best.Count < count) best.Enqueue(part.First + i, scores[i]);
                else best.EnqueueDequeue(part.First + i, scores[i]);
            }
        }

        return [.. best.UnorderedItems.OrderByDescending(h => h.Priority).ThenBy(h => h.Element).Select(h => new SearchHit(Items[h.Element], h.Priority))];
    }

    /// <summary>Groups of pictures that are nearly the same. Pictures are joined if their similarity reaches the limit; a group is everything joined, also through others.</summary>
    /// <param name="minSimilarity">Cosine similarity from which two pictures count as duplicates, −1 … 1; to the rounding of float32, so that equal pictures reach 1.</param>
    /// <param name="progress">Told how many pictures have been compared with all others.</param>
    /// <param name="cancel">Checked between parts.</param>
    /// <returns>Largest groups first.</returns>
    public IReadOnlyList<DuplicateGroup> FindDuplicates(float minSimilarity = 0.95f, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        if (minSimilarity is not (>= -1 and <= 1)) throw new ArgumentOutOfRangeException(nameof(minSimilarity), minSimilarity, "a cosine similarity is from -1 to 1");
        minSimilarity -= Rounding;
        int[] parent = [.. Enumerable.Range(0, Items.Count)];
        var weakest = new Dictionary<int, float>();
        for (int s = 0; s < _segments.Count; s++)
        {
            using Part a = Read(s);
            for (int t = s; t < _segments.Count; t++)
            {
                cancel.ThrowIfCancellationRequested();
                using Part b = Read(t);
                foreach ((int first, int count) in Blocks(a, 0))
                {
                    using var scope = NewDisposeScope();
                    Tensor similar = a.Vectors.narrow(0, first, count).matmul(b.Vectors.t()); // [n, m]
                    Tensor pairs = similar.ge(Num(minSimilarity)).nonzero(); // [pairs, 2]
                    long[] rows = pairs.select(1, 0).contiguous().data<long>().ToArray(), columns = pairs.select(1, 1).contiguous().data<long>().ToArray();
                    float[] scores = similar.masked_select(similar.ge(Num(minSimilarity))).data<float>().ToArray();
                    for (int i = 0; i < rows.Length; i++)
                    {
                        (int x, int y) = (a.First + first + (int)rows[i], b.First + (int)columns[i]);
                        if (x < y) Join(x, y, scores[i]);
                    }
                }
            }

            progress?.Report(a.First + a.Vectors.shape[0]);
        }

        return
        [
            .. Enumerable.Range(0, Items.Count).GroupBy(Root).Where(group => group.Count() > 1)
                .Select(group => new DuplicateGroup([.. group.Select(i => Items[i])], weakest[group.Key])).OrderByDescending(group => group.Items.Count),
        ];

        int Root(int i)
        {
            while (parent[i] != i) i = parent[i] = parent[parent[i]];
            return i;
        }

        void Join(int x, int y, float score)
        {
            (int rootX, int rootY) = (Root(x), Root(y));
            if (rootX == rootY) return; // the group is joined already, by other pairs
            (int keep, int drop) = (Math.Min(rootX, rootY), Math.Max(rootX, rootY));
            parent[drop] = keep;
            weakest[keep] = Math.Min(score, Math.Min(weakest.GetValueOrDefault(keep, 1), weakest.GetValueOrDefault(drop, 1)));
        }
    }

    /// <summary>How much each picture stands apart: 1 − mean cosine similarity with its nearest neighbours.</summary>
    /// <param name="neighbors">How many neighbours; cut to what there is.</param>
    /// <param name="progress">Told how many pictures are done.</param>
    /// <param name="cancel">Checked between parts.</param>
    /// <returns>All pictures, the loneliest first; the score is 0 (has twins) … 2.</returns>
    public IReadOnlyList<SearchHit> RankOutliers(int neighbors = 5, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(neighbors, 1);
        int k = Math.Min(neighbors, Items.Count - 1);
        if (k < 1) return [.. Items.Select(item => new SearchHit(item, 0))];
        var scores = new List<float>(Items.Count);
        for (int s = 0; s < _segments.Count; s++)
        {
            using Part a = Read(s);
            if (a.Vectors.shape[0] == 0) continue;
            using var kept = NewDisposeScope();
            var best = new Dictionary<int, Tensor>(); // of the block that begins with a row: the highest so far [n, k]
            for (int t = 0; t < _segments.Count; t++)
            {
                cancel.ThrowIfCancellationRequested();
                using Part b = Read(t);
                foreach ((int first, int count) in Blocks(a, k))
                {
                    using var scope = NewDisposeScope();
                    Tensor similar = a.Vectors.narrow(0, first, count).matmul(b.Vectors.t()); // [n, m]
                    if (s == t) similar.diagonal(first).fill_(Num(double.NegativeInfinity)); // itself
                    if (best.TryGetValue(first, out Tensor? before)) similar = cat([before, similar], 1); // [n, k + m]
                    best[first] = similar.topk((int)Math.Min(k, similar.shape[1]), 1).values.MoveToOuterDisposeScope(); // [n, k]
                    before?.Dispose();
                }
            }

            foreach (Tensor block in best.OrderBy(b => b.Key).Select(b => b.Value)) scores.AddRange((-block.mean([1])).Plus(Num(1)).clamp(Num(0), Num(2)).data<float>().ToArray());
            progress?.Report(scores.Count);
        }

        return [.. scores.Select((score, i) => new SearchHit(Items[i], score)).OrderByDescending(hit => hit.Score)];
    }

    /// <summary>Closes the files.</summary>
    public void Dispose()
    {
        foreach (IndexSegment segment in _segments) segment.Dispose();
    }

    /// <summary>The rows of each segment that no later segment replaces or removes.</summary>
    internal static int[][] LiveRows(IReadOnlyList<IndexSegment> segments)
    {
        var last = new Dictionary<string, (int Segment, int Row)>(StringComparer.Ordinal);
        for (int s = 0; s < segments.Count; s++)
        {
            foreach (string gone in segments[s].Removed) last.Remove(gone);
            for (int row = 0; row < segments[s].Items.Count; row++) last[segments[s].Items[row].FullPath] = (s, row);
        }

        ILookup<int, int> rows = last.Values.ToLookup(place => place.Segment, place => place.Row);
        return [.. segments.Select((_, s) => rows[s].Order().ToArray())];
    }

    // Rows of a part whose similarities with all of any other, beside those that are kept of each, are computed together.
    private IEnumerable<(int First, int Count)> Blocks(Part part, int kept)
    {
        int rows = (int)part.Vectors.shape[0], atOnce = (int)Math.Max(1, MostSimilarities / _live.Max(live => Math.Max(1L, live.Length + (long)kept)));
        for (int first = 0; first < rows; first += atOnce) yield return (first, Math.Min(atOnce, rows - first));
    }

    // The live vectors of one segment, of unit length.
    private Part Read(int segment)
    {
        using var scope = NewDisposeScope();
        Tensor vectors = _segments[segment].ReadVectors(); // [N, D]
        if (_live[segment].Length < vectors.shape[0]) vectors = vectors.index_select(0, tensor(Array.ConvertAll(_live[segment], row => (long)row))); // [n, D]
        return new Part(_live.Take(segment).Sum(rows => rows.Length), nn.functional.normalize(vectors).DetachFromDisposeScope());
    }

    private readonly record struct Part(int First, Tensor Vectors) : IDisposable
    {
        public void Dispose() => Vectors.Dispose();
    }
}
