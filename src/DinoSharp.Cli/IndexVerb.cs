using System.CommandLine;
using DinoSharp.Cli.Indexing;

namespace DinoSharp.Cli;

/// <summary><c>dino index</c>: vectors of many pictures in a folder, and what can be asked of them.</summary>
internal static class IndexVerb
{
    /// <summary>The verb with its own verbs.</summary>
    public static Command Create()
    {
        var index = new Command("index", "Keep the vectors of many pictures and search them")
        {
            new IndexUpdateVerb("build", "Make an index of folders, or bring it up to date; unchanged files are not computed again"),
            new IndexUpdateVerb("add", "Add pictures to an index"),
            new IndexSearchVerb(),
            new IndexDuplicatesVerb(),
            new IndexOutliersVerb(),
            new IndexExportVerb(),
        };
        return index;
    }
}
