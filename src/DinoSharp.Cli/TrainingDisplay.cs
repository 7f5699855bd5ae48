using System.Globalization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Runs;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace DinoSharp.Cli;

/// <summary>How far a training run is: a block that stays at the bottom of a terminal, or one plain line.</summary>
internal static class TrainingDisplay
{
    private const int BarWidth = 30;

    /// <summary>The block for a terminal.</summary>
    public static IRenderable Block(PretrainProgress p)
    {
        int done = (int)(BarWidth * p.TotalStep / p.TotalSteps);
        var grid = new Grid().AddColumn(new GridColumn().NoWrap().PadRight(2)).AddColumn();
        grid.AddRow(new Text(p.Phase, new Style(decoration: Decoration.Bold)), new Markup($"[green]{new string('━', done)}[/][grey]{new string('━', BarWidth - done)}[/] step {p.TotalStep}/{p.TotalSteps}, {Duration(p.Remaining)} left"));
        grid.AddRow(new Text("loss"), new Text(Losses(p.Report.Losses)));
        grid.AddRow(new Text("rates"), new Text(Schedules(p)));
        grid.AddRow(new Text("pace"), new Text(Machine(p)));
        return grid;
    }

    /// <summary>Everything in one line, for a pipe or a file.</summary>
    public static string Line(PretrainProgress p) => $"{p.Phase} {p.TotalStep}/{p.TotalSteps}  loss {Losses(p.Report.Losses)}  {Schedules(p)}  {Machine(p)}  {Duration(p.Remaining)} left";

    private static string Losses(LossTerms l) =>
        $"{Number(l.Total)} ({(l.FeatureClass is double token
            ? $"class token {Number(token)} patches {Number(l.FeaturePatches!.Value)}"
            : $"dino {Number(l.DinoGlobal)} {Number(l.DinoLocal)} ibot {Number(l.Ibot)} koleo {Number(l.KoLeo)}{(l.Gram is double gram ? $" gram {Number(gram)}" : "")}")})";

    private static string Schedules(PretrainProgress p) => $"lr {Number(p.Report.Values.LearningRate)}";

    private static string Machine(PretrainProgress p) =>
        $"{p.ImagesPerSecond.ToString("0.#", CultureInfo.InvariantCulture)} images/s  waiting {p.LoaderWaitShare.ToString("P0", CultureInfo.InvariantCulture)}  {p.MemoryBytes >> 20} MiB";

    internal static string Duration(TimeSpan time) => time.TotalDays >= 1 ? $"{time:d\\.hh\\:mm\\:ss}" : $"{time:h\\:mm\\:ss}";

    private static string Number(double value) => value.ToString("G4", CultureInfo.InvariantCulture);
}
