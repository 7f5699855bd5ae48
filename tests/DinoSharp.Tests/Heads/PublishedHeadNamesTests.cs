using System.Globalization;
using System.Text.RegularExpressions;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Detection;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Heads.Text;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Heads;

/// <summary>Full-size heads on the meta device have exactly the approved names and shapes.</summary>
public sealed partial class PublishedHeadNamesTests
{
    private static readonly Dictionary<string, Func<nn.Module>> Builders = new()
    {
        ["dinov3-vit7b16-linear"] = () => new DinoSharp.Layers.Linear(8192, 1000, bias: true, META),
        ["dinov3-vit7b16-synthmix"] = () => new DptHead(DptConfig.SynthMix, META),
        ["dinov3-vitl16-chmv2"] = () => new DptHead(DptConfig.Canopy, META),
        ["dinov3-vit7b16-mask2former"] = () => new Mask2FormerHead(new Mask2FormerConfig(), META),
        ["dinov3-vit7b16-detr"] = () => new DetrHead(new DetrConfig(), META),
        ["dinov3-vitl16-dinotxt"] = () => new DinoTextHead(new DinoTextConfig(), META),
    };

    public static TheoryData<string> Names() => [.. Builders.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void NamesAndShapesAreApproved(string name)
    {
        using nn.Module head = Builders[name]();
        Dictionary<string, string> actual = head.state_dict().ToDictionary(e => e.Key, e => $"[{string.Join(", ", e.Value.shape)}]"), expected = Approved(name);
        Assert.Empty(expected.Keys.Except(actual.Keys));
        Assert.Empty(actual.Keys.Except(expected.Keys));
        foreach ((string key, string shape) in expected) Assert.Equal($"{key} {shape}", $"{key} {actual[key]}");
    }

    [Theory]
    [InlineData("dinov3-vit7b16-mask2former", "segmentation_model.0.", 227_084_736)]
    [InlineData("dinov3-vit7b16-mask2former", "segmentation_model.1.", 700_335_639)]
    [InlineData("dinov3-vit7b16-detr", "", 129_070_745)]
    public void ParameterCountsAreThoseOfThePublishedHeads(string name, string prefix, long expected)
    {
        using nn.Module head = Builders[name]();
        Assert.Equal(expected, head.named_parameters().Where(p => p.name.StartsWith(prefix, StringComparison.Ordinal)).Sum(p => p.parameter.numel()));
    }

    private static Dictionary<string, string> Approved(string name)
    {
        var result = new Dictionary<string, string>();
        IEnumerable<string> lines = File.ReadLines(Path.Combine(Repository.Fixtures, "head-state-dicts.approved.txt"))
            .SkipWhile(line => line != $"== {name}").Skip(1).TakeWhile(line => !line.StartsWith("==", StringComparison.Ordinal)).Where(line => line.Length > 0);
        foreach (string line in lines)
        {
            string[] parts = line.Split(' ', 2);
            foreach (string key in Expand(parts[0]).Distinct())
            {
                if (!parts[1].StartsWith("BN ", StringComparison.Ordinal))
                {
                    result.Add(key, parts[1]);
                    continue;
                }

                foreach (string entry in new[] { "weight", "bias", "running_mean", "running_var" }) result.Add($"{key}.{entry}", $"[{parts[1][3..]}]");
                result.Add($"{key}.num_batches_tracked", "[]");
            }
        }

        return result;
    }

    private static IEnumerable<string> Expand(string pattern)
    {
        Match innermost = Braces().Match(pattern);
        if (!innermost.Success) return [pattern];
        string inside = innermost.Groups[1].Value;
        string[] range = inside.Split("..");
        IEnumerable<string> members = range.Length == 2
            ? Enumerable.Range(Number(range[0]), Number(range[1]) - Number(range[0]) + 1).Select(i => i.ToString(CultureInfo.InvariantCulture))
            : inside.Split(',');
        return members.SelectMany(m => Expand(pattern[..innermost.Index] + m + pattern[(innermost.Index + innermost.Length)..]));
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"\{([^{}]*)\}")]
    private static partial Regex Braces();
}
