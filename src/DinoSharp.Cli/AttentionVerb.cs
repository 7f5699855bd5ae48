using System.CommandLine;
using DinoSharp.Backbones;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Cli;

/// <summary><c>dino attention</c>: where the class token looks, head by head.</summary>
internal sealed class AttentionVerb : Verb
{
    private const int PanelsPerRow = 4;

    private readonly Argument<string> _image = new("image") { Description = "The picture" };
    private readonly Option<string> _model = SharedOptions.Model();
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly Option<string?> _out = SharedOptions.Out("The sheet [default: NAME.attention.png here]");
    private readonly Option<PictureSize> _size = PictureSize.Option();
    private readonly Option<long?> _maxMemory = ResolutionOptions.MaxMemory("Most memory to use, for example 4GB; the class token looks at the whole picture, so there are no tiles and a larger picture is refused");
    private readonly Option<int> _layer = SharedOptions.Layer();
    private readonly Option<ColorRange> _range = ColorRange.Option("Ends of the colour scale, in multiples of the attention that a patch would have if all had the same: LOW,HIGH, or 'auto' for those of the picture [default: 0,8, so that heads and sheets can be compared]", new ValueRange(0, 8));
    private readonly Option<int?> _head = new("--head") { Description = "Only this head, from 0 [default: all of them and their mean]", HelpName = "N" };

    public AttentionVerb()
        : base(
            "attention",
            "Show where the class token looks, for each attention head of a layer",
            "dino attention samples/images/still-life.jpg --model random:vits16",
            "dino attention dog.jpg --layer -2 --head 3 --model dinov3-vits16")
    {
        Add(_image);
        Add(_model);
        Add(_compute);
        Add(_out);
        Add(_size);
        Add(_maxMemory);
        Add(_layer);
        Add(_range);
        Add(_head);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        if (arguments.GetValue(_out) is { } path) OutputNames.Require(path, OutputNames.Pictures, [arguments.GetValue(_image)!]);
        Photo photo = Photo.Read([arguments.GetValue(_image)!])[0];
        using DinoModel model = DinoModel.Load(arguments.GetValue(_model)!, new DinoModelOptions { Compute = arguments.GetValue(_compute), Device = SharedOptions.Device(arguments) }, cancel);
        int layer = LayerSelection.Create([arguments.GetValue(_layer)]).Resolve(model.Backbone.Config.LayerCount)[0];
        var options = new ExtractOptions { ImageSizePixels = arguments.GetValue(_size)!.Pixels, MaxMemoryBytes = arguments.GetValue(_maxMemory) };
        var memory = new MemoryNotes(output);
        memory.Announce(model.PlanAttention(photo.Path, photo.Pixels.Width, photo.Pixels.Height, layer, options), options);
        HeatMap[] heads = await Task.Run(() => model.Attention(photo.Pixels, layer, options, cancel), CancellationToken.None);
        int? only = arguments.GetValue(_head);
        if (only is { } head && (head < 0 || head >= heads.Length)) throw new DinoSharpException($"there is no head {head}; layer {layer} has {heads.Length}, counted from 0");
        SavedPicture saved = SavedPicture.Save(Sheet(photo, [.. heads.Select(Multiples)], only, arguments.GetValue(_range)!.Fixed), arguments.GetValue(_out) ?? new OutputNames().For(photo.Path, "attention.png"));
        var summary = heads.Select((heat, i) => new { head = i, patches = heat.Values.ToArray().Sum(value => (double)value), highest = heat.Range.High, heat.Largest.Row, heat.Largest.Column })
            .Where(item => only is null || item.head == only).ToArray();
        output.Show(
            new { output = saved.Path, replaced = saved.Replaced, layer, memory = memory.ToJson(), grid = new { rows = heads[0].Height, columns = heads[0].Width }, heads = summary },
            [
                $"{photo.Path}: {heads[0].Height}x{heads[0].Width} patches, layer {layer}",
                .. summary.Select(item => $"head {item.head}: {100 * item.patches:0.0} % of the attention on patches, at most {100 * item.highest:0.00} % on one (row {item.Row}, column {item.Column})"),
                saved.ToString(),
            ]);
        return ExitCode.Ok;
    }

    // Of a picture with more patches each has less: relative to equal shares, pictures can be compared.
    private static HeatMap Multiples(HeatMap heat) => new(heat.Height, heat.Width, Array.ConvertAll(heat.Values.ToArray(), value => value * heat.Values.Length), heat.Geometry);

    private static ImageBuffer Sheet(Photo photo, HeatMap[] heads, int? only, ValueRange? range)
    {
        ImageBuffer panel = photo.Panel(longest: 640); // there may be many heads
        ValueRange scale = range ?? new ValueRange(0, (only is { } one ? [heads[one]] : heads).Max(heat => heat.Range.High));
        var panels = new List<PictureSheet.Panel> { new(panel) };
        if (only is { } head) panels.Add(new(Over(heads[head]), $"head {head}"));
        else
        {
            panels.Add(new(Over(HeatMap.Mean(heads)), "mean"));
            panels.AddRange(heads.Select((heat, i) => new PictureSheet.Panel(Over(heat), $"head {i}")));
        }

        PictureSheet.Panel[][] rows = [.. panels.Chunk(PanelsPerRow)];
        rows[0] = [.. rows[0], new(PictureSheet.Legend(scale, panel.Height), "x mean")];
        return PictureSheet.Compose(rows);

        ImageBuffer Over(HeatMap heat) => PictureSheet.Overlay(panel, heat.ToImage(panel.Width, panel.Height, scale));
    }
}
