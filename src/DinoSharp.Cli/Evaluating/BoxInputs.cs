using System.CommandLine;
using DinoSharp.Training.Data.Annotations;

namespace DinoSharp.Cli.Evaluating;

/// <summary>The options that name pictures with boxes.</summary>
internal sealed class BoxInputs
{
    private readonly Option<string?> _coco = new("--coco") { Description = "Boxes: instances_*.json of COCO, with --images", HelpName = "FILE" };
    private readonly Option<string?> _images = new("--images") { Description = "Folder of the pictures that the COCO file names", HelpName = "DIR" };
    private readonly Option<string?> _voc = new("--voc") { Description = "Or a folder of Pascal VOC with Annotations, JPEGImages and ImageSets/Main", HelpName = "DIR" };
    private readonly Option<string> _split = new("--split") { Description = "List of Pascal VOC", DefaultValueFactory = _ => "val" };

    public BoxInputs(Command verb)
    {
        foreach (Option option in (Option[])[_coco, _images, _voc, _split]) verb.Add(option);
        verb.Validators.Add(result =>
        {
            bool coco = result.GetValue(_coco) is not null, voc = result.GetValue(_voc) is not null;
            if (coco == voc) result.AddError("give either --coco FILE with --images DIR, or --voc DIR");
            else if (coco && result.GetValue(_images) is null) result.AddError("--coco needs --images DIR, the folder of the pictures");
        });
    }

    /// <summary>Reads the annotations.</summary>
    /// <param name="arguments">The command line.</param>
    /// <param name="names">Numbers of the categories in another list; null: their own.</param>
    public BoxAnnotations Read(ParseResult arguments, IReadOnlyDictionary<int, string>? names = null) => arguments.GetValue(_coco) is { } file
        ? BoxAnnotations.ReadCoco(file, arguments.GetValue(_images)!)
        : BoxAnnotations.ReadVoc(arguments.GetValue(_voc)!, arguments.GetValue(_split)!, names);

    /// <summary>Whether the boxes are in the format of COCO; else in that of Pascal VOC.</summary>
    public bool IsCoco(ParseResult arguments) => arguments.GetValue(_coco) is not null;

    /// <summary>Where the data came from.</summary>
    public IReadOnlyDictionary<string, string> Data(ParseResult arguments) => new Dictionary<string, string> { ["data"] = arguments.GetValue(_coco) ?? arguments.GetValue(_voc)! };
}
