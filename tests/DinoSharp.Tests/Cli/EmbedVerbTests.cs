using System.Diagnostics;
using System.Formats.Tar;
using System.Text.Json;
using DinoSharp.Cli.Embedding;
using DinoSharp.Weights;
using Xunit;

namespace DinoSharp.Tests.Cli;

/// <summary><c>dino embed</c> from end to end, also broken off.</summary>
public sealed class EmbedVerbTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    [Fact]
    public async Task AFolderBecomesOneRowForEachPictureInOrder()
    {
        string folder = Photos("plain", 5), file = tiny.File("plain.jsonl");
        Dino.Outcome outcome = await Run(folder, "--out", file);
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        Assert.StartsWith($"{file}: 5 vectors of 48 numbers (", outcome.Output);
        using DinoModel model = DinoModel.Load(tiny.Path);
        JsonElement[] rows = Rows(file);
        Assert.Equal(Enumerable.Range(0, 5).Select(i => Path.Combine(folder, $"{i:D2}.png")), rows.Select(row => row.GetProperty("path").GetString()));
        foreach (JsonElement row in rows)
        {
            float[] alone = model.Embed(row.GetProperty("path").GetString()!);
            Assert.All(alone.Zip(row.GetProperty("embedding").EnumerateArray()), pair => Assert.Equal(pair.First, pair.Second.GetSingle(), 1e-5f));
        }

        Assert.False(File.Exists(file + ".partial"));
    }

    [Fact]
    public async Task WhatCannotBeReadIsListedAndTellsByTheExitCode()
    {
        string folder = Photos("some", 3), file = tiny.File("some.npy");
        File.WriteAllText(Path.Combine(folder, "01b.jpg"), "no picture");
        JsonElement json = await Json(1, folder, tiny.File("absent.png"), "--out", file, "--json");
        Assert.Equal((3, 48), (json.GetProperty("count").GetInt32(), json.GetProperty("dimensions").GetInt32()));
        Assert.Equal([tiny.File("absent.png"), Path.Combine(folder, "01b.jpg")], json.GetProperty("skipped").EnumerateArray().Select(s => s.GetProperty("path").GetString()));
        Assert.All(json.GetProperty("skipped").EnumerateArray(), s => Assert.NotEmpty(s.GetProperty("reason").GetString()!));
        Assert.Equal(tiny.File("some.paths.jsonl"), json.GetProperty("paths").GetString());
        Assert.Equal(["00.png", "01.png", "02.png"], File.ReadLines(tiny.File("some.paths.jsonl")).Select(line => Path.GetFileName(JsonSerializer.Deserialize<string>(line))));

        Dino.Outcome outcome = await Run(Path.Combine(folder, "01b.jpg"), "--out", tiny.File("none.npy"));
        Assert.Equal(1, outcome.Code);
        Assert.Contains("warning: skipped " + Path.Combine(folder, "01b.jpg"), outcome.Error);
        Assert.Contains("none of the 1 pictures can be read", outcome.Error);
        Assert.Empty(Directory.GetFiles(Path.GetDirectoryName(file)!, "none.*"));
    }

    [Fact]
    public async Task EveryFileOfTheOddOnesIsAVectorOrAReason()
    {
        string odd = Repository.Shared("data/odd"), file = tiny.File("odd.jsonl");
        Dino.Outcome outcome = await Run(odd, Path.Combine(odd, "jpeg2000.jp2"), "--out", file, "--json");
        Assert.Equal(1, outcome.Code);
        JsonElement json = outcome.Json();
        int count = json.GetProperty("count").GetInt32(), skipped = json.GetProperty("skipped").GetArrayLength();
        Assert.Equal(InputImages.Find([odd, Path.Combine(odd, "jpeg2000.jp2")]).Count(default), count + skipped);
        string[] mustFail = [.. File.ReadLines(Path.Combine(odd, "manifest.csv")).Select(line => line.Split(',')).Where(cells => cells[1] is "error" or "reject by pixel limit").Select(cells => cells[0])];
        string[] mustWork = [.. File.ReadLines(Path.Combine(odd, "manifest.csv")).Select(line => line.Split(',')).Where(cells => cells[1] == "ok").Select(cells => cells[0])];
        string[] failed = [.. json.GetProperty("skipped").EnumerateArray().Select(s => Path.GetRelativePath(odd, s.GetProperty("path").GetString()!).Replace('\\', '/'))];
        Assert.Subset(failed.ToHashSet(), mustFail.ToHashSet());
        Assert.Empty(failed.Intersect(mustWork));
    }

    [Fact]
    public async Task TheFileTellsWhatComputedIt()
    {
        string folder = Photos("engine", 2), file = tiny.File("engine.safetensors");
        await Json(0, folder, "--out", file, "--json");
        using DinoModel model = DinoModel.Load(tiny.Path);
        using TensorFile tensors = TensorFile.Open(file);
        Assert.Equal(("Float32", model.Engine), (tensors.Metadata["compute"], tensors.Metadata["engine"]));
    }

    [Theory]
    [InlineData("class", 48)]
    [InlineData("mean", 48)]
    [InlineData("gem", 48)]
    [InlineData("class+mean", 96)]
    public async Task ThePoolingIsChosenByName(string pooling, int dim)
    {
        string folder = Photos("pooling", 2), file = tiny.File($"pooling-{dim}.parquet");
        JsonElement json = await Json(0, folder, "--out", file, "--pooling", pooling, "--no-normalize", "--overwrite", "--json");
        Assert.Equal(dim, json.GetProperty("dimensions").GetInt32());
        Assert.True(File.Exists(file));
        Assert.Equal(2, (await Run(folder, "--out", file, "--pooling", "max")).Code);
    }

    [Fact]
    public async Task AnExistingResultIsKeptUnlessAsked()
    {
        string folder = Photos("keep", 1), file = tiny.File("keep.npy");
        File.WriteAllText(file, "precious");
        Dino.Outcome outcome = await Run(folder, "--out", file);
        Assert.Equal((1, $"error: {file} exists; give another name, or --overwrite to replace it{Environment.NewLine}"), (outcome.Code, outcome.Error));
        Assert.Equal("precious", File.ReadAllText(file));
        Assert.Equal(0, (await Run(folder, "--out", file, "--overwrite")).Code);
        Assert.NotEqual("precious", File.ReadAllText(file));
    }

    [Theory]
    [InlineData("x.csv", "ends in .parquet, .npy, .safetensors, .jsonl")]
    [InlineData("x", "ends in .parquet")]
    public async Task AnUnknownFormatIsAUsageError(string name, string message)
    {
        Dino.Outcome outcome = await Run(Photos("format", 1), "--out", tiny.File(name));
        Assert.Equal(2, outcome.Code);
        Assert.Contains(message, outcome.Error);
        Assert.Equal(2, (await Run(Photos("format", 1))).Code);
        Assert.Equal(2, (await Run(Photos("format", 1), "--out", "x.npy", "--batch", "0")).Code);
    }

    [Fact]
    public async Task NothingToEmbedSaysWhatWasLookedFor()
    {
        Directory.CreateDirectory(tiny.File("empty"));
        Dino.Outcome outcome = await Run(tiny.File("empty"), "--out", tiny.File("empty.npy"));
        Assert.Equal(1, outcome.Code);
        Assert.Contains("there is no picture to embed", outcome.Error);
        Assert.Contains(".jpg", outcome.Error);
    }

    [Theory]
    [InlineData("0", 2, "--size 0: expected a number of pixels above 0")]
    [InlineData("-16", 2, "--size -16: expected a number of pixels above 0")]
    [InlineData("big", 2, "--size big: expected a whole number")]
    [InlineData("17", 1, "the nearest legal sizes are 16 or 32 wide")]
    [InlineData("100000", 1, "use a smaller or a square size")]
    public async Task AnIllegalSizeIsOneErrorAndLeavesNothingBehind(string size, int code, string message)
    {
        string folder = Photos("sizes", 3), file = tiny.File("sizes.npy");
        Dino.Outcome outcome = await Run(folder, "--out", file, "--size", size);
        Assert.Equal(code, outcome.Code);
        Assert.StartsWith("error: ", outcome.Error);
        Assert.Contains(message, outcome.Error);
        Assert.DoesNotContain("skipped", outcome.Error);
        Assert.Empty(Directory.GetFiles(Path.GetDirectoryName(file)!, "sizes.npy*"));
    }

    [Fact]
    public async Task ARunThatIsStoppedGoesOnWhereItWasAndGivesTheSameBytes()
    {
        string folder = Photos("stopped", 9), whole = tiny.File("whole.npy"), resumed = tiny.File("resumed.npy");
        File.WriteAllText(Path.Combine(folder, "03b.png"), "broken, so that a batch is not full");
        Assert.Equal(1, (await Run(folder, "--out", whole, "--batch", "2")).Code);

        using (DinoModel model = DinoModel.Load(tiny.Path))
        {
            // Stops as Ctrl-C does, after the second batch.
            using var stop = new CancellationTokenSource();
            var run = new EmbeddingRun(model, new() { BatchSize = 2 }, InputImages.Find([folder]), resumed);
            var output = new DinoSharp.Cli.Output(TextWriter.Null, TextWriter.Null, json: false);
            Assert.ThrowsAny<OperationCanceledException>(() => run.Execute(new Stopper(done => { if (done >= 4) stop.Cancel(); }), output, stop.Token));
        }

        Assert.True(File.Exists(resumed + ".partial"));
        Assert.False(File.Exists(resumed));
        Dino.Outcome other = await Run(folder, "--out", resumed, "--pooling", "mean");
        Assert.Contains("begun with other settings", other.Error);
        JsonElement json = await Json(1, folder, "--out", resumed, "--batch", "2", "--json");
        Assert.Equal((9, 4), (json.GetProperty("count").GetInt32(), json.GetProperty("resumed").GetInt32()));
        Assert.Equal(File.ReadAllBytes(whole), File.ReadAllBytes(resumed));
        Assert.Equal(File.ReadAllBytes(tiny.File("whole.paths.jsonl")), File.ReadAllBytes(tiny.File("resumed.paths.jsonl")));
        Assert.False(File.Exists(resumed + ".partial"));
    }

    [Fact]
    public async Task ARunThatIsKilledGoesOnWhereItWasAndGivesTheSameBytes()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs a named pipe among the files");
        string folder = Photos("killed", 6), whole = tiny.File("kill-whole.npy"), killed = tiny.File("killed.npy"), journal = killed + ".partial";
        Assert.Equal(0, (await Run(folder, "--out", whole, "--batch", "1")).Code);

        // The fifth picture is a pipe into which nobody writes: the run waits there until it is killed.
        string fifth = Path.Combine(folder, "04.png");
        File.Delete(fifth);
        (await OtherProgram.RunAsync(folder, "mkfifo", fifth)).Succeeded();
        string[] command = [Path.Combine(AppContext.BaseDirectory, "dino.dll"), "embed", folder, "--out", killed, "--batch", "1", "--model", tiny.Path];
        using (Process process = Process.Start(new ProcessStartInfo("dotnet", command) { RedirectStandardError = true, RedirectStandardOutput = true })!)
        {
            while (!process.HasExited && !(File.Exists(journal) && new FileInfo(journal).Length > 4 * 48 * sizeof(float))) await Task.Delay(20);
            Assert.False(process.HasExited, "it ended before it was killed: " + (process.HasExited ? await process.StandardError.ReadToEndAsync() : ""));
            process.Kill();
            await process.WaitForExitAsync();
        }

        File.Delete(fifth);
        Photos("killed", 6);
        JsonElement json = await Json(0, folder, "--out", killed, "--batch", "1", "--json");
        Assert.InRange(json.GetProperty("resumed").GetInt32(), 1, 4);
        Assert.Equal(File.ReadAllBytes(whole), File.ReadAllBytes(killed));
    }

    [Fact]
    public async Task AFullDiskKeepsWhatIsDone()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "needs a limit on the size of files");
        string folder = Photos("full", 30), file = tiny.File("full.npy");

        // The shell's unit is 1024 bytes; thirty vectors are 30 · 48 · 4 bytes and their names. Write-xor-execute of the runtime needs a large file in memory.
        string script = $"trap '' XFSZ; ulimit -f 4; export DOTNET_EnableWriteXorExecute=0; exec dotnet '{Path.Combine(AppContext.BaseDirectory, "dino.dll")}' embed '{folder}' --out '{file}' --batch 3 --model '{tiny.Path}'";
        OtherProgram.Outcome outcome = await OtherProgram.RunAsync(Path.GetDirectoryName(file)!, "bash", "-c", script);
        Assert.Equal(1, outcome.Code);
        Assert.Contains("make room and run the same command again", outcome.Error);
        Assert.DoesNotContain("   at ", outcome.Error);
        Assert.False(File.Exists(file));
        JsonElement json = await Json(0, folder, "--out", file, "--json");
        Assert.Equal(30, json.GetProperty("count").GetInt32());
        Assert.InRange(json.GetProperty("resumed").GetInt32(), 3, 27);
    }

    [Fact]
    public async Task ShardsAndGlobsAreTaken()
    {
        string folder = Photos("shards", 4), shard = tiny.File("shards/x.tar"), file = tiny.File("shards.jsonl");
        using (var writer = new TarWriter(File.Create(shard)))
        {
            foreach (string photo in Directory.GetFiles(folder, "*.png").Order().Take(2)) writer.WriteEntry(photo, "in/" + Path.GetFileName(photo));
        }

        Assert.Equal(0, (await Run(shard, Path.Combine(folder, "*3.png"), Path.Combine(folder, "0?.png"), "--out", file)).Code);
        JsonElement[] rows = Rows(file);
        Assert.Equal([shard + "/in/00.png", shard + "/in/01.png", .. new[] { 3, 0, 1, 2 }.Select(i => Path.Combine(folder, $"0{i}.png"))], rows.Select(row => row.GetProperty("path").GetString()));
        Assert.Equal(rows[0].GetProperty("embedding").EnumerateArray().Select(n => n.GetSingle()), rows[3].GetProperty("embedding").EnumerateArray().Select(n => n.GetSingle()), (a, b) => Math.Abs(a - b) < 1e-5f);
    }

    private static JsonElement[] Rows(string file) => [.. File.ReadLines(file).Select(line => JsonDocument.Parse(line).RootElement)];

    private string Photos(string folder, int count)
    {
        for (int i = 0; i < count; i++) tiny.Draw($"{folder}/{i:D2}.png", 60 + i, 50, seed: i);
        return tiny.File(folder);
    }

    private Task<Dino.Outcome> Run(params string[] args) => Dino.RunAsync(["embed", .. args, "--model", tiny.Path]);

    private async Task<JsonElement> Json(int code, params string[] args)
    {
        Dino.Outcome outcome = await Run(args);
        Assert.True(code == outcome.Code, outcome.Error);
        return outcome.Json();
    }

    private sealed class Stopper(Action<long> report) : IProgress<long>
    {
        public void Report(long value) => report(value);
    }
}
