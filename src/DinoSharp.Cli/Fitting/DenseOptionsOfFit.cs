using System.CommandLine;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;

namespace DinoSharp.Cli.Fitting;

/// <summary>Options that the fits of dense heads share.</summary>
internal sealed class DenseOptionsOfFit
{
    private readonly string _mapOption;
    private readonly Option<string> _images = new("--images") { Description = "Folder of pictures to learn from", HelpName = "FOLDER", Required = true };
    private readonly Option<string> _maps;
    private readonly Option<string?> _valImages = new("--val-images") { Description = "Folder of pictures to judge by [default: a fifth of the pictures is held out]", HelpName = "FOLDER" };
    private readonly Option<string?> _valMaps;
    private readonly Option<DenseDecoder> _decoder = new("--decoder") { Description = "linear (quick) or dpt (sharper, several times slower)", HelpName = "linear|dpt", DefaultValueFactory = _ => DenseDecoder.Linear };
    private readonly Option<int> _steps = new("--steps") { Description = "Steps of the optimizer", HelpName = "N", DefaultValueFactory = _ => 600 };
    private readonly Option<int> _batch = new("--batch") { Description = "Pictures in a step", HelpName = "N", DefaultValueFactory = _ => 8 };
    private readonly GroupOptions _groups;
    private readonly FitOptions _shared;

    /// <param name="verb">Gets the options.</param>
    /// <param name="maps">Name of the option of the maps, such as labels.</param>
    /// <param name="description">What the maps are.</param>
    public DenseOptionsOfFit(Verb verb, string maps, string description)
    {
        _mapOption = maps;
        _maps = new("--" + maps) { Description = description, HelpName = "FOLDER", Required = true };
        _valMaps = new("--val-" + maps) { Description = "The same for the pictures to judge by", HelpName = "FOLDER" };
        foreach (Option<int> option in (Option<int>[])[_steps, _batch])
        {
            option.Validators.Add(result =>
            {
                if (result.GetValueOrDefault<int>() < 1) result.AddError($"{option.Name} must be at least 1");
            });
        }

        foreach (Option option in (Option[])[_images, _maps, _valImages, _valMaps, _decoder, _steps, _batch]) verb.Add(option);
        _groups = new GroupOptions(verb);
        _shared = new FitOptions(verb, "Layers that are read [default: -1, or four spread over the network for dpt]", "Length of the shorter side at which the network sees a picture [default: 512]", flip: true);
    }

    /// <summary>The options of every fit.</summary>
    public FitOptions Shared => _shared;

    /// <summary>The pairs to learn from, and those to judge by if there are any.</summary>
    public (MapPairs Train, MapPairs? Validation) Pairs(ParseResult arguments)
    {
        (string? images, string? maps) = (arguments.GetValue(_valImages), arguments.GetValue(_valMaps));
        if (images is null != maps is null) throw new DinoSharpException($"--val-images and --val-{_mapOption} belong together; give both or neither");
        PictureGroups? groups = _groups.Table(arguments);
        return (MapPairs.Open(arguments.GetValue(_images)!, arguments.GetValue(_maps)!, groups), images is null ? null : MapPairs.Open(images, maps!, groups));
    }

    /// <summary>How to fit.</summary>
    public DenseFitOptions Options(ParseResult arguments)
    {
        return new DenseFitOptions
        {
            Decoder = arguments.GetValue(_decoder),
            Layers = _shared.Layers(arguments),
            ImageSizePixels = _shared.Size(arguments) ?? new DenseFitOptions().ImageSizePixels,
            Steps = arguments.GetValue(_steps),
            BatchSize = arguments.GetValue(_batch),
            Flip = _shared.Flip(arguments),
            Seed = _shared.Seed(arguments),
            CacheFolder = _shared.Cache(arguments),
        };
    }
}
