using System.CommandLine;
using DinoSharp.Cli;
using Xunit;

namespace DinoSharp.Tests.Cli;

public class CommandLineTests
{
    public static TheoryData<string> VerbNames => [.. Leaves(DinoSharp.Cli.Program.Verbs()).Select(verb => string.Join(' ', verb))];

    [Theory]
    [MemberData(nameof(VerbNames))]
    public async Task EveryVerbHasJsonAndAnExampleOfItself(string verb)
    {
        Dino.Outcome help = await Dino.RunAsync([.. verb.Split(' '), "--help"]);
        Assert.Equal(0, help.Code);
        Assert.Contains("--json", help.Output);
        Assert.Contains("Example", help.Output);
        Assert.Contains("  dino " + verb, help.Output[help.Output.IndexOf("Example", StringComparison.Ordinal)..]);
        Assert.Empty(help.Error);
    }

    [Theory]
    [MemberData(nameof(VerbNames))]
    public async Task EveryExampleParses(string verb)
    {
        var root = new RootCommand();
        foreach (Command command in DinoSharp.Cli.Program.Verbs()) root.Add(command);
        Command found = verb.Split(' ').Aggregate((Command)root, (command, name) => command.Subcommands.Single(c => c.Name == name));
        foreach (string example in Assert.IsAssignableFrom<Verb>(found).Examples)
        {
            Assert.StartsWith("dino ", example);
            Assert.Empty(root.Parse(example["dino ".Length..]).Errors);
        }

        await Task.CompletedTask;
    }

    // What scripts rely on: the same options everywhere, with the same spelling of their values.
    [Theory]
    [InlineData("match a.png b.png")]
    [InlineData("track frames --mask first.png")]
    [InlineData("segment --examples painted targets")]
    [InlineData("cluster images --k 6")]
    [InlineData("discover a.png")]
    [InlineData("similar a.png --at 1,2 folder")]
    [InlineData("change a.png b.png")]
    [InlineData("similarity a.png --at 1,2")]
    [InlineData("attention a.png")]
    [InlineData("pca a.png")]
    [InlineData("index build folder")]
    [InlineData("index add folder")]
    [InlineData("index search i a.png")]
    [InlineData("index dedup i")]
    [InlineData("index outliers i")]
    public void TheToolboxHasCommonOptions(string words)
    {
        var root = new RootCommand();
        foreach (Command command in DinoSharp.Cli.Program.Verbs()) root.Add(command);
        foreach (string size in (string[])["512", "native"]) Assert.Empty(root.Parse($"{words} --model random:vits16 --size {size} --json --out result --max-memory 2GB").Errors);
        foreach (string wrong in (string[])["--size 0", "--size -16", "--size large", "--max-memory 2", "--max-memory lots"]) Assert.NotEmpty(root.Parse($"{words} --out result {wrong}").Errors);
    }

    // Only the verb that is asked for is made, so its name stands in two places.
    [Fact]
    public void EveryVerbIsFoundByItsName() =>
        Assert.All(DinoSharp.Cli.Program.Verbs(), verb => Assert.Equal(verb.Name, Assert.Single(DinoSharp.Cli.Program.Verbs([verb.Name, "--help"])).Name));

