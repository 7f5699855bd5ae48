using System.CommandLine;
using DinoSharp.Features;

namespace DinoSharp.Cli.Pictures;

/// <summary>What every verb that looks at the patches of pictures takes: weights and their arithmetic, size, tiles and memory, the layer, and where the picture goes.</summary>
/// <param name="picture">What <c>--out</c> names, for the help.</param>
internal sealed class ToolboxOptions(string picture)
{
    private readonly Option<string> _model = SharedOptions.Model();
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly ResolutionOptions _resolution = new();
    private readonly Option<int> _layer = SharedOptions.Layer();

    /// <summary>The option <c>--out</c>.</summary>
    public Option<string?> Out { get; } = SharedOptions.Out(picture);

    /// <summary>Adds them to a verb.</summary>
    public void AddTo(Command verb)
    {
        verb.Add(_model);
        verb.Add(_compute);
        verb.Add(Out);
        _resolution.AddTo(verb);
        verb.Add(_layer);
    }

    /// <summary>Refuses an <c>--out</c> that cannot be written as a picture, or would destroy an input.</summary>
    public void RequireOut(ParseResult arguments, IEnumerable<string> inputs)
    {
        if (arguments.GetValue(Out) is { } path) OutputNames.Require(path, OutputNames.Pictures, inputs);
    }

    /// <summary>The model that was chosen; dispose it.</summary>
    public DinoModel Load(ParseResult arguments, CancellationToken cancel) =>
        DinoModel.Load(arguments.GetValue(_model)!, new DinoModelOptions { Compute = arguments.GetValue(_compute), Device = SharedOptions.Device(arguments) }, cancel);

    /// <summary>For pictures that are looked at one by one.</summary>
    /// <param name="arguments">The command line.</param>
    /// <param name="model">The model.</param>
    /// <param name="output">Warnings go there.</param>
    /// <param name="work">Bytes that the verb's own work on so many patches takes; null: little.</param>
    public PhotoFeatures Features(ParseResult arguments, DinoModel model, Output output, Func<int, long>? work = null) => new(model, _resolution.Read(arguments), arguments.GetValue(_layer), output, work);

    /// <summary>The patches of a few pictures that are needed together, see <see cref="Photo.ExtractAsync"/>.</summary>
    public async Task<(PatchMap[] Maps, int Layer, MemoryNotes Memory)> ExtractAsync(ParseResult arguments, IReadOnlyList<Photo> photos, Output output, CancellationToken cancel, Func<int, long>? work = null)
    {
        using DinoModel model = Load(arguments, cancel);
        return await Photo.ExtractAsync(model, photos, _resolution.Read(arguments), arguments.GetValue(_layer), output, cancel, work);
    }
}
