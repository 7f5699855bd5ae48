namespace DinoSharp;

/// <summary>An error a user can act on: bad input, a file that cannot be used, an impossible request. The message says what was expected, what was found and what to do.</summary>
public class DinoSharpException : Exception
{
    /// <summary>Creates the error.</summary>
    /// <param name="message">What is wrong, with the file or key, the expected and the actual, and the next step.</param>
    /// <param name="inner">The cause, if another error led here.</param>
    public DinoSharpException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
