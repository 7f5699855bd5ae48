using System.Net;
using System.Text;
using DinoSharp.Images;

namespace DinoSharp.Cli.Indexing;

/// <summary>Rows of thumbnails with captions as one HTML file that needs no other.</summary>
internal static class ThumbnailPage
{
    private const int Side = 160;

    /// <summary>Pictures of a page: a browser still scrolls through some ten megabytes.</summary>
    internal const int MostPictures = 1000;

    /// <summary>Writes the page; pictures that cannot be read any more are named instead of shown.</summary>
    /// <returns>How many pictures found no place on it, which it says itself.</returns>
    public static int Write(string path, string title, IReadOnlyList<IReadOnlyList<(string File, string Caption)>> rows)
    {
        var html = new StringBuilder("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>").Append(WebUtility.HtmlEncode(title)).Append("</title><style>")
            .Append("body{font:14px sans-serif;margin:2em}section{display:flex;flex-wrap:wrap;gap:12px;border-top:1px solid #ddd;padding:12px 0}figure{margin:0;max-width:170px}figcaption{overflow-wrap:anywhere;color:#555}")
            .Append("</style><h1>").Append(WebUtility.HtmlEncode(title)).Append("</h1>\n");
        int left = MostPictures, more = Math.Max(0, rows.Sum(row => row.Count) - MostPictures);
        foreach (IReadOnlyList<(string File, string Caption)> row in rows.TakeWhile(_ => left > 0))
        {
            html.Append("<section>");
            foreach ((string file, string caption) in row.Take(left))
            {
                html.Append("<figure>");
                if (Thumbnail(file) is { } data) html.Append("<img alt=\"\" src=\"data:image/jpeg;base64,").Append(data).Append("\">");
                html.Append("<figcaption title=\"").Append(WebUtility.HtmlEncode(file)).Append("\">").Append(WebUtility.HtmlEncode(caption)).Append("</figcaption></figure>");
            }

            html.Append("</section>\n");
            left -= row.Count;
        }

        if (more > 0) html.Append("<p>").Append(more).Append(" more pictures are not shown.</p>");

        ImageWriter.WriteWhole(path, Encoding.UTF8.GetBytes(html.Append("</html>\n").ToString()));
        return more;
    }

    private static string? Thumbnail(string file)
    {
        try
        {
            ImageBuffer picture = ImageFile.Read(file).ToRgb8();
            double scale = Math.Min(1, (double)Side / Math.Max(picture.Width, picture.Height));
            (int width, int height) = (Math.Max(1, (int)(picture.Width * scale)), Math.Max(1, (int)(picture.Height * scale)));
            byte[] pixels = new byte[width * height * 3];
            Resize.UInt8(picture.Samples<byte>(), picture.Width, picture.Height, 3, new PixelWindow(0, 0, picture.Width, picture.Height), pixels, width, height, Interpolation.Bilinear, ResizeArithmetic.Pillow);
            return Convert.ToBase64String(ImageWriter.EncodeJpeg(ImageBuffer.FromSamples<byte>(width, height, 3, pixels), file, 80));
        }
        catch (ImageException)
        {
            return null;
        }
    }
}
