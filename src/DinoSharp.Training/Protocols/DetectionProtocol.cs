using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Heads.Detection;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;

namespace DinoSharp.Training.Protocols;

/// <summary>Detection scored as COCO does: average precision over IoU 0.50 to 0.95.</summary>
public static class DetectionProtocol
{
    /// <summary>Runs the protocol.</summary>
    /// <param name="detect">Finds the objects of a picture.</param>
    /// <param name="images">Pictures with boxes.</param>
    /// <param name="model">What detects, for the report.</param>
    /// <param name="progress">Told how many pictures are done.</param>
    /// <param name="cancel">Checked between pictures.</param>
    /// <param name="onPicture">Given every picture with what was found.</param>
    /// <exception cref="DinoSharpException">No picture can be read, pictures are no pictures or have another size than their annotations say, or detections and annotations have no category name in common.</exception>
    public static EvaluationResult Run(Func<ImageBuffer, Detections> detect, BoxAnnotations images, string model, IProgress<long>? progress = null, CancellationToken cancel = default, Action<int, ImageBuffer, Detections>? onPicture = null)
    {
        // Heads number their classes as they like; names are what both sides share.
        Dictionary<string, int> ids = images.Categories.GroupBy(c => c.Value, StringComparer.OrdinalIgnoreCase).ToDictionary(c => c.Key, c => c.First().Key, StringComparer.OrdinalIgnoreCase);
        var found = new List<DetectedObject>();
        var unknown = new HashSet<string>();
        var (scored, skipped) = (new List<int>(), new List<ImageException>());
        images.RequirePictures();
        for (int i = 0; i < images.Images.Count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            ImageBuffer picture;
            try
            {
                picture = ImageFile.Read(images.Images[i].Source);
            }
            catch (ImageException error)
            {
                skipped.Add(error);
                continue;
            }

            scored.Add(i);
            Detections detections = detect(picture);
            foreach (Detection d in detections.All)
            {
                if (ids.TryGetValue(d.Name, out int category)) found.Add(new DetectedObject(i, category, d.Box, d.Score));
                else unknown.Add(d.Name);
            }

            onPicture?.Invoke(i, picture, detections);
            progress?.Report(i + 1);
        }

        if (found.Count == 0 && unknown.Count > 0)
            throw new DinoSharpException($"the head finds {string.Join(", ", unknown.Order().Take(5))} …, the annotations have {string.Join(", ", ids.Keys.Take(5))} …; no name is in common");
        if (scored.Count == 0) throw new DinoSharpException($"{images.Name}: none of the {images.Images.Count} pictures can be read; the first says: {skipped[0].Message}");
        var evaluation = new DetectionEvaluation([.. scored.SelectMany(i => images.Images[i].Objects)], found, scored);
        DetectionScores scores = evaluation.Score();
        return new EvaluationResult
        {
            Task = "detect",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = new Dictionary<string, string> { ["categories"] = ids.Count.ToString(CultureInfo.InvariantCulture) },
            Metrics = new Dictionary<string, double>
            {
                ["ap"] = scores.Ap,
                ["ap50"] = scores.Ap50,
                ["ap75"] = scores.Ap75,
                ["apSmall"] = scores.ApSmall,
                ["apMedium"] = scores.ApMedium,
                ["apLarge"] = scores.ApLarge,
                ["ar1"] = scores.Ar1,
                ["ar10"] = scores.Ar10,
                ["ar100"] = scores.Ar100,
            },
            Headline = "ap",
            Items = [.. scored.Select(i => images.Images[i].Path)],
            Skipped = skipped,
            Score = evaluation.AveragePrecision,
        };
    }
}
