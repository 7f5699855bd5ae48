using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Diagnostics;
using TorchSharp;

namespace DinoSharp.Cli;

/// <summary>Options that mean the same on every verb that has them.</summary>
internal static class SharedOptions
{
    private const string DeviceName = "--device";

    /// <summary>Names the model of every command that has no <c>--model</c>.</summary>
    public const string ModelVariable = "DINOSHARP_MODEL";

    /// <summary>Which weights.</summary>
    public static Option<string> Model() => new("--model", "-m")
    {
        Description = $"Weights: a file, a folder, a name such as dinov3-vits16, or random:vits16 for an untrained model; {ModelVariable} names another default",
        HelpName = "MODEL",
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable(ModelVariable) is { Length: > 0 } model ? model : Presets.DefaultModel,
    };

    /// <summary>Precision of the matrix products.</summary>
    public static Option<ComputeType> Compute() => new("--compute")
    {
        Description = "Arithmetic: float32 (exact), bfloat16, int8, or auto: the fastest here whose features stay within 1.5 % of float32 on a probe picture",
        HelpName = "TYPE",
        CustomParser = result => Enum.TryParse(result.Tokens[0].Value, ignoreCase: true, out ComputeType type) && Enum.IsDefined(type) && !char.IsAsciiDigit(result.Tokens[0].Value[0]) ? type : Unknown(result),
        DefaultValueFactory = _ => ComputeType.Float32,
    };

    /// <summary>Which processor computes.</summary>
    public static Option<string> Device()
    {
        var option = new Option<string>(DeviceName)
        {
            Description = "Where to compute: cpu, cuda, cuda:1, or auto: a GPU if this libtorch can use one",
            HelpName = "DEVICE",
            DefaultValueFactory = _ => "auto",
        };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var word] && !IsDevice(word.Value)) result.AddError($"--device {word.Value}: expected cpu, cuda, cuda:N or auto");
        });
        return option;

        static bool IsDevice(string word) => word is "auto" or "cpu" or "cuda" || (word.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(word.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out _));
    }

    /// <summary>The device that the command line names.</summary>
    /// <exception cref="DinoSharpException">There is no such GPU.</exception>
    public static torch.Device? Device(ParseResult arguments)
    {
        string word = arguments.GetValue<string>(DeviceName)!;
        if (word == "cpu" || (word == "auto" && !Libtorch.MayHaveGpu)) return null; // without a question to libtorch, which may still be loading
        Libtorch.Require();
        int gpus = torch.cuda.is_available() ? torch.cuda.device_count() : 0;
        if (word == "auto" && gpus == 0) return null;
        int index = word.Length > 5 ? int.Parse(word.AsSpan(5), CultureInfo.InvariantCulture) : 0;
        if (index >= gpus) throw new DinoSharpException($"--device {word}: this libtorch can use {gpus} GPUs; `dino doctor` says what is missing");
        Libtorch.UseFullFloat32();
        return torch.device(DeviceType.CUDA, index);
    }

    /// <summary>Which layer to look at.</summary>
    public static Option<int> Layer() => new("--layer") { Description = "Layer: 0 is the first, -1 the last", HelpName = "N", DefaultValueFactory = _ => -1 };

    /// <summary>Which layers to look at.</summary>
    /// <param name="description">For the help.</param>
    /// <param name="byDefault">The layers if none are named; empty: the verb decides.</param>
    public static Option<int[]> Layers(string description, params int[] byDefault) => new("--layers")
    {
        Description = description,
        HelpName = "N,N",
        DefaultValueFactory = _ => byDefault,
        CustomParser = result =>
        {
            string[] words = [.. result.Tokens.SelectMany(token => token.Value.Split(','))];
            if (words.All(word => int.TryParse(word, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _))) return [.. words.Select(word => int.Parse(word, CultureInfo.InvariantCulture))];
            result.AddError($"--layers {string.Join(' ', words)}: expected whole numbers with commas between, such as --layers -4,-1");
            return byDefault;
        },
    };

    /// <summary>Size of the model's input; null: the verb's own default.</summary>
    public static Option<int?> Size(string description)
    {
        var option = new Option<int?>("--size") { Description = description, HelpName = "PIXELS" };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var word] && int.TryParse(word.Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int pixels) && pixels < 1)
                result.AddError($"--size {word.Value}: expected a number of pixels above 0");
        });
        return option;
    }

    /// <summary>Where features are kept; null: the usual folder.</summary>
    public static Option<string?> Cache() => new("--cache")
    {
        Description = "Folder in which features are kept, so that a second run need not compute them [default: features in DINOSHARP_CACHE]",
        HelpName = "FOLDER",
    };

    private static ComputeType Unknown(ArgumentResult result)
    {
        result.AddError($"--compute {result.Tokens[0].Value}: expected float32, bfloat16, int8 or auto");
        return default;
    }

    /// <summary>Where the result goes; null: the verb's own default.</summary>
    public static Option<string?> Out(string description) => new("--out", "-o") { Description = description, HelpName = "FILE" };
}