    [Fact]
    public async Task EveryVerbThatRunsANetworkTakesADevice()
    {
        string[][] without = [.. Leaves(DinoSharp.Cli.Program.Verbs()).Select(verb => verb.ToArray()).Where(verb => !Dino.RunAsync([.. verb, "--help"]).Result.Output.Contains("--device", StringComparison.Ordinal))];
        Assert.Equal(["convert", "doctor", "eval compare", "index export", "info"], without.Select(verb => string.Join(' ', verb)).Order(StringComparer.Ordinal));
        Dino.Outcome refused = await Dino.RunAsync("embed", "a.jpg", "--out", "a.npy", "--device", "gpu");
        Assert.Equal((2, true), (refused.Code, refused.Error.Contains("--device gpu: expected cpu, cuda, cuda:N or auto", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task NoVerbShowsTheHelpOnStderr()
    {
        Dino.Outcome outcome = await Dino.RunAsync();
        Assert.Equal(2, outcome.Code);
        Assert.Empty(outcome.Output);
        Assert.Contains("Exit codes:", outcome.Error);
        Assert.Contains("doctor", outcome.Error);
    }

    [Fact]
    public async Task VersionIsOneLine()
    {
        Dino.Outcome outcome = await Dino.RunAsync("--version");
        Assert.Equal(0, outcome.Code);
        Assert.Matches(@"^dino \d+\.\d+\.\d+\S*\r?\n$", outcome.Output);
    }

    [Theory]
    [InlineData("docter", "error: unknown verb 'docter'; did you mean 'doctor'?")]
    [InlineData("frobnicate", "error: unknown verb 'frobnicate'")]
    [InlineData("embed a.jpg --model random:vits16 --out a.npy --compute int9", "error: --compute int9: expected float32, bfloat16, int8 or auto")]
    [InlineData("doctor --jsno", "error: unknown option '--jsno'; did you mean '--json'?")]
    [InlineData("doctor --jsno x y", "error: unknown option '--jsno'; did you mean '--json'?")]
    [InlineData("doctor extra", "error: unexpected argument 'extra'")]
    [InlineData("try a.jpg --cuont 3", "error: unknown option '--cuont'; did you mean '--count'?")]
    [InlineData("try a.jpg -x", "error: unknown option '-x'")]
    [InlineData("try --count three a.jpg", "error: --count three: expected a whole number")]
    [InlineData("try a.jpg --count", "error: Required argument missing for option: '--count'")]
    public async Task AWrongCommandLineIsRefusedWithTheNearestName(string line, string expected)
    {
        Dino.Outcome outcome = await Dino.RunAsync([.. DinoSharp.Cli.Program.Verbs(), new TryVerb(_ => { })], line.Split(' '));
        Assert.Equal(2, outcome.Code);
        Assert.StartsWith(expected, outcome.Error);
        Assert.Contains("--help'.", outcome.Error);
        Assert.Equal("", outcome.Output);
    }

    [Fact]
    public async Task APathBehindTwoDashesMayLookLikeAnOption()
    {
        string[] paths = [];
        Dino.Outcome outcome = await Dino.RunAsync([new TryVerb(p => paths = p)], ["try", "--count", "-3", "@list", "--", "--odd.jpg", "-x"]);
        Assert.Equal("", outcome.Error);
        Assert.Equal(0, outcome.Code);
        Assert.Equal(["@list", "--odd.jpg", "-x"], paths);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task AnErrorOfTheLibraryIsItsMessageAndNothingElse(bool json)
    {
        Dino.Outcome outcome = await FailAsync(new DinoSharpException("a.jpg: not an image; give another", new InvalidOperationException("inner")), json);
        Assert.Equal(1, outcome.Code);
        Assert.Equal("error: a.jpg: not an image; give another" + Environment.NewLine, outcome.Error);
        if (json) Assert.Equal("a.jpg: not an image; give another", outcome.Json().GetProperty("error").GetString());
        else Assert.Equal("", outcome.Output);
    }

    [Fact]
    public async Task AnUnexpectedErrorSaysHowToReportItWithoutAStackTrace()
    {
        Dino.Outcome outcome = await FailAsync(new InvalidOperationException("odd\n   at Some.Native.Frame()"), json: false);
        Assert.Equal(1, outcome.Code);
        Assert.StartsWith("error: unexpected InvalidOperationException: odd" + Environment.NewLine, outcome.Error);
        Assert.Contains("DINO_TRACE=1", outcome.Error);
        Assert.DoesNotContain("   at ", outcome.Error);
    }

    [Fact]
    public async Task AFullDiskAndMissingMemoryAreNotFaultsOfTheTool()
    {
        Assert.Equal("error: No space left on device" + Environment.NewLine, (await FailAsync(new IOException("No space left on device"), json: false)).Error);
        Assert.StartsWith("error: not enough memory.", (await FailAsync(new OutOfMemoryException(), json: false)).Error);
        Assert.StartsWith("error: a native library does not load", (await FailAsync(new TypeInitializationException("X", new DllNotFoundException("x.so")), json: false)).Error);
    }

    [Fact]
    public async Task CancellationEndsWith130()
    {
        using var stop = new CancellationTokenSource();
        Dino.Outcome outcome = await Dino.RunAsync([new TryVerb(_ => stop.Cancel())], ["try", "a"], stop.Token);
        Assert.Equal(130, outcome.Code);
        Assert.Equal("error: stopped before the end" + Environment.NewLine, outcome.Error);
    }

    [Fact]
    public void ColumnsAreAligned() =>
        Assert.Equal(["a    1", "bbb  22  x", "c"], Output.Columns([["a", "1"], ["bbb", "22", "x"], ["c"]]));

    [Fact]
    public void JsonHasNoNumbersThatAreNotFinite() =>
        Assert.Equal("""{"a":null,"b":[1.5,null],"c":null}""", Output.ToJson(new { a = float.NaN, b = new[] { 1.5f, float.PositiveInfinity }, c = double.NaN }));

    private static Task<Dino.Outcome> FailAsync(Exception exception, bool json) =>
        Dino.RunAsync([new TryVerb(_ => throw exception)], json ? ["try", "a", "--json"] : ["try", "a"]);

    private static IEnumerable<string[]> Leaves(IEnumerable<Command> commands) =>
        commands.SelectMany(c => c.Subcommands.Count == 0 ? [[c.Name]] : Leaves(c.Subcommands).Select(rest => (string[])[c.Name, .. rest]));

    private sealed class TryVerb : Verb
    {
        private readonly Argument<string[]> _paths = new("paths") { Arity = ArgumentArity.OneOrMore };
        private readonly Option<int> _count = new("--count");
        private readonly Action<string[]> _work;

        public TryVerb(Action<string[]> work)
            : base("try", "A verb with paths, for these tests", "dino try a.jpg")
        {
            Add(_paths);
            Add(_count);
            _work = work;
        }

        protected override Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
        {
            _work(arguments.GetValue(_paths)!);
            cancel.ThrowIfCancellationRequested();
            return Task.FromResult(ExitCode.Ok);
        }
    }
}
