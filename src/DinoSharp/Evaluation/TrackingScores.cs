namespace DinoSharp.Evaluation;

/// <summary>Scores of masks followed through a video by the DAVIS protocol: mean over frames, then over the objects of the first frame.</summary>
/// <param name="J">Mean region similarity.</param>
/// <param name="F">Mean boundary measure.</param>
/// <param name="Objects">The same for each object.</param>
public sealed record TrackingScores(double J, double F, IReadOnlyList<ObjectTrackingScores> Objects)
{
    /// <summary>Mean of <see cref="J"/> and <see cref="F"/>, the usual headline.</summary>
    public double JAndF => (J + F) / 2;

    /// <summary>Compares predicted masks with the truth. The first frame is given to a tracker and the last is left out by the protocol, so neither counts.</summary>
    /// <param name="predicted">Object of each pixel, one map per frame, 0 is background.</param>
    /// <param name="truth">The true maps of the same frames.</param>
    /// <param name="width">Pixels per row.</param>
    /// <exception cref="DinoSharpException">Fewer than three frames, unequal counts, or no object in the first frame.</exception>
    public static TrackingScores Measure(IReadOnlyList<byte[]> predicted, IReadOnlyList<byte[]> truth, int width)
    {
        if (predicted.Count != truth.Count) throw new DinoSharpException($"{predicted.Count} predicted masks are given for {truth.Count} true masks");
        if (truth.Count < 3) throw new DinoSharpException($"a video of {truth.Count} frames cannot be scored: the first and the last frame do not count");
        byte[] ids = [.. truth[0].Distinct().Where(id => id != 0).Order()];
        if (ids.Length == 0) throw new DinoSharpException("the first true mask shows no object");
        int[] frames = [.. Enumerable.Range(1, truth.Count - 2)];
        ObjectTrackingScores[] objects = [.. ids.Select(id => new ObjectTrackingScores(
            id,
            frames.Average(t => MaskScores.RegionSimilarity(predicted[t], truth[t], id)),
            frames.Average(t => MaskScores.BoundaryF(predicted[t], truth[t], width, id))))];
        return new TrackingScores(objects.Average(o => o.J), objects.Average(o => o.F), objects);
    }
}

/// <summary>Scores of one tracked object.</summary>
/// <param name="Id">Its value in the masks.</param>
/// <param name="J">Mean region similarity over the frames.</param>
/// <param name="F">Mean boundary measure over the frames.</param>
public sealed record ObjectTrackingScores(byte Id, double J, double F);
