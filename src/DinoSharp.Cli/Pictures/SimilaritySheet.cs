using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Cli.Pictures;

/// <summary>A place that was asked for, and what resembles it.</summary>
/// <param name="Place">The pixel.</param>
/// <param name="Id">Its number from 1; its colour is that of the same id in overlays.</param>
/// <param name="Row">Its patch row.</param>
/// <param name="Column">Its patch column.</param>
/// <param name="Heats">The cosine similarities of each picture with it.</param>
internal sealed record Query(Place Place, byte Id, int Row, int Column, HeatMap[] Heats)
{
    /// <summary>Compares the pictures with a place of the first, the index-th of those asked for.</summary>
    public static Query Create(Place place, int index, PatchMap[] maps)
    {
        (int row, int column) = maps[0].PatchAt(place.X, place.Y);
        return new Query(place, (byte)(1 + (index % byte.MaxValue)), row, column, [.. maps.Select(map => map.SimilarityTo(maps[0][row, column]))]);
    }
}

/// <summary>The sheet of <c>dino similarity</c>: a row of heat maps for each place, and with several places a row in which every pixel has the colour of the place that it resembles most.</summary>
internal static class SimilaritySheet
{
    private const double Radius = 14, Thickness = 4;

    /// <summary>Draws the sheet.</summary>
    /// <param name="photos">The pictures; the places are in the first.</param>
    /// <param name="queries">The places.</param>
    /// <param name="range">Cosines at the ends of the colour scale, one for all maps.</param>
    public static ImageBuffer Draw(Photo[] photos, Query[] queries, ValueRange range)
    {
        ImageBuffer[] panels = [.. photos.Select(photo => photo.Panel())];
        var rows = new List<PictureSheet.Panel[]>();
        foreach (Query query in queries)
        {
            ImageBuffer[] heats = [.. panels.Select((panel, i) => PictureSheet.Overlay(panel, query.Heats[i].ToImage(panel.Width, panel.Height, range)))];
            heats[0] = Marked(heats[0], [query]);
            rows.Add([new(Marked(panels[0], [query])), .. heats.Select(heat => new PictureSheet.Panel(heat)), new(PictureSheet.Legend(range, panels[0].Height))]);
        }

        if (queries.Length > 1)
        {
            ImageBuffer[] nearest = [.. panels.Select((panel, i) => Nearest([.. queries.Select(q => q.Heats[i])], panel.Width, panel.Height).Overlay(panel, 0.6))];
            nearest[0] = Marked(nearest[0], queries);
            rows.Add([new(Marked(panels[0], queries)), .. nearest.Select(picture => new PictureSheet.Panel(picture))]);
        }

        return PictureSheet.Compose(rows);

        // Several places have the colours that the last row has for them.
        ImageBuffer Marked(ImageBuffer panel, IReadOnlyList<Query> shown)
        {
            var canvas = new Canvas(panel.Width, panel.Height);
            canvas.Draw(panel, 0, 0);
            foreach (Query query in shown)
            {
                (double x, double y) = ((query.Place.X + 0.5) * panel.Width / photos[0].Pixels.Width, (query.Place.Y + 0.5) * panel.Height / photos[0].Pixels.Height);
                canvas.Ring(x, y, Radius, Thickness, queries.Length > 1 ? LabelMap.Bright(query.Id) : null);
            }

            return canvas.ToPicture();
        }
    }

    // Ids 1 … n, whose colours are those of label maps.
    private static LabelMap Nearest(HeatMap[] heats, int width, int height)
    {
        float[] scores = new float[heats[0].Height * heats[0].Width * heats.Length]; // [h, w, n]
        for (int i = 0; i < scores.Length; i++) scores[i] = heats[i % heats.Length].Values[i / heats.Length];
        LabelMap classes = PatchClasses.Paint(new PatchMap(heats[0].Height, heats[0].Width, heats.Length, scores, heats[0].Geometry), width, height);
        return new LabelMap(width, height, Array.ConvertAll(classes.Array, c => (byte)(c + 1)));
    }
}
