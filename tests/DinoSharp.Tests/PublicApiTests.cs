using System.Reflection;
using PublicApiGenerator;
using Xunit;

namespace DinoSharp.Tests;

/// <summary>What users can see of the libraries is written down in docs/api.txt, so that a change of it is noticed and reviewed.</summary>
public class PublicApiTests
{
    private static readonly Assembly[] Libraries = [typeof(DinoSharpException).Assembly, typeof(DinoSharp.Training.Optimization.Schedule).Assembly];

    [Fact]
    public void ThePublicApiIsTheApprovedOne()
    {
        string file = Path.Combine(Repository.Root, "docs", "api.txt");
        var options = new ApiGeneratorOptions { IncludeAssemblyAttributes = false, OrderBy = OrderMode.FullName };
        string api = string.Join('\n', Libraries.Select(library => $"// {library.GetName().Name}\n{library.GeneratePublicApi(options)}\n")).ReplaceLineEndings("\n");
        if (Environment.GetEnvironmentVariable("DINOSHARP_APPROVE") == "1") File.WriteAllText(file, api);

        string[] approved = File.ReadAllText(file).ReplaceLineEndings("\n").Split('\n'), actual = api.Split('\n');
        int first = approved.Zip(actual).TakeWhile(pair => pair.First == pair.Second).Count();
        Assert.True(
            approved.SequenceEqual(actual),
            $"the public API differs from docs/api.txt from line {first + 1} on:\napproved: {approved.ElementAtOrDefault(first)}\nactual:   {actual.ElementAtOrDefault(first)}\n"
            + "If that is meant, run DINOSHARP_APPROVE=1 ./test PublicApi and commit the file.");
    }
}
