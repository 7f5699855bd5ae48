using Xunit;

namespace DinoSharp.Tests;

/// <summary>A speed that stands in no benchmark does not exist: the README quotes bench/results and nothing else.</summary>
public sealed class ReadmeSpeedTests
{
    private const string Results = "bench/results/amd-epyc-avx-512/forward.md";

    [Fact]
    public void TheTableQuotesTheResults()
    {
        string readme = File.ReadAllText(Path.Combine(Repository.Root, "README.md"));
        string section = readme[readme.IndexOf("\n## Speed\n", StringComparison.Ordinal)..];
        section = section[..section.IndexOf("\n## ", 1, StringComparison.Ordinal)];
        Assert.Contains(Results, section, StringComparison.Ordinal);
        List<string[]> quoted = Rows(section, "| network |"), measured = Rows(File.ReadAllText(Path.Combine(Repository.Root, Results)), "| network | pixels | batch | route |");
        int figures = 0;
        foreach (string[] row in quoted.Skip(1))
        {
            for (int column = 3; column < row.Length; column++)
            {
                // "9.1 / 9.5": the best time, then the median.
                string[] found = Assert.Single(measured, m => m[..3].SequenceEqual(row[..3]) && (m[3] == quoted[0][column] || m[3].StartsWith(quoted[0][column] + " (", StringComparison.Ordinal)));
                Assert.Equal(found[Array.IndexOf(measured[0], "ms")].Split(" / ")[1], row[column]);
                figures++;
            }
        }

        Assert.True(figures > 0, "the README has no figures");
    }

    private static List<string[]> Rows(string text, string header)
    {
        string[] lines = text[text.IndexOf(header, StringComparison.Ordinal)..].Split('\n');
        return [.. lines.TakeWhile(line => line.StartsWith('|')).Where(line => !line.StartsWith("|---", StringComparison.Ordinal)).Select(line => line.Trim('|').Split('|', StringSplitOptions.TrimEntries))];
    }
}
