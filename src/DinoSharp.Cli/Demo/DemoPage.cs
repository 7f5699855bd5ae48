using System.Globalization;
using System.Net;
using System.Text;
using DinoSharp.Features;
using DinoSharp.Features.Clustering;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Cli.Demo;

/// <summary>The page of <c>dino demo</c>: one HTML file that needs no other.</summary>
internal static class DemoPage
{
    private const int Side = 512, Clusters = 6, Neighbors = 3, SamplesPerPicture = 4000;

    /// <summary>Writes the page.</summary>
    public static void Write(string path, DinoModel model, double loadingSeconds, IReadOnlyList<DemoPicture> pictures)
    {
        PatchMap[] maps = [.. pictures.Select(p => p.Map)];
        Pca pca = Pca.Fit(maps);
        KMeans clusters = Cluster(maps);
        var html = new StringBuilder("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>What ").Append(Text(model.Name)).Append(" sees</title><style>")
            .Append("body{font:15px/1.4 sans-serif;margin:2em;color:#222}table{border-collapse:collapse}th,td{padding:6px;text-align:left;vertical-align:top}th{font-weight:600}img{width:220px;display:block}")
            .Append("td.near img{width:96px}figure{margin:0;display:inline-block}figcaption{color:#666;font-size:13px;overflow-wrap:anywhere;max-width:220px}")
            .Append("</style><h1>What ").Append(Text(model.Name)).Append(" sees</h1>\n<p>").Append(Text(string.Create(
                CultureInfo.InvariantCulture,
                $"{model.Backbone.Outline().Sum(p => p.Unfilled.numel()) / 1e6:0.0} million weights, computed with {model.Engine} on {Environment.ProcessorCount} processors. Loading {loadingSeconds:0.00} s; one vector for a picture {Median(pictures, p => p.EmbedSeconds):0} ms, all patches {Median(pictures, p => p.ExtractSeconds):0} ms (medians)."))).Append("</p>\n")
            .Append("<p><b>Components</b>: equal colours, equal things, in all pictures. <b>Like the middle</b>: cosine similarity of each patch with the ringed one, from 0 (blue) to 1 (yellow). ")
            .Append("<b>Attention</b>: where the class token looks, mean of the heads. <b>Kinds</b>: ").Append(Clusters).Append(" clusters of patches, found without labels. <b>Nearest</b>: the most similar of the other pictures.</p>\n")
            .Append("<table><tr><th>Picture<th>Components<th>Like the middle<th>Attention<th>Kinds<th>Nearest</tr>\n");
        foreach (DemoPicture picture in pictures)
        {
            ImageBuffer panel = picture.Photo.Panel(Side);
            html.Append("<tr><td>").Append(Figure(panel, Path.GetFileName(picture.Photo.Path)))
                .Append("<td>").Append(Figure(pca.Project(picture.Map).ToImage(panel.Width, panel.Height)))
                .Append("<td>").Append(Figure(Similarity(picture, panel)))
                .Append("<td>").Append(picture.Attention is { } heat ? Figure(PictureSheet.Overlay(panel, heat.ToImage(panel.Width, panel.Height))) : "none")
                .Append("<td>").Append(Figure(Kinds(clusters, picture.Map, panel)))
                .Append("<td class=\"near\">");
            foreach ((DemoPicture other, double score) in Nearest(picture, pictures)) html.Append(Figure(other.Photo.Panel(Side), score.ToString("0.000", CultureInfo.InvariantCulture)));
            html.Append("</tr>\n");
        }

        ImageWriter.WriteWhole(path, Encoding.UTF8.GetBytes(html.Append("</table></html>\n").ToString()));
    }

    /// <summary>The other pictures, the most similar first.</summary>
    internal static IEnumerable<(DemoPicture Picture, double Score)> Nearest(DemoPicture picture, IReadOnlyList<DemoPicture> all) => all
        .Where(other => other != picture).Select(other => (other, other.Embedding.Zip(picture.Embedding, (a, b) => (double)a * b).Sum())).OrderByDescending(pair => pair.Item2).Take(Neighbors);

    private static KMeans Cluster(PatchMap[] maps)
    {
        using var scope = NewDisposeScope();
        Tensor samples = cat([.. maps.Select(map => map.ToTensor()[arange(Num(0), Num(map.Count), Num(Math.Max(1, map.Count / SamplesPerPicture)))])]); // [N, D]
        return KMeans.Fit(samples, (int)Math.Min(Clusters, samples.shape[0]));
    }

    private static ImageBuffer Kinds(KMeans clusters, PatchMap map, ImageBuffer panel)
    {
        LabelMap labels = PatchClasses.Paint(clusters.Similarities(map), panel.Width, panel.Height);
        return new LabelMap(labels.Width, labels.Height, Array.ConvertAll(labels.Array, c => (byte)(c + 1))).Overlay(panel, 0.65); // 0 stays free for "none"
    }

    private static ImageBuffer Similarity(DemoPicture picture, ImageBuffer panel)
    {
        HeatMap heat = picture.Map.SimilarityTo(picture.Map[picture.Map.Height / 2, picture.Map.Width / 2]);
        (double x, double y) = picture.Map.CenterOf(picture.Map.Height / 2, picture.Map.Width / 2);
        var canvas = new Canvas(panel.Width, panel.Height);
        canvas.Draw(PictureSheet.Overlay(panel, heat.ToImage(panel.Width, panel.Height, new ValueRange(0, 1))), 0, 0);
        canvas.Ring(x * panel.Width / picture.Photo.Pixels.Width, y * panel.Height / picture.Photo.Pixels.Height, radius: 14, thickness: 4);
        return canvas.ToPicture();
    }

    private static double Median(IReadOnlyList<DemoPicture> pictures, Func<DemoPicture, double> seconds) => 1000 * pictures.Select(seconds).Order().ElementAt(pictures.Count / 2);

    private static string Figure(ImageBuffer picture, string? caption = null) =>
        $"<figure><img alt=\"\" src=\"data:image/jpeg;base64,{Convert.ToBase64String(ImageWriter.EncodeJpeg(picture, "demo", 85))}\">{(caption is null ? "" : $"<figcaption>{Text(caption)}</figcaption>")}</figure>";

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
