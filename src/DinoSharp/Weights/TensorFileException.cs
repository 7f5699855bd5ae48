namespace DinoSharp.Weights;

/// <summary>A file of tensors that cannot be read or written: damaged, hostile, of another kind, or missing what was asked for.</summary>
public class TensorFileException : DinoSharpException
{
    /// <summary>Creates the error.</summary>
    /// <param name="path">The file or folder concerned; becomes the start of the message.</param>
    /// <param name="problem">What is wrong with it: the expected, the found and the next step.</param>
    /// <param name="inner">The cause, if another error led here.</param>
    public TensorFileException(string path, string problem, Exception? inner = null)
        : base($"{path}: {Printable(problem)}", inner) => FilePath = path;

    /// <summary>The file or folder concerned.</summary>
    public string FilePath { get; }

    // Names come from the file: they may be long, and may carry escape sequences for the terminal.
    private static string Printable(string text)
    {
        if (text.Length > 3000) text = $"{text[..2000]} … {text[^500..]}";
        return string.Concat(text.Select(letter => char.IsControl(letter) && letter != '\n' ? '\uFFFD' : letter));
    }
}
