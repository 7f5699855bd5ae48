using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Features.Propagation;
using DinoSharp.Images;
using DinoSharp.Training.Protocols.Benchmarks;

namespace DinoSharp.Training.Protocols;

/// <summary>Following objects through videos by label propagation (paper, appendix D.5), scored as DAVIS 2017 does: mean of J and F over all objects of all videos.</summary>
public static class TrackingProtocol
{
    /// <summary>Runs the protocol.</summary>
    /// <param name="model">The backbone.</param>
    /// <param name="videos">The videos; their first masks are given to the tracker.</param>
    /// <param name="shorterSidePixels">Size of the network's input: 480, 960 and 1440 are published.</param>
    /// <param name="options">How labels are carried on; null: as published.</param>
    /// <param name="progress">Told how many frames are done.</param>
    /// <param name="cancel">Checked between frames.</param>
    /// <param name="onMask">Given every predicted mask, by video and frame.</param>
    public static EvaluationResult Run(
        DinoModel model, IReadOnlyList<VideoObjects> videos, int shorterSidePixels = 480, PropagationOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default, Action<int, int, LabelMap>? onMask = null)
    {
        options ??= PropagationOptions.Paper;
        var objects = new List<(string Video, ObjectTrackingScores Score)>();
        long done = 0;
        for (int v = 0; v < videos.Count; v++)
        {
            VideoObjects video = videos[v];
            LabelMap first = LabelMap.Read(video.Masks[0]);
            if (first.Ids.All(id => id == 0)) throw new DinoSharpException($"{video.Masks[0]} shows no object: every pixel is 0, which is background");
            var predicted = new List<byte[]> { first.Values.ToArray() };
            foreach (LabelMap mask in VideoTracking.Track(model, video.Frames.Select(f => ImageFile.Read(ImageSource.Stored(f))), first, shorterSidePixels, options, cancel: cancel))
            {
                onMask?.Invoke(v, predicted.Count, mask);
                predicted.Add(mask.Values.ToArray());
                progress?.Report(done + predicted.Count);
            }

            done += predicted.Count;
            byte[][] truth = [.. video.Masks.Select(m => LabelMap.Read(m).Values.ToArray())];
            int different = Array.FindIndex(truth, t => t.Length != predicted[^1].Length);
            if (different >= 0) throw new DinoSharpException($"{video.Masks[different]} has another number of pixels than the frames of its video");
            objects.AddRange(TrackingScores.Measure(predicted, truth, first.Width).Objects.Select(o => (video.Name, o)));
        }

        double[] values = [.. objects.Select(o => (o.Score.J + o.Score.F) / 2)];
        return new EvaluationResult
        {
            Task = "track",
            Model = model.Name,
            Data = new Dictionary<string, string>(),
            Settings = new Dictionary<string, string>
            {
                ["shorterSide"] = shorterSidePixels.ToString(CultureInfo.InvariantCulture),
                ["context"] = options.ContextLength.ToString(CultureInfo.InvariantCulture),
                ["radius"] = options.Radius?.ToString(CultureInfo.InvariantCulture) ?? "any",
                ["topK"] = options.TopK.ToString(CultureInfo.InvariantCulture),
                ["temperature"] = options.Temperature.ToString(CultureInfo.InvariantCulture),
                ["upsampling"] = options.Upsampling.ToString(),
                ["rounding"] = options.Rounding.ToString(),
                ["videos"] = videos.Count.ToString(CultureInfo.InvariantCulture),
            },
            Metrics = new Dictionary<string, double> { ["jAndF"] = values.Average(), ["j"] = objects.Average(o => o.Score.J), ["f"] = objects.Average(o => o.Score.F) },
            Headline = "jAndF",
            Items = [.. objects.Select(o => $"{o.Video}, object {o.Score.Id}")],
            Groups = [.. objects.Select(o => o.Video)],
            Score = EvaluationResult.MeanOf(values),
        };
    }
}
