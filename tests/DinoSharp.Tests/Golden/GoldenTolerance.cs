using System.Text.Json;
using System.Text.RegularExpressions;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Outcome of comparing one tensor.</summary>
/// <param name="Name">Name of the golden tensor.</param>
/// <param name="Error">Largest absolute difference.</param>
/// <param name="Limit">What was allowed.</param>
/// <param name="Problem">Null if within all limits.</param>
/// <param name="Pattern">The override that applied; outliers are counted over all tensors of a call that share it.</param>
/// <param name="Outliers">Elements beyond the limit.</param>
/// <param name="Elements">All elements.</param>
/// <param name="MaxOutlierFraction">Share of outliers allowed over the pattern.</param>
internal sealed record GoldenComparison(string Name, double Error, double Limit, string? Problem, string Pattern = "", long Outliers = 0, long Elements = 0, double? MaxOutlierFraction = null);

/// <summary>The comparison rule of a case: <c>max|got - ref| &lt;= atol + rtol·max|ref|</c> per tensor, with overrides by name pattern.</summary>
internal sealed class GoldenTolerance
{
    private readonly Rule _default;
    private readonly List<(string Pattern, Regex Match, Rule Rule)> _overrides = [];

    public GoldenTolerance(JsonElement json)
    {
        _default = Rule.Read(json, new Rule());
        if (!json.TryGetProperty("overrides", out JsonElement overrides)) return;
        foreach (JsonProperty property in overrides.EnumerateObject())
        {
            var match = new Regex("^" + Regex.Escape(property.Name).Replace("\\*", ".*", StringComparison.Ordinal).Replace("\\?", ".", StringComparison.Ordinal) + "$", RegexOptions.Singleline);
            _overrides.Add((property.Name, match, Rule.Read(property.Value, _default)));
        }
    }

    public GoldenComparison Compare(string name, Tensor actual, Tensor expected)
    {
        (string pattern, _, Rule? rule) = _overrides.FirstOrDefault(o => o.Match.IsMatch(name));
        rule ??= _default;
        if (rule.Skip) return new GoldenComparison(name, 0, 0, null);
        if (!actual.shape.SequenceEqual(expected.shape))
        {
            return new GoldenComparison(name, double.PositiveInfinity, 0, $"shape [{string.Join(", ", actual.shape)}], expected [{string.Join(", ", expected.shape)}]");
        }

        using var scope = NewDisposeScope();
        if (expected.numel() == 0) return new GoldenComparison(name, 0, 0, null);
        bool exact = !expected.is_floating_point();
        Tensor got = actual.detach().cpu().to(ScalarType.Float64), want = expected.detach().to(ScalarType.Float64);
        if (rule.CompareAbsolute) (got, want) = (got.abs(), want.abs());
        string? problem = null;
        if (name.EndsWith("_nan", StringComparison.Ordinal))
        {
            if (!got.isnan().equal(want.isnan()).all().item<bool>()) problem = "NaN in other places than expected";
            (got, want) = (got.nan_to_num(), want.nan_to_num());
        }

        // Equal infinities are equal; anything else that is not finite shows as an infinite error.
        Tensor difference = where(got.eq(want), zeros_like(got), (got - want).abs()).nan_to_num(double.PositiveInfinity, double.PositiveInfinity);
        Tensor finite = where(want.isfinite(), want, zeros_like(want));
        double error = difference.max().item<double>();
        double limit = exact && pattern is null ? 0 : rule.Atol + rule.Rtol * finite.abs().max().item<double>();
        long elements = difference.numel();
        long outliers = difference.gt(limit).sum().item<long>();
        if (rule.MaxUnequalFraction is double unequal && difference.ne(0).sum().item<long>() > unequal * elements)
        {
            problem ??= $"{difference.ne(0).sum().item<long>()} of {elements} elements differ, allowed {unequal:P2}";
        }

        if (rule.MaxMeanAbs is double mean && difference.mean().item<double>() > mean) problem ??= $"mean difference {difference.mean().item<double>():g3}, allowed {mean:g3}";
        if (outliers > 0 && rule.MaxOutlierFraction is null) problem ??= $"error {error:g3}, allowed {limit:g3} ({outliers} of {elements} elements beyond)";
        return new GoldenComparison(name, error, limit, problem, pattern ?? "", outliers, elements, rule.MaxOutlierFraction);
    }

    /// <summary>Problems that show only over several tensors: the share of outliers that a pattern allows in one call.</summary>
    public static IEnumerable<string> SharedProblems(GoldenCall call) =>
        from c in call.Comparisons
        where c.MaxOutlierFraction is not null
        group c by c.Pattern into g
        let outliers = g.Sum(c => c.Outliers)
        let elements = g.Sum(c => c.Elements)
        where outliers > g.First().MaxOutlierFraction!.Value * elements
        select $"{call.Id}: {outliers} of {elements} elements of {g.Key} beyond the limit, allowed {g.First().MaxOutlierFraction!.Value:P2}; worst {g.MaxBy(c => c.Error)!.Name} {g.Max(c => c.Error):g3}";

    private sealed record Rule
    {
        public double Atol { get; init; }

        public double Rtol { get; init; }

        public double? MaxUnequalFraction { get; init; }

        public double? MaxOutlierFraction { get; init; }

        public double? MaxMeanAbs { get; init; }

        public bool CompareAbsolute { get; init; }

        public bool Skip { get; init; }

        public static Rule Read(JsonElement json, Rule otherwise) => otherwise with
        {
            Atol = Number(json, "atol") ?? otherwise.Atol,
            Rtol = Number(json, "rtol") ?? otherwise.Rtol,
            MaxUnequalFraction = Number(json, "max_unequal_fraction") ?? otherwise.MaxUnequalFraction,
            MaxOutlierFraction = Number(json, "max_outlier_fraction") ?? otherwise.MaxOutlierFraction,
            MaxMeanAbs = Number(json, "max_mean_abs") ?? otherwise.MaxMeanAbs,
            CompareAbsolute = Is(json, "compare_abs") || otherwise.CompareAbsolute,
            Skip = Is(json, "skip") || otherwise.Skip,
        };

        private static double? Number(JsonElement json, string name) => json.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;

        private static bool Is(JsonElement json, string name) => json.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;
    }
}
