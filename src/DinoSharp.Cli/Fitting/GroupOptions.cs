using System.CommandLine;
using DinoSharp.Training.Data.Annotations;

namespace DinoSharp.Cli.Fitting;

/// <summary>Which pictures belong together.</summary>
internal sealed class GroupOptions
{
    private readonly Option<string?> _column;
    private readonly Option<string?> _table = new("--groups")
    {
        Description = "A .csv with the columns path and group: pictures of a group (patient, event, store) are held out together, and intervals count groups",
        HelpName = "FILE",
    };

    /// <param name="verb">Gets the options.</param>
    /// <param name="ownTable">Whether the data themselves may be a table with such a column.</param>
    public GroupOptions(Verb verb, bool ownTable = false)
    {
        _column = new("--group") { Description = ownTable ? "Column of the group, in the table of the pictures or in that of --groups" : "Column of the group in --groups [default: group]", HelpName = "COLUMN" };
        verb.Add(_table);
        verb.Add(_column);
        if (ownTable) return;
        verb.Validators.Add(result =>
        {
            if (result.GetValue(_column) is not null && result.GetValue(_table) is null) result.AddError("--group names a column of --groups; give that table too");
        });
    }

    /// <summary>The groups of the table beside the data; null if there is none.</summary>
    public PictureGroups? Table(ParseResult arguments) => arguments.GetValue(_table) is { } table ? PictureGroups.Read(table, arguments.GetValue(_column) ?? "group") : null;

    /// <summary>Pictures with classes, and with their groups if any are named.</summary>
    /// <param name="path">A folder with a subfolder for each class, or a table.</param>
    /// <param name="arguments">The command line.</param>
    public LabelledImages Open(string path, ParseResult arguments) =>
        Table(arguments) is { } groups ? LabelledImages.Open(path).WithGroups(groups) : LabelledImages.Open(path, arguments.GetValue(_column));
}
