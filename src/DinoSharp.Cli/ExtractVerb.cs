using System.CommandLine;
using DinoSharp.Backbones;
using DinoSharp.Cli.Embedding;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Cli;

/// <summary><c>dino extract</c>: the dense features of pictures, in files.</summary>
internal sealed class ExtractVerb : Verb
{
    private static readonly string[] Formats = [".safetensors", ".npy"];

    private readonly Argument<string[]> _images = new("images") { Description = "Pictures", Arity = ArgumentArity.OneOrMore };
    private readonly Option<string> _model = SharedOptions.Model();
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly Option<string?> _out = SharedOptions.Out("A .safetensors or .npy file (the latter with a .npy.json beside it), or a folder if there are several pictures [default: NAME.features.safetensors here]");
    private readonly ResolutionOptions _resolution = new();
    private readonly Option<bool> _square = new("--square") { Description = "Resize to a square of that size, whatever the aspect" };
    private readonly Option<int[]> _layers = SharedOptions.Layers("Layers: 0 is the first, -1 the last; several with commas", -1);
    private readonly Option<bool> _raw = new("--no-norm") { Description = "Leave out the final norm of the network" };

    public ExtractVerb()
        : base(
            "extract",
            "Save the features of every patch, the class token and the registers",
            "dino extract samples/images/still-life.jpg --model random:vits16",
            "dino extract dog.jpg --layers -4,-1 --size 448 --out dog.safetensors --model dinov3-vits16")
    {
        Add(_images);
        Add(_model);
        Add(_compute);
        Add(_out);
        _resolution.AddTo(this);
        Add(_square);
        Add(_layers);
        Add(_raw);
        Validators.Add(result =>
        {
            if (Extension(result.GetValue(_out) ?? "") == ".npy" && result.GetValue(_layers) is { Length: > 1 }) result.AddError("a .npy file holds one layer; give one, or write .safetensors");
            if (Formats.Contains(Extension(result.GetValue(_out) ?? "")) && result.GetValue(_images) is { Length: > 1 }) result.AddError("--out must be a folder for several pictures");
            if (result.GetValue(_square) && _resolution.Size(result) is null) result.AddError("--square needs a number of pixels, not --size native");
        });
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string[] images = arguments.GetValue(_images)!;
        string[] files = Files(images, arguments.GetValue(_out)); // before the model is loaded, so that a wrong place is told at once
        using DinoModel model = DinoModel.Load(arguments.GetValue(_model)!, new DinoModelOptions { Compute = arguments.GetValue(_compute), Device = SharedOptions.Device(arguments) }, cancel);
        ExtractOptions options = _resolution.Read(arguments) with
        {
            Square = arguments.GetValue(_square),
            Layers = [.. arguments.GetValue(_layers)!],
            Normalize = !arguments.GetValue(_raw),
        };
        options.Layers.Resolve(model.Backbone.Config.LayerCount);
        var memory = new MemoryNotes(output);
        SavedFeatures[] saved = await output.WithProgressAsync("extracting", images.Length, progress => Task.Run(
            () => images.Select((image, i) =>
            {
                ImageBuffer pixels = ImageFile.Read(image);
                memory.Announce(model.Plan(pixels.Width, pixels.Height, options), options);
                using ImageFeatures features = model.Extract(pixels, options, cancel);
                SavedFeatures result = Save(features, files[i], model, options.Normalize);
                progress.Report(i + 1);
                return result;
            }).ToArray(), CancellationToken.None));
        output.Show(
            new { model = model.Name, images = saved, memory = memory.ToJson() },
            saved.SelectMany(s => (string[])[$"{s.Path}: input {s.InputWidth}x{s.InputHeight} pixels, layers {string.Join(", ", s.Layers.Select(l => $"{l.Layer} ({l.Rows}x{l.Columns} patches of {l.Dim})"))}", s.Replaced ? $"{s.Output} (replaced)" : s.Output]));
        return ExitCode.Ok;
    }

    private static string[] Files(string[] images, string? path)
    {
        if (path is not null && Extension(path).Length > 0 && !Directory.Exists(path))
        {
            OutputNames.Require(path, Formats, images);
            return [path];
        }

        if (path is not null) Directory.CreateDirectory(path);
        var names = new OutputNames();
        return [.. images.Select(image => names.For(image, "features.safetensors", path))];
    }

    private static SavedFeatures Save(ImageFeatures features, string path, DinoModel model, bool normalized)
    {
        var saved = new SavedFeatures(
            features.Name, path, File.Exists(path), model.Name, model.Compute.ToString(), model.Engine, normalized, features.InputWidth, features.InputHeight, features.Geometry,
            [.. features.Layers.Select(layer => new SavedLayer(layer.Layer, layer.GridHeight, layer.GridWidth, (int)layer.Patches.shape[2], (int)layer.Registers.shape[1]))]);
        using var scope = NewDisposeScope();
        if (Extension(path) == ".npy")
        {
            // NumPy has no place for a description, so it lies beside.
            PatchMap map = features.PatchMap(saved.Layers[0].Layer);
            string description = Output.ToJson(saved);
            SafetensorsWriter.WriteBeside(path + ".json", description.Length, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(description)));
            NpyFile.Write(path, map.Values, map.Height, map.Width, map.Dim);
            return saved;
        }

        SafetensorsWriter.Write(path, features.Layers.SelectMany(Tensors), new Dictionary<string, string>
        {
            ["features"] = Output.ToJson(saved),
        });
        return saved;
    }

    private static IEnumerable<KeyValuePair<string, Tensor>> Tensors(LayerFeatures layer)
    {
        long dim = layer.Patches.shape[2];
        yield return new($"layer{layer.Layer}.patches", layer.Patches.reshape(layer.GridHeight, layer.GridWidth, dim)); // [h, w, D]
        yield return new($"layer{layer.Layer}.class_token", layer.ClassToken[0]); // [D]
        if (layer.Registers.shape[1] > 0) yield return new($"layer{layer.Layer}.registers", layer.Registers[0]); // [R, D]
    }

    private static string Extension(string path) => Path.GetExtension(path).ToLowerInvariant();

    private sealed record SavedLayer(int Layer, int Rows, int Columns, int Dim, int Registers);

    private sealed record SavedFeatures(string Path, string Output, bool Replaced, string Model, string Compute, string Engine, bool Normalized, int InputWidth, int InputHeight, PatchGeometry Geometry, IReadOnlyList<SavedLayer> Layers);
}
