using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using DinoSharp.Weights;

namespace DinoSharp.Cli;

/// <summary><c>dino convert</c>: the same weights in another layout, element type or division into files.</summary>
internal sealed class ConvertVerb : Verb
{
    private static readonly Dictionary<string, WeightLayout> Layouts = new()
    {
        ["official"] = WeightLayout.Official,
        ["hf"] = WeightLayout.HuggingFace,
        ["timm"] = WeightLayout.Timm,
    };

    private static readonly Dictionary<string, ElementType> Types = new()
    {
        ["float32"] = ElementType.Float32,
        ["fp32"] = ElementType.Float32,
        ["bfloat16"] = ElementType.BFloat16,
        ["bf16"] = ElementType.BFloat16,
        ["float16"] = ElementType.Float16,
        ["fp16"] = ElementType.Float16,
    };

    private static readonly (string Suffix, double Factor)[] Units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3), ("B", 1), ("", 1)];

    private readonly Argument<string> _input = new("IN") { Description = "A .safetensors or .pth file, an index of shards, or a folder with one of these" };
    private readonly Argument<string> _output = new("OUT") { Description = "A .safetensors file or a folder to write; a folder for 'hf' and for shards" };
    private readonly Option<string> _to = new("--to") { Description = "Layout to write: official, hf or timm", HelpName = "LAYOUT", Required = true };
    private readonly Option<string?> _type = new("--dtype")
    {
        Description = "Type of the numbers: float32, bfloat16 or float16; as they are if left out",
        HelpName = "TYPE",
    };

    private readonly Option<long?> _shard = new("--shard-size")
    {
        Description = "Largest file, for example 5GB or 500MB; one file if left out",
        HelpName = "SIZE",
        CustomParser = ParseSize,
    };

    private readonly Option<bool> _overwrite = new("--overwrite") { Description = "Replace a model that is there already" };

    public ConvertVerb()
        : base(
            "convert",
            "Write weights in another layout, number type or number of files",
            "dino convert dinov3_vits16.pth vits16.safetensors --to official",
            "dino convert vits16.safetensors vits16-hf --to hf --dtype bfloat16",
            "dino convert vit7b16-hf vit7b16 --to official --shard-size 5GB")
    {
        _to.AcceptOnlyFromAmong([.. Layouts.Keys]);
        _type.AcceptOnlyFromAmong([.. Types.Keys]);
        foreach (Argument argument in new Argument[] { _input, _output }) Add(argument);
        foreach (Option option in new Option[] { _to, _type, _shard, _overwrite }) Add(option);
    }

    protected override bool Computes => false;

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        var conversion = new WeightConversion
        {
            To = Layouts[arguments.GetRequiredValue(_to)],
            Type = arguments.GetValue(_type) is { } type ? Types[type] : null,
            ShardBytes = arguments.GetValue(_shard),
            Overwrite = arguments.GetValue(_overwrite),
        };
        string input = arguments.GetRequiredValue(_input), target = arguments.GetRequiredValue(_output);
        ConversionReport report = await output.WithProgressAsync(
            "writing tensors",
            null,
            progress => Task.Run(() => WeightConverter.Convert(input, target, conversion, progress, cancel), cancel));
        output.Show(report, Lines(report));
        return ExitCode.Ok;
    }

    private static IEnumerable<string> Lines(ConversionReport report)
    {
        foreach (string file in report.Files) yield return file;
        yield return $"{report.Tensors} tensors, {report.Bytes / 1e6:0.#} MB";
        foreach (IGrouping<string, ExplainedName> group in report.Computed.GroupBy(item => item.Reason))
            yield return $"computed: {Names(group)}: {group.Key}";
        foreach (IGrouping<string, ExplainedName> group in report.Lost.GroupBy(item => item.Reason))
            yield return $"lost: {Names(group)}: {group.Key}";
    }

    private static string Names(IEnumerable<ExplainedName> items)
    {
        string[] names = [.. items.Select(item => item.Name)];
        return names.Length <= 3 ? string.Join(", ", names) : $"{names[0]}, … {names[^1]} ({names.Length})";
    }

    private static long? ParseSize(ArgumentResult argument)
    {
        string text = argument.Tokens.Count == 1 ? argument.Tokens[0].Value : "";
        (string suffix, double factor) = Units.First(unit => text.EndsWith(unit.Suffix, StringComparison.OrdinalIgnoreCase));
        bool valid = double.TryParse(text[..^suffix.Length], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number)
            && number * factor is >= 1 and <= 1e15;
        if (valid) return (long)(number * factor);
        argument.AddError($"'{text}' is no size; give a number with B, KB, MB or GB, for example 5GB");
        return null;
    }
}
