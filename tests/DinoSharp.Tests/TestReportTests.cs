using System.Xml.Linq;
using Xunit;

namespace DinoSharp.Tests;

public class TestReportTests
{
    [Theory]
    [InlineData("<test name='a' result='Pass'/><test name='b' result='Skip'><reason>no data</reason></test>", "1 passed, 0 failed, 1 skipped", 0)]
    [InlineData("<test name='a' result='Pass'/><test name='b' result='Fail'/>", "1 passed, 1 failed, 0 skipped", 1)]
    [InlineData("<test name='a' result='Pass'/><errors><error type='fixture'/></errors>", "1 passed, 1 failed, 0 skipped", 1)]
    [InlineData("", "no test has such a name|0 passed, 0 failed, 0 skipped", 1)]
    public void EndsWithTheCounts(string results, string expected, int code)
    {
        using var output = new StringWriter();
        Assert.Equal(code, TestReport.Write(XDocument.Parse($"<assemblies><assembly>{results}</assembly></assemblies>"), output));
        Assert.Equal(expected, output.ToString().TrimEnd().ReplaceLineEndings("|"));
    }
}
