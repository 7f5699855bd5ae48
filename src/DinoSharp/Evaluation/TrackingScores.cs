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
        var evaluation = new TrackingEvaluation(width);
        foreach ((byte[] one, byte[] other) in predicted.Zip(truth)) evaluation.Add(one, other);
        return evaluation.Score();
    }
}

/// <summary><see cref="TrackingScores"/> frame by frame, so that a video of any length is scored in the memory of two frames.</summary>
/// <param name="width">Pixels per row.</param>
internal sealed class TrackingEvaluation(int width)
{
    private byte[] _ids = [];
    private (double J, double F)[] _sums = [];
    private (byte[] Predicted, byte[] Truth)? _latest; // counts when another comes, because the last frame of a video does not
    private int _frames;

    /// <summary>Takes the next frame.</summary>
    /// <param name="predicted">Object of each pixel, 0 is background. Of the first frame of no account.</param>
    /// <param name="truth">The true map.</param>
    /// <exception cref="DinoSharpException">No object in the first frame.</exception>
    public void Add(byte[] predicted, byte[] truth)
    {
        if (_frames++ == 0)
        {
            _ids = [.. truth.Distinct().Where(id => id != 0).Order()];
            _sums = new (double, double)[_ids.Length];
            if (_ids.Length == 0) throw new DinoSharpException("the first true mask shows no object");
            return;
        }

        if (_latest is var (mask, right))
        {
            for (int i = 0; i < _ids.Length; i++) _sums[i] = (_sums[i].J + MaskScores.RegionSimilarity(mask, right, _ids[i]), _sums[i].F + MaskScores.BoundaryF(mask, right, width, _ids[i]));
        }

        _latest = (predicted, truth);
    }

    /// <summary>The scores of the frames so far.</summary>
    /// <exception cref="DinoSharpException">Fewer than three frames.</exception>
    public TrackingScores Score()
    {
        int counted = _frames - 2;
        if (counted < 1) throw new DinoSharpException($"a video of {_frames} frames cannot be scored: the first and the last frame do not count");
        ObjectTrackingScores[] objects = [.. _ids.Zip(_sums, (id, sum) => new ObjectTrackingScores(id, sum.J / counted, sum.F / counted))];
        return new TrackingScores(objects.Average(o => o.J), objects.Average(o => o.F), objects);
    }
}

/// <summary>Scores of one tracked object.</summary>
/// <param name="Id">Its value in the masks.</param>
/// <param name="J">Mean region similarity over the frames.</param>
/// <param name="F">Mean boundary measure over the frames.</param>
public sealed record ObjectTrackingScores(byte Id, double J, double F);
