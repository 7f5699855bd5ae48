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

    /// <summary>The same with whole groups (patients, events): a group is held out while one of its classes still wants samples, and stays if a class would be left without any.</summary>
    /// <param name="labels">Class of each sample.</param>
    /// <param name="groups">Group of each sample; null: each sample alone.</param>
    /// <param name="share">Share of each class, for example 0.2.</param>
    /// <param name="seed">Of the shuffle.</param>
    /// <returns>Indices of both parts, ascending. A class that lies in one group alone is not held out.</returns>
    public static (int[] Train, int[] Validation) HoldOut(IReadOnlyList<int> labels, IReadOnlyList<string>? groups, double share, int seed = 0)
    {
        if (groups is null) return HoldOut(labels, share, seed);
        if (share is not (> 0 and < 1)) throw new DinoSharpException($"the share to hold out lies between 0 and 1, found {share}");
        if (groups.Count != labels.Count) throw new DinoSharpException($"{groups.Count} groups are given for {labels.Count} labels");
        using var random = new Generator((ulong)seed);
        int[][] members = [.. Enumerable.Range(0, labels.Count).GroupBy(i => groups[i]).Select(g => g.ToArray())];
        Dictionary<int, int> left = labels.GroupBy(l => l).ToDictionary(c => c.Key, c => c.Count()), wanted = left.ToDictionary(c => c.Key, c => Math.Max(1, (int)(share * c.Value)));
        var held = new HashSet<int>();
        foreach (int g in Permutation(members.Length, random))
        {
            (int Class, int Count)[] counts = [.. members[g].GroupBy(i => labels[i]).Select(c => (c.Key, c.Count()))];
            if (!counts.Any(c => wanted[c.Class] > 0) || counts.Any(c => left[c.Class] <= c.Count)) continue;
            foreach ((int of, int count) in counts) (left[of], wanted[of]) = (left[of] - count, wanted[of] - count);
            held.UnionWith(members[g]);
        }

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
