using System.Globalization;
using System.Text.Json;

namespace DinoSharp.Training.Data;

/// <summary>Turns the classes of images, as files write them, into numbers and names.</summary>
internal static class ClassNames
{
    /// <summary>Keys and column names that hold a class.</summary>
    public static readonly string[] Keys = ["label", "class", "class_name", "cls", "target", "category"];

    /// <summary>Keys and column names that hold the path of an image.</summary>
    public static readonly string[] PathKeys = ["path", "image", "file", "filename", "file_name", "filepath", "image_path"];

    /// <summary>If all are whole numbers they are the classes themselves; otherwise the names are numbered in ordinal order.</summary>
    public static (IReadOnlyList<int> Labels, IReadOnlyList<string> Classes) Number(IReadOnlyList<string> labels, string where)
    {
        int[] numbers = new int[labels.Count];
        bool numeric = true;
        for (int i = 0; i < numbers.Length && numeric; i++) numeric = int.TryParse(labels[i], NumberStyles.None, CultureInfo.InvariantCulture, out numbers[i]);
        if (numeric)
        {
            int most = numbers.Max();
            if (most > 10_000_000) throw new DinoSharpException($"{where}: the class {most} is too large for a number of a class; they are counted from 0");
            return (numbers, [.. Enumerable.Range(0, most + 1).Select(n => n.ToString(CultureInfo.InvariantCulture))]);
        }

        string[] names = [.. labels.Distinct().Order(StringComparer.Ordinal)];
        Dictionary<string, int> number = names.Select((name, i) => (name, i)).ToDictionary(n => n.name, n => n.i);
        return ([.. labels.Select(l => number[l])], names);
    }

    /// <summary>The class that a JSON object gives; null if it gives none.</summary>
    public static string? FromJson(JsonElement json)
    {
        foreach (string key in Keys)
        {
            if (!json.TryGetProperty(key, out JsonElement value)) continue;
            if (value.ValueKind == JsonValueKind.String) return value.GetString();
            if (value.ValueKind == JsonValueKind.Number) return value.GetRawText();
        }

        return null;
    }
}
