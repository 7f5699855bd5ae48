using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Recipes;

namespace DinoSharp.Training.Runs.Reports;

/// <summary>A page and a picture of a run, from nothing but the files in its folder.</summary>
internal static class RunReport
{
    public const string PageName = "report.html", PictureName = "report.png";
    private const int MostSteps = 6;

    private static readonly (string Title, (string Key, string Name)[] Curves)[] Charts =
    [
        ("total loss", [("total_loss", "total")]),
        ("loss terms", [("dino_global_crops_loss", "dino global"), ("dino_local_crops_loss", "dino local"), ("ibot_loss", "ibot"), ("koleo_loss", "koleo"), ("feature_class_loss", "class token"), ("feature_patch_loss", "patches")]),
        ("gram loss", [("gram_loss", "gram")]),
        ("gram distance", [("patch_gram_distance", "distance")]),
        ("k-nn top-1", [("knn_top1", "knn")]),
        ("similarity of patches", [("patch_locality", "locality"), ("patch_similarity_near", "near"), ("patch_similarity_far", "far"), ("class_patch_similarity", "class token")]),
        ("half distance of patch similarity", [("patch_half_distance", "patches")]),
        ("effective rank", [("patch_rank", "patches"), ("class_rank", "class token")]),
        ("learning rate", [("lr", "learning rate"), ("last_layer_lr", "last layer")]),
        ("momentum of the teacher", [("mom", "momentum")]),
        ("temperature of the teacher, weight decay", [("teacher_temp", "temperature"), ("wd", "weight decay")]),
        ("gradient norms", [("backbone_grad_norm", "backbone"), ("dino_head_grad_norm", "dino head"), ("ibot_head_grad_norm", "ibot head")]),
        ("images per second", [("images_per_second", "images/s")]),
        ("share of time waiting for images", [("loader_wait_share", "share")]),
        ("memory in gib", [("memory_bytes", "memory")]),
    ];

    /// <summary>Writes both into the folder.</summary>
    /// <param name="folder">Folder of a run, finished or not.</param>
    /// <returns>The page.</returns>
    /// <exception cref="DinoSharpException">It is no folder of a run, or has no figures yet.</exception>
    public static string Write(string folder)
    {
        string recipeFile = Path.Combine(folder, "recipe.yaml");
        if (!File.Exists(recipeFile)) throw new DinoSharpException($"{folder} is no folder of a training run: it has no recipe.yaml. Name the output folder of a run, such as runs/dino-tiny");
        PretrainRecipe recipe = PretrainRecipe.Read(recipeFile);
        JsonObject[] lines = [.. RunFigures.Read(folder)];
        if (lines.Length == 0) throw new DinoSharpException($"{Path.Combine(folder, RunFigures.FileName)} holds no figures yet; let the run make some steps first");
        (string Name, long Step)[] phases = [.. recipe.Phases.Select((phase, i) => (phase.Name, recipe.Phases.Take(i).Sum(p => p.Steps)))];
        Drawing[] charts = [.. Charts.Select(chart => (chart.Title, Curves: Curves(lines, chart.Curves))).Where(chart => chart.Curves.Length > 0).Select(chart => LineChart.Draw(chart.Title, chart.Curves, phases))];
        (string Label, string File)[] dense = Dense(folder, lines);
        Picture(charts, dense).Save(Path.Combine(folder, PictureName));
        string page = Path.Combine(folder, PageName);
        YamlText.Save(page, Page(recipe, lines, phases, charts, dense));
        return page;
    }

