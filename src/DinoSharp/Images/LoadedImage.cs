namespace DinoSharp.Images;

/// <summary>One image of a batch, or the reason why there is none.</summary>
/// <param name="Index">Its place in the order the sources were given, from 0.</param>
/// <param name="Source">Where it came from.</param>
/// <param name="Image">The model's input, float32 [C, H, W]; null if it could not be prepared.</param>
/// <param name="Error">Why it could not be prepared; null if it could.</param>
public sealed record LoadedImage(int Index, ImageSource Source, ImageTensor? Image, DinoSharpException? Error) : IDisposable
{
    /// <summary>Frees the tensor, if there is one.</summary>
    public void Dispose() => Image?.Dispose();
}
