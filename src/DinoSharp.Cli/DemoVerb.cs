using System.CommandLine;
using System.Diagnostics;
using DinoSharp.Cli.Demo;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;

namespace DinoSharp.Cli;

/// <summary><c>dino demo</c>: one page that shows what a model sees in a few pictures.</summary>
internal sealed class DemoVerb : Verb
{
    private readonly Argument<string[]> _images = new("images") { Description = "Pictures, folders or globs [default: two samples and a few drawn ones]", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<int> _most = new("--most") { Description = "Most pictures on the page", HelpName = "N", DefaultValueFactory = _ => 12 };
    private readonly Option<string?> _inputs = new("--inputs") { Description = "Only draw pictures to try the other verbs with into this folder: a pair, a clip with the mask of its first frame, a change, masked examples", HelpName = "FOLDER" };
    private readonly Option<string> _model = SharedOptions.Model();
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly Option<string?> _out = SharedOptions.Out("The page [default: demo.html here]");
    private readonly ResolutionOptions _resolution = new();

    public DemoVerb()
        : base("demo", "Show on one page what a model sees in pictures", "dino demo --model random:vits16", "dino demo photos/ --out photos.html --model dinov3-vits16")
    {
        _most.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError("--most must be at least 1");
        });
        Add(_images);
        Add(_most);
        Add(_inputs);
        Add(_model);
        Add(_compute);
        Add(_out);
        _resolution.AddTo(this);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        if (arguments.GetValue(_inputs) is { } folder)
        {
            string[] files = DemoInputs.Write(folder);
            output.Show(new { output = folder, files }, files);
            return ExitCode.Ok;
        }

        string page = arguments.GetValue(_out) ?? "demo.html";
        OutputNames.Require(page, [".html", ".htm"], []);
        Photo[] photos = arguments.GetValue(_images) is { Length: > 0 } words ? Photo.Read(PhotoFeatures.Files(words).Take(arguments.GetValue(_most))) : [.. DemoInputs.Samples().Take(arguments.GetValue(_most))];
        var clock = Stopwatch.StartNew();
        using DinoModel model = DinoModel.Load(arguments.GetValue(_model)!, new DinoModelOptions { Compute = arguments.GetValue(_compute), Device = SharedOptions.Device(arguments) }, cancel);
        double loading = clock.Elapsed.TotalSeconds;
        ExtractOptions options = _resolution.Read(arguments);
        var memory = new MemoryNotes(output);
        DemoPicture[] pictures = await output.WithProgressAsync("looking", photos.Length, progress => Task.Run(
            () => photos.Select((photo, i) =>
            {
                memory.Announce(model.Plan(photo.Pixels.Width, photo.Pixels.Height, options), options);
                DemoPicture picture = DemoPicture.Look(model, photo, options, cancel);
                progress.Report(i + 1);
                return picture;
            }).ToArray(), CancellationToken.None));
        DemoPage.Write(page, model, loading, pictures);
        output.Show(
            new
            {
                output = page,
                model = model.Name,
                engine = model.Engine,
                loadingSeconds = Math.Round(loading, 3),
                memory = memory.ToJson(),
                images = pictures.Select(p => new { path = p.Photo.Path, embedSeconds = Math.Round(p.EmbedSeconds, 4), extractSeconds = Math.Round(p.ExtractSeconds, 4) }),
            },
            [.. pictures.Select(p => FormattableString.Invariant($"{p.Photo.Path}: embedded in {1000 * p.EmbedSeconds:0} ms, {p.Map.Height}x{p.Map.Width} patches in {1000 * p.ExtractSeconds:0} ms")), page]);
        return ExitCode.Ok;
    }
}
