using Xunit;

namespace DinoSharp.Tests.Golden;

/// <summary>Every golden case as a test: those of the repository, and those of the shared folder or of DINOSHARP_GOLDEN.</summary>
public sealed class GoldenTests
{
    public static TheoryData<string, string> Cases()
    {
        var data = new TheoryData<string, string>();
        foreach (string folder in GoldenFolder.All)
        {
            foreach (GoldenEntry entry in GoldenFolder.Entries(folder)) data.Add(Path.GetFileName(Path.GetDirectoryName(folder)) + "/" + Path.GetFileName(folder), entry.Name);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void GoldenCaseIsReproduced(string folder, string name)
    {
        string path = GoldenFolder.All.First(f => (Path.GetFileName(Path.GetDirectoryName(f)) + "/" + Path.GetFileName(f)) == folder);
        GoldenResult result = GoldenRunner.Run(GoldenFolder.Entries(path).First(e => e.Name == name));
        Assert.SkipWhen(result.Skipped is not null, result.Skipped ?? "");
        Assert.True(result.Problems.Count == 0, string.Join(Environment.NewLine, result.Problems));
    }
}
