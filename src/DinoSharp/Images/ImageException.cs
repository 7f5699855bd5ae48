namespace DinoSharp.Images;

/// <summary>An image file that cannot be used. The message names the file and the cause.</summary>
/// <param name="name">The file, or the name the caller gave the bytes.</param>
/// <param name="cause">What is wrong, and what to do about it.</param>
/// <param name="inner">The error of the decoder, if it had one.</param>
public sealed class ImageException(string name, string cause, Exception? inner = null)
    : DinoSharpException($"{name}: {cause}", inner)
{
    /// <summary>The file, or the name the caller gave the bytes.</summary>
    public string Name { get; } = name;

    /// <summary>What is wrong, without the name.</summary>
    public string Cause { get; } = cause;
}
