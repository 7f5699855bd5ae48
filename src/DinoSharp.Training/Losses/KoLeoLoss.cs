using DinoSharp.Training.Distributed;
using static TorchSharp.torch;

namespace DinoSharp.Training.Losses;

/// <summary>Spreads the embeddings of a batch: the negative log distance to the nearest neighbour (Kozachenko-Leonenko entropy; Sablayrolles et al. 2019).</summary>
public static class KoLeoLoss
{
    private const double Epsilon = 1e-8;

    /// <summary>-mean log(‖x - neighbour‖ + 1e-8) over unit-length rows and their nearest neighbours, in float32.</summary>
    /// <param name="embeddings">One crop of every image of this process. [B, D]</param>
    /// <param name="neighbours">Nearest neighbours per row; with as many as a group has rows, a row counts as its own last neighbour, at a constant distance.</param>
    /// <param name="groupSize">Neighbours are searched among this many consecutive rows: a divisor of B, or a multiple of it that divides the rows of all processes. Null: all rows of all processes.</param>
    /// <param name="collectives">Whose rows are searched; <see cref="Collectives.Single"/> for this process alone.</param>
    /// <returns>A scalar.</returns>
    /// <exception cref="DinoSharpException">The group size does not fit.</exception>
    public static Tensor Compute(Tensor embeddings, int neighbours, int? groupSize, Collectives collectives)
    {
        using var scope = NewDisposeScope();
        (Tensor own, Tensor all, Tensor nearest) = Search(embeddings, neighbours, groupSize, collectives);
        Tensor other = all.index_select(0, nearest.flatten()).unflatten(0, nearest.shape); // [B, neighbours, D]
        Tensor distances = (own.unsqueeze(1) - other).Plus(Num(Epsilon)).norm(-1); // [B, neighbours]
        return (-distances.Plus(Num(Epsilon)).log().mean()).MoveToOuterDisposeScope();
    }

    /// <summary>Numbers of the nearest rows among all gathered rows. [B, neighbours] int64</summary>
    internal static Tensor NearestRows(Tensor embeddings, int neighbours, int? groupSize, Collectives collectives)
    {
        using var scope = NewDisposeScope();
        return Search(embeddings, neighbours, groupSize, collectives).Nearest.MoveToOuterDisposeScope();
    }

    private static (Tensor Own, Tensor All, Tensor Nearest) Search(Tensor embeddings, int neighbours, int? groupSize, Collectives collectives)
    {
        Tensor own = nn.functional.normalize(embeddings.to(ScalarType.Float32), dim: -1, eps: Epsilon); // [B, D]
        Tensor all = collectives.GatherRows(own); // [W·B, D]
        long rows = own.shape[0], first = collectives.Rank * rows, size = groupSize ?? all.shape[0];
        if (size < 1 || (rows % size != 0 && size % rows != 0) || all.shape[0] % size != 0)
        {
            throw new DinoSharpException($"KoLeo groups of {size} do not fit {rows} images in each of {collectives.WorldSize} processes: use a divisor of {rows}, or a multiple of it that divides {all.shape[0]}");
        }

        if (neighbours < 1 || neighbours > size) throw new DinoSharpException($"KoLeo cannot take {neighbours} neighbours from groups of {size} images");
        using var quiet = no_grad();
        Tensor numbers = arange(Num(first), Num(first + rows), Num(1), ScalarType.Int64, device: own.device); // [B]
        Tensor similarity = own.matmul(all.t()); // [B, W·B]
        Tensor columns = arange(Num(0), Num(all.shape[0]), Num(1), ScalarType.Int64, device: own.device); // [W·B]
        Tensor outside = columns.floor_divide(Num(size)).unsqueeze(0).ne(numbers.floor_divide(Num(size)).unsqueeze(1)); // [B, W·B]
        similarity.masked_fill_(outside, Num(-2)); // below every cosine, also below the own row
        similarity.masked_fill_(columns.unsqueeze(0).eq(numbers.unsqueeze(1)), Num(-1));
        return (own, all, similarity.topk(neighbours, dim: 1).indexes); // [B, neighbours]
    }
}
