using DinoSharp.Images;

namespace DinoSharp.Features;

/// <summary>The embedding of one of many pictures, or why there is none.</summary>
/// <param name="Name">Path of the picture, or the name given to it.</param>
/// <param name="Vector">The embedding; null if the picture cannot be read.</param>
/// <param name="Error">Why the picture cannot be read; null if it can.</param>
public sealed record ImageEmbedding(string Name, float[]? Vector, ImageException? Error);
