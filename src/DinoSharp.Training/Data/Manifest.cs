using System.Text.Json;
using CsvHelper;
using DinoSharp.Images;

namespace DinoSharp.Training.Data;

/// <summary>
/// A list of images in a file: CSV or TSV with a header row, or JSON lines. A column (or key) <c>path</c>, <c>image</c> or <c>file</c> names the image, relative to the list's folder;
/// <c>label</c> or <c>class</c> its class, if it has one.
/// </summary>
public static class Manifest
{
    /// <summary>Reads the list. The images are not touched: one that is missing is an error when it is read.</summary>
    /// <param name="path">A .csv, .tsv or .jsonl file.</param>
    /// <param name="reading">How images are read; null for the defaults.</param>
    /// <exception cref="DinoSharpException">The list cannot be read or lacks a column; the message names the line.</exception>
    public static FileDataset Open(string path, ImageReadOptions? reading = null)
    {
        if (!File.Exists(path)) throw new DinoSharpException($"there is no manifest {path}");
        List<(string Path, string? Label)> rows;
        try
        {
            rows = Path.GetExtension(path).ToUpperInvariant() switch
            {
                ".CSV" => ReadTable(path, ','),
                ".TSV" => ReadTable(path, '\t'),
                ".JSONL" or ".NDJSON" => ReadJsonLines(path),
                string other => throw new DinoSharpException($"{path} ends in \"{other.ToLowerInvariant()}\"; a manifest is a .csv, .tsv or .jsonl file"),
            };
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"the manifest {path} cannot be read: {error.Message}", error);
        }

        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        string[] paths = [.. rows.Select(r => Path.GetFullPath(r.Path, folder))];
        (IReadOnlyList<int>? labels, IReadOnlyList<string> classes) = ClassNames.Number([.. rows.Select(r => string.IsNullOrEmpty(r.Label) ? null : r.Label)]);
        return new FileDataset(path, paths, labels, classes, reading: reading);
    }

    private static List<(string Path, string? Label)> ReadTable(string path, char separator)
    {
        var rows = new List<(string, string?)>();
        try
        {
            using CsvReader csv = CsvReader.FromFile(path, new CsvReaderOptions { Separator = separator, TrimWhitespace = true, TrackLineNumbers = true, FieldCountMismatch = CsvFieldCountHandling.Throw });
            string[] header = [.. csv.Headers];
            if (header.Length == 0) throw new DinoSharpException($"{path} is empty; a header row is expected first");
            int image = Column(ClassNames.PathKeys, header), label = Column(ClassNames.Keys, header);
            if (image < 0) throw new DinoSharpException($"{path} has the columns {string.Join(", ", header)}; one of {string.Join(", ", ClassNames.PathKeys)} must name the image");
            while (csv.Read())
            {
                string file = csv.GetString(image);
                if (file.Length == 0) throw new DinoSharpException($"{path}, line {csv.LineNumber}: the column {header[image]} is empty");
                rows.Add((file, label < 0 ? null : csv.GetString(label)));
            }
        }
        catch (CsvFormatException error)
        {
            throw new DinoSharpException($"{path}: {error.Message}", error);
        }

        return rows;
    }

    private static List<(string Path, string? Label)> ReadJsonLines(string path)
    {
        var rows = new List<(string, string?)>();
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line)) continue;
            try
            {
                using JsonDocument json = JsonDocument.Parse(line);
                string? file = json.RootElement.ValueKind != JsonValueKind.Object ? null
                    : ClassNames.PathKeys.Select(k => json.RootElement.TryGetProperty(k, out JsonElement v) && v.ValueKind == JsonValueKind.String ? v.GetString() : null).FirstOrDefault(v => v is not null);
                if (string.IsNullOrEmpty(file)) throw new DinoSharpException($"{path}, line {number}: no key {string.Join(", ", ClassNames.PathKeys)} names the image");
                rows.Add((file, ClassNames.FromJson(json.RootElement)));
            }
            catch (JsonException error)
            {
                throw new DinoSharpException($"{path}, line {number}: not a JSON object ({error.Message})", error);
            }
        }

        return rows;
    }

    private static int Column(string[] names, string[] header) =>
        names.Select(n => Array.FindIndex(header, h => string.Equals(h.Trim(), n, StringComparison.OrdinalIgnoreCase))).FirstOrDefault(i => i >= 0, -1);
}
