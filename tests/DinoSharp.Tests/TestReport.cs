using System.Text;
using System.Xml.Linq;
using Xunit.Runner.InProc.SystemConsole;

namespace DinoSharp.Tests;

/// <summary>Runs tests, shows the failed and the skipped ones with their reasons, and ends with one line: <c>N passed, N failed, N skipped</c>.</summary>
internal static class TestReport
{
    /// <summary>Runs the tests that the arguments of the xunit runner select. Returns 0 if some passed and none failed, else 1.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        using var folder = new TemporaryFolder();
        string file = folder.File("results.xml");
        using var output = new UntilSilenced(Console.Out);
        using (var runner = new ConsoleRunner([.. args, "-noLogo", "-noAutoReporters", "-reporter", "quiet", "-result-xml", file], typeof(TestReport).Assembly))
            await runner.EntryPoint(Console.In, output);
        output.Silent = true;
        return Write(XDocument.Load(file), Console.Out);
    }

    internal static int Write(XDocument results, TextWriter output)
    {
        XElement[] tests = [.. results.Descendants("test")];
        int Count(string result) => tests.Count(test => (string?)test.Attribute("result") == result);
        // Errors are failures outside a test, as in the construction of a fixture.
        int passed = Count("Pass"), errors = results.Descendants("error").Count(), failed = Count("Fail") + errors;
        if (tests.Length == 0) output.WriteLine("no test has such a name");
        output.WriteLine($"{passed} passed, {failed} failed, {Count("Skip")} skipped");
        return failed > 0 || tests.Length == 0 ? 1 : 0;
    }

    // The runner's watchdog may still speak while the process ends, but the counts have to be the last line.
    private sealed class UntilSilenced(TextWriter output) : TextWriter
    {
        public bool Silent { get; set; }

        public override Encoding Encoding => output.Encoding;

        public override void Write(char value) => Write(value.ToString());

        public override void Write(string? value)
        {
            if (!Silent) output.Write(value);
        }
    }
}
