using Xunit;

namespace DinoSharp.Tests.Cli;

/// <summary>When <c>./dino</c> builds: a copy of the script over a few files, with a <c>dotnet</c> that only notes what it was asked.</summary>
public sealed class DinoScriptTests : IDisposable
{
    private const string Dotnet = """
        #!/bin/sh
        case $1 in
          publish) echo "publish $DinoSharpCuda" >>"$NOTES"; mkdir -p src/DinoSharp.Cli/bin/Release/publish; [ ! -e broken ] || exit 1; echo >src/DinoSharp.Cli/bin/Release/publish/dino.dll ;;
          *) shift; echo "run$(printf ' [%s]' "$@")" >>"$NOTES" ;;
        esac
        """;

    private readonly TemporaryFolder _folder = new();

    public DinoScriptTests()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "a script for bash");
        Write("src/DinoSharp.Cli/Program.cs", "one");
        Write("src/DinoSharp/Model.cs", "two");
        Write("models/tiny", "weights");
        Write("Directory.Build.props", "<Project />");
        Write("global.json", "{}");
        Write("tools/dotnet", Dotnet);
        File.Copy(Path.Combine(Repository.Root, "dino"), _folder.File("dino"));
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(_folder.File("tools", "dotnet"), UnixFileMode.UserRead | UnixFileMode.UserExecute);
    }

    [Fact]
    public async Task BuildsOnceAndHandsTheWordsOn()
    {
        Assert.Equal(["publish ", "run [embed] [a b]"], await Run("embed 'a b'"));
        Assert.Equal(["run [--version]"], await Run("--version"));
    }

    [Theory]
    [InlineData("echo else >src/DinoSharp/Model.cs")]
    [InlineData("echo else >src/DinoSharp/Model.cs && touch -d 2001-01-01 src/DinoSharp/Model.cs")] // as an archive unpacks
    [InlineData("echo new >src/DinoSharp/New.cs")]
    [InlineData("rm src/DinoSharp/Model.cs")]
    [InlineData("mv src/DinoSharp/Model.cs src/DinoSharp/Renamed.cs")]
    [InlineData("echo else >models/tiny")]
    [InlineData("echo '<Project></Project>' >Directory.Build.props")]
    [InlineData("echo '{ }' >global.json")]
    [InlineData("rm -r src/DinoSharp.Cli/bin")]
    [InlineData("export DinoSharpCuda=true")]
    public async Task BuildsAgainAfter(string change)
    {
        await Run("info");
        Assert.Equal([change.Contains("Cuda", StringComparison.Ordinal) ? "publish true" : "publish ", "run [info]"], await Run("info", change));
    }

    [Theory]
    [InlineData("touch src/DinoSharp/Model.cs")]
    [InlineData("cp src/DinoSharp/Model.cs m && rm src/DinoSharp/Model.cs && mv m src/DinoSharp/Model.cs")]
    [InlineData("mkdir -p src/DinoSharp/obj && echo x >src/DinoSharp/obj/x")]
    [InlineData("echo x >src/DinoSharp.Cli/bin/x")]
    public async Task DoesNotBuildAgainAfter(string change)
    {
        await Run("info");
        Assert.Equal(["run [info]"], await Run("info", change));
        Assert.Equal(["run [info]"], await Run("info"));
    }

    [Fact]
    public async Task BuildsAgainAfterAFailure()
    {
        await Run("info");
        Write("src/DinoSharp/Model.cs", "wrong");
        Write("broken", "");
        Assert.Equal(["publish "], await Run("info", code: 1));
        Write("src/DinoSharp/Model.cs", "two"); // what was built before, but the program may be half of the new one
        File.Delete(_folder.File("broken"));
        Assert.Equal(["publish ", "run [info]"], await Run("info"));
    }

    public void Dispose() => _folder.Dispose();

    private async Task<string[]> Run(string words, string before = ":", int code = 0)
    {
        string notes = _folder.File("notes"); // the pause: the times of files are told apart by a few milliseconds
        File.Delete(notes);
        OtherProgram.Outcome outcome = await OtherProgram.RunAsync(_folder.Path, "bash", "-c", $"export NOTES='{notes}' PATH=\"$PWD/tools:$PATH\"; unset DinoSharpCuda; sleep 0.02; {before}; ./dino {words}");
        Assert.True(outcome.Code == code, outcome.Error);
        return File.Exists(notes) ? File.ReadAllLines(notes) : [];
    }

    private void Write(string path, string text)
    {
        string file = _folder.File(path.Split('/'));
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, text);
    }
}
