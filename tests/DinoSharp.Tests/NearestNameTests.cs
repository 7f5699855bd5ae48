using CsCheck;
using Xunit;

namespace DinoSharp.Tests;

public class NearestNameTests
{
    [Theory]
    [InlineData("smilarity", "similarity")]
    [InlineData("PCA", "pca")]
    [InlineData("pac", "pca")]
    [InlineData("embedd", "embed")]
    [InlineData("x", null)]
    [InlineData("completely-different", null)]
    public void FindsWhatWasProbablyMeant(string typed, string? meant) =>
        Assert.Equal(meant, NearestName.Find(typed, ["pca", "embed", "extract", "similarity"]));

    [Fact]
    public void ANameIsNearestToItself() =>
        Gen.String[Gen.Char.AlphaNumeric, 3, 12].Array[1, 6].Sample(names => NearestName.Find(names[^1], names)?.ToUpperInvariant() == names[^1].ToUpperInvariant());
}
