using System.CommandLine;
using System.Globalization;
using DinoSharp.Features;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary>The options of the protocols that make one vector of each picture.</summary>
internal sealed class VectorizerInputs
{
    private readonly bool _wholeShorterSide;
    private readonly Option<int?> _size;
    private readonly Option<int> _batch = new("--batch") { Description = "Pictures computed at once", HelpName = "N", DefaultValueFactory = _ => new VectorizerOptions().BatchSize };
    private readonly Option<string?> _cache = SharedOptions.Cache();

    /// <param name="verb">Gets the options.</param>
    /// <param name="wholeShorterSide">See <see cref="VectorizerOptions"/>.</param>
    public VectorizerInputs(Command verb, bool wholeShorterSide)
    {
        _wholeShorterSide = wholeShorterSide;
        _size = SharedOptions.Size($"Side of the model's input, cut from the middle after the shorter side was brought to {(wholeShorterSide ? "it" : "8/7 of it")} [default: 224, as published]");
        _batch.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError("--batch must be at least 1");
        });
        foreach (Option option in (Option[])[_size, _batch, _cache]) verb.Add(option);
    }

    /// <summary>Whether the size of the input is that of a benchmark such as <c>ImageNet-R@512</c>; those without a size fit every one.</summary>
    public bool HasSize(ParseResult arguments, string benchmark) => SizeOf(benchmark) is not int size || size == (arguments.GetValue(_size) ?? new VectorizerOptions().CropPixels);

    /// <summary>The size after the @ of a benchmark; null if it has none.</summary>
    public static int? SizeOf(string benchmark) => benchmark.Split('@') is [_, var size] ? int.Parse(size, CultureInfo.InvariantCulture) : null;

    /// <summary>What the user asked for.</summary>
    public VectorizerOptions Read(ParseResult arguments, ComputeType compute, Pooling pooling)
    {
        var published = new VectorizerOptions();
        return published with
        {
            Pooling = pooling,
            CropPixels = arguments.GetValue(_size) ?? published.CropPixels,
            WholeShorterSide = _wholeShorterSide,
            BatchSize = arguments.GetValue(_batch),
            Compute = compute,
            CacheFolder = arguments.GetValue(_cache),
        };
    }
}
