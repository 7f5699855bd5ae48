using CsCheck;
using DinoSharp.Heads.Text;
using Xunit;

namespace DinoSharp.Tests.Heads;

public sealed class ClipTokenizerTests
{
    [Fact]
    public void AnyTextBecomesASequenceWithStartAndEnd() => Gen.Select(Gen.String, Gen.Int[2, 80]).Sample(
        (text, length) =>
        {
            long[] ids = ClipTokenizer.Default.Tokenize(text, length);
            Assert.Equal(length, ids.Length);
            Assert.Equal(ClipTokenizer.StartOfText, ids[0]);
            Assert.Contains(ClipTokenizer.EndOfText, ids);
            Assert.All(ids, id => Assert.InRange(id, 0, ClipTokenizer.EndOfText));
        },
        iter: 2000);

    [Theory]
    [InlineData("a photo of a cat", new[] { 320, 1125, 539, 320, 2368 })]
    [InlineData("  A PHOTO\tof a&nbsp;CAT ", new[] { 320, 1125, 539, 320, 2368 })]
    [InlineData("", new int[0])]
    public void KnownTextsHaveKnownIds(string text, int[] expected) => Assert.Equal(expected, ClipTokenizer.Default.Encode(text));

    [Fact]
    public void LettersBeyondSixteenBitsAreLetters()
    {
        // U+20000 is an ideograph: it forms a piece with a letter, but not with a punctuation mark.
        Assert.Equal([(0, 3), (3, 1)], new ClipPieces().PreTokenize("a\U00020000!"));
    }

    [Theory]
    [InlineData("cafe\u0301", "caf\u00E9")]
    [InlineData("\u1112\u1161\u11AB\u1100\u1173\u11AF", "\uD55C\uAE00")]
    [InlineData("\u212B \u2126", "\u00C5 \u03A9")]
    [InlineData("a\u0323\u0307 a\u0307\u0323", "\u1EA1\u0307 \u1EA1\u0307")]
    [InlineData("\u0958", "\u0915\u093C")]
    public void CompositionFollowsUnicode(string text, string expected) => Assert.Equal(expected, CanonicalForms.Compose(text));

    [Fact]
    public void CompositionIsFinal() => Gen.String[Gen.OneOf(Gen.Char['\u00C0', '\u036F'], Gen.Char['\u0900', '\u0DFF'], Gen.Char['\uAC00', '\uD7A3'], Gen.Char['\u1100', '\u11FF']), 0, 12]
        .Sample(text => Assert.Equal(CanonicalForms.Compose(text), CanonicalForms.Compose(CanonicalForms.Compose(text))), iter: 5000);

    [Theory]
    [InlineData("schÃ¶n", "schön")]
    [InlineData("ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет")]
    [InlineData("CAFÉ» et «NIÑO»", "CAFÉ» et «NIÑO»")]
    [InlineData("naïve", "naïve")]
    [InlineData("cafÃ© 😀", "café 😀")]
    [InlineData("naïve schÃ¶n", "naïve schön")]
    public void OnlyBrokenTextIsRepaired(string text, string expected) => Assert.Equal(expected, TextCleaning.Repair(text));

    [Theory] // the values of Python's html.unescape
    [InlineData("rock &amp roll", "rock & roll")]
    [InlineData("a?x=1&copy=2", "a?x=1©=2")]
    [InlineData("&lt5", "<5")]
    [InlineData("&check; &NotEqualTilde;", "✓ ≂̸")]
    [InlineData("&notit; &notin;", "¬it; ∉")]
    [InlineData("&#128;&#x41;&#0;&#xD800;&#1;&#99999999999;", "€A\uFFFD\uFFFD\uFFFD")]
    [InlineData("&bogus; & &EACUTE; &#", "&bogus; & &EACUTE; &#")]
    public void CharacterReferencesAreThoseOfHtml5(string text, string expected) => Assert.Equal(expected, HtmlEntities.Unescape(text));

    [Theory]
    [InlineData("&EACUTE;t&eacute; &AMP &amp;", "Été &AMP &")]
    [InlineData("&SZLIG; &bogus;", "SS &bogus;")]
    public void OnlyCompleteReferencesAreRepaired(string text, string expected) => Assert.Equal(expected, HtmlEntities.Repair(text));

    [Theory]
    [InlineData("ΌΔΟΣ ΣΑΣ Σ", "όδος σας σ")]
    [InlineData("İI", "i\u0307i")]
    public void LowerCaseIsThatOfUnicode(string text, string expected) => Assert.Equal(expected, TextCleaning.Lower(text));
}
