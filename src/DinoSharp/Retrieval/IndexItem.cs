using System.Text.Json.Serialization;

namespace DinoSharp.Retrieval;

/// <summary>A picture of an index.</summary>
/// <param name="Path">Its file as it was named when it was added.</param>
/// <param name="Hash">SHA-256 of its content, hexadecimal.</param>
/// <param name="Size">Length of the file in bytes.</param>
/// <param name="Modified">Time of the last change of the file.</param>
public sealed record IndexItem(string Path, string Hash, long Size, DateTime Modified)
{
    /// <summary>Its file, whatever the current folder is.</summary>
    [JsonIgnore]
    public string FullPath { get; init; } = Path;
}

/// <summary>A picture found in an index.</summary>
/// <param name="Item">The picture.</param>
/// <param name="Score">Cosine similarity with the query, −1 … 1.</param>
public sealed record SearchHit(IndexItem Item, float Score);

/// <summary>Pictures that are nearly the same.</summary>
/// <param name="Items">At least two, in the order of the index.</param>
/// <param name="LowestSimilarity">The weakest of the similarities that joined them.</param>
public sealed record DuplicateGroup(IReadOnlyList<IndexItem> Items, float LowestSimilarity);
