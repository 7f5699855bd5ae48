namespace DinoSharp.Heads.Text;

/// <summary>Sentences into which the name of a class is put; the mean over several of them describes a class better than its bare name.</summary>
public sealed class PromptTemplates
{
    private const string Place = "{}";

    private PromptTemplates(IReadOnlyList<string> templates) => Templates = templates;

    /// <summary>A short list of our own. The published figures use the 80 templates of CLIP for ImageNet, which a file can bring (<see cref="Read"/>).</summary>
    public static PromptTemplates Default { get; } = Of("a photo of a {}.", "a photo of the {}.", "a close-up photo of a {}.", "a photo of a {} in the distance.", "a picture of many {}.", "a bright photo of a {}.", "a dark photo of a {}.", "a {} in a scene.");

    /// <summary>Only the name itself.</summary>
    public static PromptTemplates None { get; } = Of(Place);

    /// <summary>The templates, each with <c>{}</c> where the name goes.</summary>
    public IReadOnlyList<string> Templates { get; }

    /// <summary>Templates of your own.</summary>
    /// <param name="templates">At least one; each contains <c>{}</c>.</param>
    /// <exception cref="DinoSharpException">There is none, or one has no place for the name.</exception>
    public static PromptTemplates Of(params IReadOnlyList<string> templates)
    {
        if (templates.Count == 0) throw new DinoSharpException("there is no prompt template; give at least one, for example \"a photo of a {}.\"");
        string? bad = templates.FirstOrDefault(t => !t.Contains(Place, StringComparison.Ordinal));
        return bad is null ? new PromptTemplates([.. templates]) : throw new DinoSharpException($"the prompt template \"{bad}\" has no {{}} where the name of the class goes");
    }

    /// <summary>Reads a text file with one template on each line; empty lines and lines that begin with # are skipped.</summary>
    /// <param name="path">In UTF-8.</param>
    /// <exception cref="DinoSharpException">The file cannot be read or holds no usable template.</exception>
    public static PromptTemplates Read(string path)
    {
        try
        {
            return Of([.. File.ReadLines(path).Select(l => l.Trim()).Where(l => l.Length > 0 && l[0] != '#')]);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{path}: the prompt templates cannot be read: {error.Message}", error);
        }
        catch (DinoSharpException error)
        {
            throw new DinoSharpException($"{path}: {error.Message}", error);
        }
    }

    /// <summary>A name in every template.</summary>
    internal IEnumerable<string> Fill(string name) => Templates.Select(t => t.Replace(Place, name, StringComparison.Ordinal));
}
