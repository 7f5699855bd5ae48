using System.CommandLine;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Features.Clustering;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Cli;

/// <summary><c>dino cluster</c>: segments without labels, alike in all pictures.</summary>
internal sealed class ClusterVerb : Verb
{
    // Centres hardly move with more samples. Of long vectors fewer, so that the three copies that are held for a moment stay below a gigabyte.
    private const int MostSamples = 100_000, MostNumbers = 1 << 26;

    // Pictures of a sheet; a folder of thousands still gives its masks.
    private const int MostPanels = 24;

    private readonly Argument<string[]> _images = new("images") { Description = "Pictures, folders or globs; a cluster means the same in all of them", Arity = ArgumentArity.OneOrMore };
    private readonly Option<int> _k = new("--k") { Description = "Number of clusters, 1 to 255", HelpName = "K", DefaultValueFactory = _ => 6 };
    private readonly Option<int> _seed = new("--seed") { Description = "Of the random starts", HelpName = "N", DefaultValueFactory = _ => 0 };
    private readonly Option<string?> _masks = new("--masks") { Description = "Also write each picture's clusters as a palette PNG, values 1 to K, into this folder", HelpName = "FOLDER" };
    private readonly Option<bool> _guided = ResolutionOptions.Guided();
    private readonly ToolboxOptions _common = new("The sheet [default: NAME.cluster.png here]");

    public ClusterVerb()
        : base(
            "cluster",
            "Cut pictures into parts of equal kind, without labels",
            "dino cluster photo.jpg --k 6 --model dinov3-vits16",
            "dino cluster photos/ --k 8 --masks clusters --model dinov3-vits16 --json")
    {
        _k.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > 255) result.AddError("--k must be from 1 to 255");
        });
        Add(_images);
        Add(_k);
        Add(_seed);
        Add(_masks);
        Add(_guided);
        _common.AddTo(this);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string[] files = PhotoFeatures.Files(arguments.GetValue(_images)!);
        int k = arguments.GetValue(_k);
        string? folder = arguments.GetValue(_masks);
        using DinoModel model = _common.Load(arguments, cancel);
        IReadOnlyDictionary<string, string>? masks = folder is null ? null : OutputNames.PrepareMasks(folder, files, []);
        _common.RequireOut(arguments, files);
        var features = _common.Features(arguments, model, output);

        // One picture needs one pass; more need a second, because keeping the patches of a folder would fill the memory.
        (string File, PatchMap Map)? only = null;
        KMeans clusters = await output.WithProgressAsync("looking", files.Length, progress => Task.Run(() =>
        {
            var samples = new List<float[]>();
            int perPicture = Math.Max(1, Math.Min(MostSamples, MostNumbers / model.Backbone.Config.EmbedDim) / files.Length);
            foreach ((Photo photo, PatchMap map) in features.ExtractAll(files, progress, cancel))
            {
                if (files.Length == 1) only = (photo.Path, map);
                var random = new Random(unchecked((arguments.GetValue(_seed) * 397) + samples.Count));
                int[] chosen = map.Count <= perPicture ? [.. Enumerable.Range(0, map.Count)] : [.. Enumerable.Range(0, perPicture).Select(_ => random.Next(map.Count))];
                features.Hold(5L * chosen.Length * map.Dim * sizeof(float)); // the samples, three copies on the way to unit vectors, and their similarities with the centres
                samples.AddRange(chosen.Select(i => map[i / map.Width, i % map.Width].ToArray()));
            }

            if (samples.Count == 0) throw new DinoSharpException("none of the pictures can be read, see above");
            using var scope = NewDisposeScope();
            return KMeans.Fit(tensor([.. samples.SelectMany(s => s)], [samples.Count, samples[0].Length]), k, new KMeansOptions { Seed = arguments.GetValue(_seed) });
        }, CancellationToken.None));

        var rows = new List<IReadOnlyList<PictureSheet.Panel>>();
        var results = new List<(string Path, string? Mask, double[] Shares)>();
        string[] readable = [.. files.Except(features.Skipped.Select(s => s.Path))];
        await output.WithProgressAsync("painting", readable.Length, progress => Task.Run(() =>
        {
            for (int i = 0; i < readable.Length; i++)
            {
                Photo photo = Photo.Read([readable[i]])[0];
                LabelMap labels = Labels(clusters, only?.Map ?? features.Extract(photo, cancel), photo, arguments.GetValue(_guided));
                string? mask = masks?[photo.Path];
                if (mask is not null) labels.Save(mask);
                if (rows.Count < MostPanels)
                {
                    ImageBuffer panel = photo.Panel();
                    PictureSheet.Panel painted = new(labels.ResizeNearestExact(panel.Width, panel.Height).Overlay(panel, 0.65));
                    rows.Add(rows.Count > 0 ? [new(panel), painted] : [new(panel), painted, new(PictureSheet.Classes([.. Enumerable.Range(1, k).Select(c => ((byte)c, $"{c}"))]))]);
                }

                results.Add((photo.Path, mask, labels.Shares()[1..(k + 1)]));
                progress.Report(i + 1);
            }

            return 0;
        }, CancellationToken.None));
        SavedPicture saved = SavedPicture.Save(PictureSheet.Compose(rows), arguments.GetValue(_common.Out) ?? new OutputNames(files).For(readable[0], "cluster.png"));
        output.Show(
            new { output = saved.Path, replaced = saved.Replaced, k, meanSimilarity = clusters.MeanSimilarity, images = results.Select(r => new { path = r.Path, mask = r.Mask, shares = r.Shares }), skipped = features.Skipped, memory = features.Memory.ToJson() },
            [
                .. results.Take(MostPanels).Select(r => $"{r.Path}: {string.Join(' ', r.Shares.Select(s => $"{100 * s:0}%"))}"),
                $"{k} clusters, mean similarity with their centres {clusters.MeanSimilarity:0.000}",
                saved.ToString(),
            ]);
        return features.Skipped.Count > 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    private static LabelMap Labels(KMeans clusters, PatchMap map, Photo photo, bool guided)
    {
        PatchMap scores = clusters.Similarities(map);
        LabelMap labels = guided ? scores.ClassesGuided(photo.Pixels) : PatchClasses.Paint(scores, photo.Pixels.Width, photo.Pixels.Height);
        return new LabelMap(labels.Width, labels.Height, Array.ConvertAll(labels.Array, c => (byte)(c + 1))); // 0 stays free for "none"
    }
}
