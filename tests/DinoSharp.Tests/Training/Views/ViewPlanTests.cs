using CsCheck;
using DinoSharp.Images;
using DinoSharp.Tests.Golden;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Views;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Views;

public sealed class ViewPlanTests
{
    [Theory] // reference: data.md §2.6; the second run of a case has the next seed
    [InlineData("ssl_augment_plain", 6030)]
    [InlineData("ssl_augment_gram_no_distortions", 6040)]
    [InlineData("ssl_augment_gram_with_distortions", 6050)]
    [InlineData("ssl_augment_shared_jitter_subset", 6060)]
    public void ASeedGivesThePlanOfTheOriginal(string name, int seed)
    {
        string folder = Repository.Shared("golden");
        using var golden = new GoldenCase(GoldenFolder.Entries(folder).Single(e => e.Name == name));
        ViewOptions options = ViewCases.Options(golden.Config);
        ImageInfo image = ImageFile.ReadInfo(golden.File(golden.Config.GetProperty("image").GetString()!));
        for (int run = 0; run < 2; run++)
        {
            ViewPlan expected = ViewCases.Plan(golden.Calls[run], options);
            ViewPlan drawn = ViewPlan.Draw(image.Height, image.Width, options, new TorchRandom((ulong)(seed + run)));
            if (options.LocalsInsideGlobals) drawn = drawn with { Locals = [.. drawn.Locals.Zip(expected.Locals, (d, e) => d with { Row = e.Row, Column = e.Column })] }; // not from this generator
            Assert.Equal(Describe(expected), Describe(drawn));
        }
    }

    [Fact]
    public void WindowsAreThoseOfTheTensorArithmetic()
    {
        // The exponential and the logarithms of the original are float32 tensor operations; ours must round to the same windows.
        using var scope = NewDisposeScope();
        using var theirs = new Generator(77);
        var ours = new TorchRandom(77);
        float[] ratio = [.. log(tensor(new[] { 3f / 4, 4f / 3 })).data<float>()];
        for (int i = 0; i < 2000; i++)
        {
            (int height, int width) = (200 + i % 300, 500 - i % 290);
            CropWindow window = CropWindow.Draw(height, width, (0.05, 0.32), ours);
            while (true)
            {
                double area = (double)height * width * empty(1).uniform_(0.05, 0.32, theirs).item<float>();
                double aspect = exp(empty(1).uniform_(ratio[0], ratio[1], theirs)).item<float>();
                int w = (int)Math.Round(Math.Sqrt(area * aspect)), h = (int)Math.Round(Math.Sqrt(area / aspect));
                if (w > width || h > height) continue; // ten failures in a row do not happen at this scale
                long top = randint(0, height - h + 1, 1, generator: theirs).item<long>();
                Assert.Equal(new CropWindow((int)top, (int)randint(0, width - w + 1, 1, generator: theirs).item<long>(), h, w), window);
                break;
            }
        }
    }

    [Fact]
    public void WindowsAreInsideAnyImage() => Gen.Select(Gen.Int[1, 3000], Gen.Int[1, 3000], Gen.ULong).Sample(
        (height, width, seed) =>
        {
            CropWindow w = CropWindow.Draw(height, width, (0.32, 1), new TorchRandom(seed));
            Assert.True(w is { Top: >= 0, Left: >= 0, Height: > 0, Width: > 0 } && w.Top + w.Height <= height && w.Left + w.Width <= width, $"{w} in {height} × {width}");
        },
        iter: 3000);

    [Fact]
    public void ChancesAreTheEffectiveOnes()
    {
        var options = new ViewOptions { LocalCrops = 2 };
        ViewPlan[] plans = [.. Enumerable.Range(0, 4000).Select(i => ViewPlan.Draw(200, 300, options, new TorchRandom(TorchRandom.SeedOf(1, 2, (ulong)i))))];
        Near(0, plans.Average(p => p.Globals[0].Distortion.BlurSigma is null ? 0 : 1.0));
        Near(0.9, plans.Average(p => p.Globals[1].Distortion.BlurSigma is null ? 0 : 1.0));
        Near(0.5, plans.Average(p => p.Locals[0].Distortion.BlurSigma is null ? 0 : 1.0));
        Near(0, plans.Average(p => p.Globals[0].Distortion.Solarize ? 1.0 : 0));
        Near(0.2, plans.Average(p => p.Globals[1].Distortion.Solarize ? 1.0 : 0));
        Near(0.8, plans.Average(p => p.Locals[1].Distortion.Color.Jitter is null ? 0 : 1.0));
        Near(0.2, plans.Average(p => p.Locals[1].Distortion.Color.Grayscale ? 1.0 : 0));
        Near(0.5, plans.Average(p => p.Globals[0].Base.Flip ? 1.0 : 0));

        static void Near(double expected, double actual) => Assert.InRange(actual, expected - 0.03, expected + 0.03);
    }

    [Theory]
    [InlineData("GlobalSizePixels", "at least one patch")]
    [InlineData("LocalScale", "ascending")]
    [InlineData("GramWithoutDistortions", "GramSizePixels")]
    [InlineData("Hue", "0.5")]
    [InlineData("LocalCrops", "even")]
    public void ImpossibleOptionsAreNamed(string option, string expected)
    {
        ViewOptions wrong = option switch
        {
            "GlobalSizePixels" => new ViewOptions { GlobalSizePixels = 8 },
            "LocalScale" => new ViewOptions { LocalScale = (0.5, 0.2) },
            "GramWithoutDistortions" => new ViewOptions { GramWithoutDistortions = true },
            "Hue" => new ViewOptions { Distortions = new DistortionOptions { Hue = 0.7 } },
            _ => new ViewOptions { LocalsInsideGlobals = true, LocalCrops = 3 },
        };
        string message = Assert.Throws<DinoSharpException>(wrong.Validate).Message;
        Assert.Contains(option, message);
        Assert.Contains(expected, message);
    }

    private static string Describe(ViewPlan plan) => string.Join(
        '\n',
        [Describe(plan.SharedColor), .. plan.Globals.Select(g => $"{g.Base} {Describe(g.Distortion)}"), .. plan.Locals.Select(l => $"{l.Own} {l.Row} {l.Column} {Describe(l.Distortion)}")]);

    private static string Describe(Distortion d) => $"{Describe(d.Color)} blur {d.BlurSigma:R} solarize {d.Solarize}";

    private static string Describe(ColorChange c) =>
        $"gray {c.Grayscale} {(c.Jitter is { } j ? $"{j.Brightness:R} {j.Contrast:R} {j.Saturation:R} {j.Hue:R} {string.Join(',', j.Order)}" : "no jitter")}";
}