    /// <summary>Which network taught, from which step on, in words.</summary>
    internal static IEnumerable<(long Step, string Phase, string Teacher)> Teachers(PretrainRecipe recipe)
    {
        long first = 0;
        foreach (PhaseRecipe phase in recipe.Phases)
        {
            string teacher = recipe.Distillation is { } distillation ? $"targets from the frozen {distillation.Teacher}" : "targets from the student's moving average";
            if (phase.Start == PhaseStart.FromTeacher && first > 0) teacher += ", from which the student begins anew";
            if (phase.Losses.Gram is not { } gram) yield return (first, phase.Name, teacher);
            for (long step = 0; phase.Losses.Gram is { } anchored && step < phase.Steps; step++)
            {
                if (anchored.IsWorthALine(step)) yield return (first + step, phase.Name, $"{teacher}; Gram teacher: {anchored.Describe(step)}");
            }

            first += phase.Steps;
        }
    }

    private static Curve[] Curves(JsonObject[] lines, (string Key, string Name)[] wanted)
    {
        string?[] students = [.. lines.Select(line => (string?)line["student"]).Distinct()];
        return
        [
            .. wanted.SelectMany(w => students.Select(student => new Curve(
                student is null ? w.Name : $"{student} {w.Name}",
                [.. lines.Where(line => (string?)line["student"] == student && line[w.Key]?.GetValueKind() == JsonValueKind.Number).Select(line => ((double)RunFigures.StepOf(line), (double)line[w.Key]! / (w.Key == "memory_bytes" ? 1 << 30 : 1)))])))
            .Where(curve => curve.Points.Any(p => p.Value != 0)), // a loss that a run has not is zero throughout
        ];
    }

    // The probe images, and what was seen in them at up to six steps, the first and the last among them.
    private static (string Label, string File)[] Dense(string folder, JsonObject[] lines)
    {
        string probes = Path.Combine(folder, "monitor", "probes.png");
        var rows = new List<(string, string)>();
        foreach (var group in lines.Where(line => line.ContainsKey(RunFigures.Locality)).GroupBy(line => (string?)line["student"]))
        {
            long[] steps = [.. group.Select(RunFigures.StepOf).Where(step => File.Exists(RunFigures.PictureOf(folder, step, group.Key)))];
            int shown = Math.Min(MostSteps, steps.Length);
            for (int i = 0; i < shown; i++)
            {
                long step = steps[shown == 1 ? 0 : i * (steps.Length - 1) / (shown - 1)];
                rows.Add(($"{(group.Key is null ? "" : group.Key + ", ")}after {step} steps", RunFigures.PictureOf(folder, step, group.Key)));
            }
        }

        return rows.Count == 0 || !File.Exists(probes) ? [] : [("probe images", probes), .. rows];
    }

    private static ImageBuffer Picture(Drawing[] charts, (string Label, string File)[] dense)
    {
        IEnumerable<PictureSheet.Panel[]> rows = charts.Chunk(2).Select(pair => pair.Select(chart => new PictureSheet.Panel(chart.ToPicture())).ToArray());
        IReadOnlyList<PictureSheet.Panel>[] pictures = [.. dense.Select(d => new PictureSheet.Panel[] { new(ImageFile.Read(d.File).ToRgb8(), d.Label) })];
        ImageBuffer top = PictureSheet.Compose([.. rows]);
        return pictures.Length == 0 ? top : PictureSheet.Compose([[new(top)], [new(PictureSheet.Compose(pictures))]]);
    }

