using static TorchSharp.torch;

namespace DinoSharp.Features;

/// <summary>Exact nearest neighbours by matrix products, in pieces that bound the memory.</summary>
internal static class NearestNeighbors
{
    // 1024 queries against 64 Ki keys: a 256 MiB product, big enough to run at the speed of the multiplication.
    private const int QueryRows = 1024, KeyRows = 65536;

    /// <summary>The k keys of largest dot product for every query, best first.</summary>
    /// <param name="queries">[Q, D]</param>
    /// <param name="keys">[N, D], N ≥ k</param>
    /// <param name="k">How many.</param>
    /// <returns>Similarities [Q, k] and indices of the keys [Q, k].</returns>
    public static (Tensor Similarities, Tensor Indices) Find(Tensor queries, Tensor keys, int k)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var similarities = new List<Tensor>();
        var indices = new List<Tensor>();
        for (long start = 0; start < queries.shape[0]; start += QueryRows)
        {
            using var piece = NewDisposeScope();
            (Tensor s, Tensor i) = FindForPiece(queries.narrow(0, start, Math.Min(QueryRows, queries.shape[0] - start)), keys, k);
            similarities.Add(s.MoveToOuterDisposeScope());
            indices.Add(i.MoveToOuterDisposeScope());
        }

        return (cat(similarities).MoveToOuterDisposeScope(), cat(indices).MoveToOuterDisposeScope()); // [Q, k]
    }

    /// <summary>Bytes that a search among so many vectors, for as many queries, takes at its peak beside them.</summary>
    internal static long WorkBytes(int vectors) => (long)Math.Min(QueryRows, vectors) * Math.Min(KeyRows, vectors) * sizeof(float);

    private static (Tensor Similarities, Tensor Indices) FindForPiece(Tensor queries, Tensor keys, int k)
    {
        Tensor? best = null, bestIndices = null;
        for (long start = 0; start < keys.shape[0]; start += KeyRows)
        {
            long rows = Math.Min(KeyRows, keys.shape[0] - start);
            using var piece = NewDisposeScope();
            Tensor product = queries.matmul(keys.narrow(0, start, rows).t()); // [q, rows]
            (Tensor values, Tensor places) = product.topk((int)Math.Min(k, rows), 1); // [q, k]
            places = places.Plus(Num(start));
            if (best is not null)
            {
                Tensor candidates = cat([best, values], 1), candidateIndices = cat([bestIndices!, places], 1);
                (values, Tensor chosen) = candidates.topk((int)Math.Min(k, candidates.shape[1]), 1); // [q, k]
                places = candidateIndices.gather(1, chosen); // [q, k]
            }

            (best, bestIndices) = (values.MoveToOuterDisposeScope(), places.MoveToOuterDisposeScope());
        }

        return (best!, bestIndices!);
    }
}
