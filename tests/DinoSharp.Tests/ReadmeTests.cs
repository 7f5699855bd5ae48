using System.Text.RegularExpressions;
using Xunit;

namespace DinoSharp.Tests;

/// <summary>What README.md promises works as it stands there.</summary>
public class ReadmeTests
{
    private static readonly string Readme = File.ReadAllText(Path.Combine(Repository.Root, "README.md")).ReplaceLineEndings("\n");

    [Fact]
    public void TheExampleIsTheOneThatIsCompiled()
    {
        string source = File.ReadAllText(Path.Combine(Repository.Root, "tests", "DinoSharp.Tests", "ReadmeExample.cs")).ReplaceLineEndings("\n");
        Match compiled = Regex.Match(source, @"// <example>\n(.*?)\n        // </example>", RegexOptions.Singleline), shown = Regex.Match(Readme, @"<!-- compiled and run by the tests -->\n```csharp\n(.*?)\n```", RegexOptions.Singleline);
        Assert.True(compiled.Success && shown.Success, "README.md or ReadmeExample.cs has lost the marks around the example");
        string[] expected = [.. Regex.Matches(source, @"^using [\w.]+;$", RegexOptions.Multiline).Select(match => match.Value).Prepend("using DinoSharp;"), "", .. compiled.Groups[1].Value.Replace("\n        ", "\n")[8..].Split('\n')];
        Assert.Equal(expected, shown.Groups[1].Value.Split('\n'));
    }

    [Fact]
    public async Task TheExampleRunsAndLeavesItsPictures()
    {
        // In a process and a folder of its own, because the example writes beside itself.
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.File("samples", "images"));
        foreach (string picture in Directory.GetFiles(Path.Combine(Repository.Root, "samples", "images"))) File.Copy(picture, folder.File("samples", "images", Path.GetFileName(picture)));
        string output = (await OtherProgram.RunAsync(folder.Path, "dotnet", typeof(ReadmeTests).Assembly.Location, "readme")).Succeeded();
        Assert.Matches(@"^192 numbers, length 1\.000\r?\n24×32 patches of 192 numbers, most alike: \(\d+, \d+\)\r?\n$", output);
        Assert.Equal(["fruit-pca.png", "lemon.png"], Directory.GetFiles(folder.Path, "*.png").Select(Path.GetFileName).Order());
    }

    [Fact]
    public void EveryFileThatADocumentLinksToExists()
    {
        IEnumerable<string> documents = Directory.GetFiles(Repository.Root, "*.md").Concat(Directory.GetFiles(Path.Combine(Repository.Root, "docs"), "*.md", SearchOption.AllDirectories));
        foreach (string document in documents)
        {
            foreach (Match link in Regex.Matches(File.ReadAllText(document), @"\]\((?!https?:|#|mailto:)([^)#\s]+)"))
                Assert.True(Path.Exists(Path.Combine(Path.GetDirectoryName(document)!, link.Groups[1].Value)), $"{Path.GetRelativePath(Repository.Root, document)} links to {link.Groups[1].Value}, which is not there");
        }
    }
}