    private static string Page(PretrainRecipe recipe, JsonObject[] lines, (string Name, long Step)[] phases, Drawing[] charts, (string Label, string File)[] dense)
    {
        var page = new StringBuilder();
        page.Append("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>").Append(Text(recipe.Name)).Append("</title><style>")
            .Append("body{font-family:sans-serif;max-width:1500px;margin:2em auto;padding:0 1em;color:#222;background:#fff}svg,img{max-width:100%;height:auto}")
            .Append("table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.3em .7em;text-align:left;vertical-align:top}.charts{display:flex;flex-wrap:wrap;gap:1em}figure{margin:1em 0}</style></head><body>");
        page.Append("<h1>").Append(Text(recipe.Name)).Append("</h1>");
        if (recipe.About.Summary is { } summary) page.Append("<p>").Append(Text(summary)).Append("</p>");
        Table(page, ["", ""], Facts(recipe, lines));
        page.Append("<h2>Teachers</h2>");
        Table(page, ["from step", "phase", "teacher"], Teachers(recipe).Select(t => new[] { $"{t.Step}", t.Phase, t.Teacher }));
        page.Append("<h2>Curves</h2><p>Grey lines: ").Append(Text(string.Join(", ", phases.Select(p => $"{p.Name} from step {p.Step}")))).Append(".</p><div class=\"charts\">");
        foreach (Drawing chart in charts) page.Append(chart.ToSvg());
        page.Append("</div>");
        if (dense.Length > 0)
        {
            page.Append("<h2>Dense features</h2><p>For each probe image the first three principal components of its patches as colours, and beside them the cosine similarity of all patches with the ringed one (dark blue: 0 or less, yellow: 1).</p>");
            foreach ((string label, string file) in dense)
            {
                page.Append("<figure><figcaption>").Append(Text(label)).Append("</figcaption><img alt=\"").Append(Text(label)).Append("\" src=\"data:image/png;base64,").Append(Convert.ToBase64String(File.ReadAllBytes(file))).Append("\"></figure>");
            }
        }

        JsonObject[] readings = [.. lines.Where(line => line.ContainsKey(RunFigures.Locality))];
        if (readings.Length > 0)
        {
            page.Append("<h2>Features in figures</h2>");
            string[] keys = [.. readings[0].Select(p => p.Key).Where(key => key != "time" && readings.Any(line => line[key] is not null))];
            Table(page, keys, readings.Select(line => keys.Select(key => line[key] is JsonValue value && value.GetValueKind() == JsonValueKind.Number ? ((double)value).ToString("0.####", CultureInfo.InvariantCulture) : (string?)line[key] ?? "").ToArray()));
        }

        page.Append("<h2>Recipe</h2><pre>").Append(Text(recipe.ToYaml())).Append("</pre></body></html>\n");
        return page.ToString();
    }

    private static IEnumerable<string[]> Facts(PretrainRecipe recipe, JsonObject[] lines)
    {
        JsonObject last = lines[^1];
        double[] speeds = [.. lines.Select(line => (double?)line["images_per_second"]).OfType<double>()];
        long done = lines.Max(line => RunFigures.StepOf(line) + (line.ContainsKey("total_loss") ? 1 : 0));
        yield return ["steps", done >= recipe.TotalSteps() ? $"{recipe.TotalSteps()}, finished" : $"{done} of {recipe.TotalSteps()}"];
        yield return ["data", recipe.Data];
        yield return ["backbone", recipe.InitialWeights is { } initial ? $"{recipe.Backbone.GetType().Name.Replace("Config", "", StringComparison.Ordinal)}, started from {initial}" : recipe.Backbone.GetType().Name.Replace("Config", "", StringComparison.Ordinal)];
        if (speeds.Length > 0) yield return ["images per second", string.Create(CultureInfo.InvariantCulture, $"{speeds.Average():0.#} on average, {speeds[^1]:0.#} at the end")];
        int refused = lines.Count(line => line["refused"] is not null);
        if (refused > 0) yield return ["refused steps", $"{refused} among the lines written"];
        if ((double?)last["time"] is double time) yield return ["last figures", DateTimeOffset.FromUnixTimeMilliseconds((long)(time * 1000)).ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture)];
    }

    private static void Table(StringBuilder page, string[] header, IEnumerable<string[]> rows)
    {
        page.Append("<table>");
        if (header.Any(h => h.Length > 0)) Row(header, "th");
        foreach (string[] row in rows) Row(row, "td");
        page.Append("</table>");

        void Row(string[] cells, string tag)
        {
            page.Append("<tr>");
            foreach (string cell in cells) page.Append('<').Append(tag).Append('>').Append(Text(cell)).Append("</").Append(tag).Append('>');
            page.Append("</tr>");
        }
    }

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
