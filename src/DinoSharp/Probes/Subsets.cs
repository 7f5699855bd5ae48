using static TorchSharp.torch;

namespace DinoSharp.Probes;

/// <summary>Choices among labelled samples, drawn as the published evaluations draw them.</summary>
public static class Subsets
{
    /// <summary>Sets a share of every class aside for validation: the samples are shuffled, then the first of each class are taken, at least one if the class has two.</summary>
    /// <param name="labels">Class of each sample.</param>
    /// <param name="share">Share of each class, for example 0.1.</param>
    /// <param name="seed">Of the shuffle; the published value is 0.</param>
    /// <returns>Indices of both parts, ascending.</returns>
    public static (int[] Train, int[] Validation) HoldOut(IReadOnlyList<int> labels, double share = 0.1, int seed = 0)
    {
        if (share is not (> 0 and < 1)) throw new DinoSharpException($"the share to hold out lies between 0 and 1, found {share}");
        using var random = new Generator((ulong)seed);
        int[] order = Permutation(labels.Count, random);
        HashSet<int> held =
        [
            .. order.GroupBy(i => labels[i]).Where(of => of.Count() > 1).SelectMany(of => of.Take(Math.Max(1, (int)(share * of.Count())))),
        ];
        return ([.. Enumerable.Range(0, labels.Count).Where(i => !held.Contains(i))], [.. held.Order()]);
    }

    /// <summary>A few samples of every class.</summary>
    /// <param name="labels">Class of each sample.</param>
    /// <param name="perClass">How many of each class; below 1: this share of the class, at least one.</param>
    /// <param name="attempt">Number of the draw, from 0; each gives other samples.</param>
    /// <returns>Indices, ascending.</returns>
    public static int[] FewShot(IReadOnlyList<int> labels, double perClass, int attempt = 0)
    {
        if (!(perClass > 0)) throw new DinoSharpException($"the number of samples per class must be above 0, found {perClass}");
        using var random = new Generator((ulong)attempt);
        var chosen = new List<int>();
        foreach (IGrouping<int, int> of in Enumerable.Range(0, labels.Count).GroupBy(i => labels[i]).OrderBy(g => g.Key))
        {
            int[] members = [.. of];
            int wanted = perClass < 1 ? Math.Max(1, (int)(perClass * members.Length)) : (int)perClass;
            chosen.AddRange(Permutation(members.Length, random).Take(wanted).Select(i => members[i]));
        }

        return [.. chosen.Order()];
    }

    private static int[] Permutation(int count, Generator random)
    {
        using Tensor permutation = randperm(count, ScalarType.Int64, generator: random);
        return [.. permutation.data<long>().Select(i => (int)i)];
    }
}
