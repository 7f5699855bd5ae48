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

    // Larger numbers are not counted from 0; they are keys of some kind, and so names.
    private const int MostClasses = 10_000_000;

    /// <summary>If all are whole numbers they are the classes themselves; otherwise the names are numbered in ordinal order. An image without a class has null, then -1.</summary>
    /// <returns>No labels if no image has one.</returns>
    public static (IReadOnlyList<int>? Labels, IReadOnlyList<string> Classes) Number(IReadOnlyList<string?> labels)
    {
        string[] names = [.. labels.OfType<string>().Distinct().Order(StringComparer.Ordinal)];
        if (names.Length == 0) return (null, []);
        int[] numbers = [.. names.Select(name => int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int n) ? n : int.MaxValue)];
        bool numeric = numbers.Max() <= MostClasses;
        Dictionary<string, int> number = names.Select((name, i) => (name, i)).ToDictionary(n => n.name, n => numeric ? numbers[n.i] : n.i);
        return ([.. labels.Select(l => l is null ? -1 : number[l])], numeric ? [.. Enumerable.Range(0, numbers.Max() + 1).Select(n => n.ToString(CultureInfo.InvariantCulture))] : names);
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
