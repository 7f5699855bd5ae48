using System.CommandLine;
using DinoSharp.Cli.Embedding;
using DinoSharp.Cli.Pictures;
using DinoSharp.Retrieval;

namespace DinoSharp.Cli.Indexing;

/// <summary><c>dino index export</c>: an index as a table for other programs.</summary>
internal sealed class IndexExportVerb : Verb
{
    private readonly Argument<string> _index = new("index") { Description = "Folder of the index" };
    private readonly Option<string> _out = new("--out", "-o")
    {
        Description = $"The file, by its extension {string.Join(", ", EmbeddingFile.Extensions)}; in .parquet each picture has its path, hash, size, time of change and vector",
        HelpName = "FILE",
        Required = true,
    };

    public IndexExportVerb()
        : base("export", "Write an index as a table, for DuckDB, pandas or NumPy", "dino index export photos.index --out photos.parquet", "dino index export photos.index --out photos.npy --json")
    {
        Add(_index);
        Add(_out);
    }

    protected override bool Computes => false;

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string path = arguments.GetValue(_out)!;
        OutputNames.Require(path, EmbeddingFile.Extensions, []);
        using ImageIndex index = ImageIndex.Open(arguments.GetValue(_index)!);
        if (index.Items.Count == 0) throw new DinoSharpException($"{index.Folder} holds no picture, so there is nothing to write");
        var metadata = new Dictionary<string, string>
        {
            ["model"] = index.Settings.Model,
            ["fingerprint"] = index.Settings.Fingerprint,
            ["pooling"] = index.Settings.Pooling,
        };
        await output.WithProgressAsync("writing", index.Items.Count, progress => Task.Run(() =>
        {
            EmbeddingFile.Write(path, Rows(index, progress, cancel), index.Items.Count, index.Dim, metadata, index.Items);
            return 0;
        }, CancellationToken.None));
        output.Show(
            new { output = path, paths = EmbeddingFile.PathsFile(path), count = index.Items.Count, dimensions = index.Dim },
            [$"{path}: {index.Items.Count} pictures, vectors of {index.Dim} numbers", .. EmbeddingFile.PathsFile(path) is { } paths ? [$"{paths}: the picture of each row"] : Array.Empty<string>()]);
        return ExitCode.Ok;
    }

    private static IEnumerable<(string Name, float[] Vector)> Rows(ImageIndex index, IProgress<long> progress, CancellationToken cancel)
    {
        long done = 0;
        foreach ((IndexItem item, float[] vector) in index.ReadVectors())
        {
            cancel.ThrowIfCancellationRequested();
            yield return (item.Path, vector);
            progress.Report(++done);
        }
    }
}
