using static TorchSharp.torch;

namespace DinoSharp.Features.Discovery;

/// <summary>The relaxed normalised cut of a graph (Shi and Malik 2000): the eigenvector of the second smallest eigenvalue of (D − W)·x = λ·D·x.</summary>
internal static class SecondEigenvector
{
    private const int Steps = 60, MaxRestarts = 8;
    private const double Tolerance = 1e-6;

    /// <summary>Finds it by Lanczos iterations on D^−½·W·D^−½, whose largest eigenvector D^½·1 is known and taken out.</summary>
    /// <param name="weights">Symmetric, all above 0; float32. [P, P]</param>
    /// <returns>[P] float32; its sign is arbitrary.</returns>
    public static Tensor Find(Tensor weights)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        long count = weights.shape[0];
        Tensor scale = weights.sum([1]).rsqrt(); // [P]
        Tensor first = nn.functional.normalize(scale.reciprocal(), dim: 0); // [P]
        Tensor start = nn.functional.normalize(WithoutFirst(arange(Num(0), Num(count), Num(1), dtype: ScalarType.Float32).mul(Num(0.7548777)).frac() - Num(0.5)), dim: 0); // any vector that is no symmetry of the graph
        for (int restart = 0; restart < MaxRestarts; restart++)
        {
            using var round = NewDisposeScope();
            (Tensor ritz, double residual) = Lanczos(start, (int)Math.Min(Steps, count - 1));
            start.Dispose();
            start = ritz.MoveToOuterDisposeScope();
            if (residual < Tolerance) break;
        }

        return (start * scale).MoveToOuterDisposeScope();

        Tensor WithoutFirst(Tensor x) => x - (first * first.dot(x));

        Tensor Apply(Tensor x) => WithoutFirst(weights.mv(x * scale) * scale); // [P]

        // The best approximation of the largest eigenvector in the space of `steps` powers, and how far it is from being one.
        (Tensor Ritz, double Residual) Lanczos(Tensor from, int steps)
        {
            using var inner = NewDisposeScope();
            var basis = new List<Tensor> { from };
            (var diagonal, var off) = (new List<double>(), new List<double>());
            for (int step = 0; step < steps; step++)
            {
                Tensor next = Apply(basis[step]);
                diagonal.Add(next.dot(basis[step]).item<float>());
                Tensor all = stack(basis); // [steps, P]
                for (int twice = 0; twice < 2; twice++) next = next - all.t().mv(all.mv(next)); // float32 loses orthogonality otherwise
                double length = next.norm().item<float>();
                off.Add(length);
                if (step == steps - 1 || length < 1e-7) break;
                basis.Add(next / Num(length));
            }

            int size = diagonal.Count;
            double[] matrix = new double[size * size];
            for (int i = 0; i < size; i++)
            {
                matrix[(i * size) + i] = diagonal[i];
                if (i + 1 < size) matrix[(i * size) + i + 1] = matrix[((i + 1) * size) + i] = off[i];
            }

            (_, Tensor vectors) = linalg.eigh(tensor(matrix, [size, size])); // ascending
            Tensor top = vectors.select(1, size - 1); // [steps]
            Tensor ritz = nn.functional.normalize(stack(basis).t().mv(top.to(ScalarType.Float32)), dim: 0); // [P]
            return (ritz.MoveToOuterDisposeScope(), off[size - 1] * Math.Abs(top[size - 1].item<double>()));
        }
    }
}
