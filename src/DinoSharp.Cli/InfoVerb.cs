using System.CommandLine;
using DinoSharp.Backbones;
using DinoSharp.Weights;

namespace DinoSharp.Cli;

/// <summary><c>dino info</c>: what a file of weights is.</summary>
internal sealed class InfoVerb : Verb
{
    private readonly Argument<string> _path = new("FILE") { Description = "A .safetensors or .pth file, an index of shards, or a folder with one of these" };

    public InfoVerb()
        : base(
            "info",
            "Say what a file of weights is: layout, network, size, types, normalisation, licence",
            "dino info model.safetensors",
            "dino info dinov3_vits16_pretrain_lvd1689m-08c60483.pth --json") => Add(_path);

    protected override bool Computes => false;

    protected override Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        WeightInfo info = WeightInfo.Read(arguments.GetRequiredValue(_path));
        output.Show(Json(info), Lines(info));
        return Task.FromResult(ExitCode.Ok);
    }

    private static object Json(WeightInfo info) => new
    {
        info.Path,
        info.Format,
        info.Tensors,
        info.Bytes,
        info.ElementTypes,
        info.Layout,
        info.Prefix,
        info.Presets,
        Architecture = info.Architecture switch
        {
            VisionTransformerConfig vit => (object)vit,
            ConvNeXtConfig convNeXt => new
            {
                Depths = Numbers(convNeXt.Depths),
                Dims = Numbers(convNeXt.Dims),
                convNeXt.InputChannels,
                convNeXt.PatchSize,
                convNeXt.EmbedDim,
            },
            _ => null,
        },
        info.Parameters,
        Normalization = info.Normalization is { } n ? new { n.Values.Name, n.Values.Mean, n.Values.Std, n.Evidence, n.IsGuess } : null,
        Complete = info.Check?.IsComplete,
        info.Check,
        info.Source,
        info.License,
    };

    private static IEnumerable<string> Lines(WeightInfo info)
    {
        var rows = new List<string[]>
        {
            new[] { "file", info.Path },
            new[] { "format", $"{info.Format}, {info.Tensors} tensors, {Size(info.Bytes)}" },
            new[] { "types", string.Join(", ", info.ElementTypes.Select(share => $"{share.Type} ({share.Tensors} tensors, {Size(share.Bytes)})")) },
        };
        if (info.Layout is null)
        {
            rows.Add(["layout", "no DINOv3 backbone in the official, Hugging Face or timm layout"]);
        }
        else
        {
            rows.Add(["layout", $"{info.Layout}{(info.Prefix is { Length: > 0 } prefix ? $", behind '{prefix}'" : "")}"]);
            rows.Add(["network", info.Presets.Count > 0 ? string.Join(" or ", info.Presets) : "no published one"]);
            rows.Add(["", Architecture(info.Architecture!)]);
            rows.Add(["parameters", $"{info.Parameters:N0}"]);
            rows.Add(["normalisation", info.Normalization!.Values.ToString()]);
            rows.Add(["", $"{(info.Normalization.IsGuess ? "a guess: " : "from ")}{info.Normalization.Evidence}"]);
            string[] check = info.Check!.ToString().Split('\n');
            rows.Add(["complete", $"{(info.Check.IsComplete ? "yes" : "NO, it will not load")}: {check[0]}"]);
            rows.AddRange(check.Skip(1).Select(line => new[] { "", line.Trim() }));
        }

        if (info.Source is not null) rows.Add(["source", info.Source]);
        rows.Add(["licence", info.License]);
        return Output.Columns([.. rows.Select(row => row.Select(Printable).ToArray())]);
    }

    private static string Architecture(BackboneConfig config) => config switch
    {
        VisionTransformerConfig vit =>
            $"vision transformer: {vit.Depth} blocks, width {vit.Width}, {vit.Heads} heads, "
            + $"{(vit.FeedForward == FeedForwardKind.SwiGlu ? "SwiGLU" : "MLP")} {vit.FeedForwardWidth}, {vit.Registers} registers, patch {vit.PatchSize}",
        ConvNeXtConfig convNeXt => $"ConvNeXt: {string.Join('+', Numbers(convNeXt.Depths))} blocks of {string.Join(", ", Numbers(convNeXt.Dims))} channels",
        _ => "",
    };

    // Names and texts come from the file and may carry escape sequences for the terminal.
    private static string Printable(string text) => string.Concat(text.Select(letter => char.IsControl(letter) ? '\uFFFD' : letter));

    private static int[] Numbers((int, int, int, int) values) => [values.Item1, values.Item2, values.Item3, values.Item4];

    private static string Size(long bytes) => bytes switch
    {
        < 1_000_000 => $"{bytes / 1e3:0.#} kB",
        < 1_000_000_000 => $"{bytes / 1e6:0.#} MB",
        _ => $"{bytes / 1e9:0.##} GB",
    };
}
