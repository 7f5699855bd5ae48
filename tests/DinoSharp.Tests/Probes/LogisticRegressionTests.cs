using DinoSharp.Probes;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Probes;

public sealed class LogisticRegressionTests
{
    [Fact]
    public void TheGradientIsZeroAtTheOptimum()
    {
        using var scope = NewDisposeScope();
        manual_seed(2);
        Tensor x = randn(120, 7, dtype: ScalarType.Float64) + 3;
        int[] labels = [.. Enumerable.Range(0, 120).Select(i => i % 3)];
        using LogisticRegression fit = LogisticRegression.Fit(x, labels, new() { C = 0.7 });
        Tensor error = fit.Probabilities(x) - nn.functional.one_hot(tensor(labels, dtype: ScalarType.Int64), 3);
        Tensor gradient = (0.7 * error.t().matmul(x)) + fit.Weight; // of C·Σ CE + ½‖W‖²
        Assert.InRange(gradient.abs().max().item<double>(), 0, 1e-5);
        Assert.InRange(error.sum([0]).abs().max().item<double>(), 0, 1e-5);
        Assert.InRange(Math.Abs(fit.Intercept.sum().item<double>()), 0, 1e-9);
    }

    [Fact]
    public void SeparableClassesAreSeparated()
    {
        using var scope = NewDisposeScope();
        using LogisticRegression fit = LogisticRegression.Fit(tensor(new float[,] { { -2 }, { -1 }, { 1 }, { 2 } }), [0, 0, 1, 1], new() { C = 1e5 });
        Assert.Equal(LogisticForm.Binary, fit.Form);
        Assert.Equal([0, 1], fit.Predict(tensor(new float[,] { { -0.5f }, { 0.5f } })));
        Assert.Equal(0, fit.Intercept.item<double>(), 3);
    }

    [Fact]
    public void AWarmStartReachesTheSameOptimum()
    {
        using var scope = NewDisposeScope();
        manual_seed(3);
        Tensor x = randn(90, 5);
        int[] labels = [.. Enumerable.Range(0, 90).Select(i => i * i % 4 == 0 ? 0 : i % 3)];
        using LogisticRegression first = LogisticRegression.Fit(x, labels, new() { C = 0.01 });
        using LogisticRegression cold = LogisticRegression.Fit(x, labels, new() { C = 5 });
        using LogisticRegression warm = LogisticRegression.Fit(x, labels, new() { C = 5 }, start: first);
        Assert.True(warm.Weight.allclose(cold.Weight, 1e-5, 1e-6));
        Assert.True(warm.Intercept.allclose(cold.Intercept, 1e-5, 1e-6));
    }

    [Fact]
    public void EachLabelOfSeveralIsAFitOfItsOwn()
    {
        using var scope = NewDisposeScope();
        manual_seed(4);
        Tensor x = randn(80, 4), targets = randint(0, 2, [80, 3], ScalarType.Int64);
        using LogisticRegression together = LogisticRegression.FitMultiLabel(x, targets, new() { C = 0.5 });
        for (int c = 0; c < 3; c++)
        {
            using LogisticRegression alone = LogisticRegression.Fit(x, [.. targets.select(1, c).data<long>().ToArray().Select(t => (int)t)], new() { C = 0.5 });
            Assert.True(together.Weight.narrow(0, c, 1).allclose(alone.Weight, 1e-5, 1e-6));
            Assert.True(together.Probabilities(x).select(1, c).allclose(alone.Probabilities(x).select(1, 1), 1e-5, 1e-6));
        }
    }

    [Fact]
    public void AConstantOffsetOfTheFeaturesChangesOnlyTheIntercept()
    {
        using var scope = NewDisposeScope();
        manual_seed(5);
        Tensor x = randn(60, 4, dtype: ScalarType.Float64);
        int[] labels = [.. Enumerable.Range(0, 60).Select(i => i % 2)];
        using LogisticRegression plain = LogisticRegression.Fit(x, labels), shifted = LogisticRegression.Fit(x + 1000, labels);
        Assert.True(shifted.Weight.allclose(plain.Weight, 1e-6, 1e-8));
        Assert.True(shifted.Probabilities(x + 1000).allclose(plain.Probabilities(x), 1e-6, 1e-8));
    }

    [Fact]
    public void RosenbrocksValleyIsDescended()
    {
        using var scope = NewDisposeScope();
        (Tensor best, double value, _) = Lbfgs.Minimize(
            x =>
            {
                double[] p = x.data<double>().ToArray();
                double a = 1 - p[0], b = p[1] - (p[0] * p[0]);
                return ((a * a) + (100 * b * b), tensor(new[] { (-2 * a) - (400 * p[0] * b), 200 * b }));
            },
            tensor(new[] { -1.2, 1.0 }), 500, 1e-10);
        Assert.InRange(value, 0, 1e-16);
        Assert.True(best.allclose(ones(2, dtype: ScalarType.Float64), 1e-7, 1e-7));
    }

    [Fact]
    public void NothingLeaks()
    {
        using var scope = NewDisposeScope();
        Tensor x = randn(40, 3);
        long before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        using (LogisticRegression fit = LogisticRegression.Fit(x, [.. Enumerable.Range(0, 40).Select(i => i % 2)]))
        {
            fit.Predict(x);
        }

        Assert.Equal(before, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    [Fact]
    public void BadInputIsNamed()
    {
        using var scope = NewDisposeScope();
        Assert.Contains("two classes", Assert.Throws<DinoSharpException>(() => LogisticRegression.Fit(randn(3, 2), [0, 0, 0])).Message);
        Assert.Contains("not finite", Assert.Throws<DinoSharpException>(() => LogisticRegression.Fit(full(2, 2, double.NaN), [0, 1])).Message);
        Assert.Contains("C must", Assert.Throws<DinoSharpException>(() => LogisticRegression.Fit(randn(2, 2), [0, 1], new() { C = 0 })).Message);
    }
}
