using System.Text;

namespace DinoSharp.Weights;

/// <summary>A name and why it was treated as it was.</summary>
/// <param name="Name">Name of a tensor.</param>
/// <param name="Reason">The explanation.</param>
public sealed record ExplainedName(string Name, string Reason);

/// <summary>What became of every tensor of a file and of every parameter and buffer of a network.</summary>
public sealed record LoadReport
{
    /// <summary>Names of the network that get their values from the file.</summary>
    public required IReadOnlyList<string> Matched { get; init; }

    /// <summary>Names of the network that the file's layout does not store and that are computed instead.</summary>
    public required IReadOnlyList<ExplainedName> Computed { get; init; }

    /// <summary>Names of the file that are not needed, for a known reason.</summary>
    public required IReadOnlyList<ExplainedName> Ignored { get; init; }

    /// <summary>Names of the network that the file should hold and does not. None of these in a load that succeeds.</summary>
    public required IReadOnlyList<string> Missing { get; init; }

    /// <summary>Names of the file that the network does not have. None of these in a load that succeeds.</summary>
    public required IReadOnlyList<string> Unexpected { get; init; }

    /// <summary>Names of the network whose tensor in the file has another shape or unusable values. None of these in a load that succeeds.</summary>
    public required IReadOnlyList<ExplainedName> Mismatched { get; init; }

    /// <summary>Whether everything is explained: nothing is missing, unexpected or mismatched.</summary>
    public bool IsComplete => Missing.Count == 0 && Unexpected.Count == 0 && Mismatched.Count == 0;

    /// <summary>One line per kind that occurs, with the names.</summary>
    public override string ToString()
    {
        var text = new StringBuilder($"{Matched.Count} matched");
        Append("missing", Missing);
        Append("unexpected", Unexpected);
        Append("mismatched", [.. Mismatched.Select(item => $"{item.Name}: {item.Reason}")]);
        foreach (IGrouping<string, ExplainedName> group in Computed.GroupBy(item => item.Reason))
            Append($"computed ({group.Key})", [.. group.Select(item => item.Name)]);
        foreach (IGrouping<string, ExplainedName> group in Ignored.GroupBy(item => item.Reason))
            Append($"ignored ({group.Key})", [.. group.Select(item => item.Name)]);
        return text.ToString();

        void Append(string kind, IReadOnlyList<string> names)
        {
            const int shown = 12;
            if (names.Count == 0) return;
            string more = names.Count > shown ? $", … and {names.Count - shown} more" : "";
            text.Append($"\n  {names.Count} {kind}: {string.Join(", ", names.Take(shown))}{more}");
        }
    }
}

/// <summary>A file's tensors do not fit the network; the message and <see cref="Report"/> name each of them.</summary>
public sealed class WeightLoadException : TensorFileException
{
    /// <summary>Creates the error.</summary>
    /// <param name="path">The file.</param>
    /// <param name="report">What did and did not fit.</param>
    public WeightLoadException(string path, LoadReport report)
        : base(path, $"the weights do not fit the network, nothing was loaded: {report}") => Report = report;

    /// <summary>What did and did not fit.</summary>
    public LoadReport Report { get; }
}
