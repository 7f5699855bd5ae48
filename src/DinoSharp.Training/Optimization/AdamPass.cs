using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DinoSharp.Inference;
using static TorchSharp.torch;

namespace DinoSharp.Training.Optimization;

/// <summary>The factors of one update of Adam with decoupled weight decay, for the tensors that share them.</summary>
/// <param name="Beta1">Decay of the first moment.</param>
/// <param name="Beta2">Decay of the second moment.</param>
/// <param name="Keep">Factor on the weights: 1 - rate · decay.</param>
/// <param name="Rate">Learning rate over the correction of the first moment.</param>
/// <param name="Root">Root of the correction of the second moment.</param>
/// <param name="Epsilon">Added to the denominator.</param>
internal readonly record struct AdamFactors(double Beta1, double Beta2, double Keep, double Rate, double Root, double Epsilon);

/// <summary>Updates on the processor in one pass over the memory, 28 bytes a weight, where libtorch's operations go over it nine times.</summary>
/// <remarks>Every number is computed alone and in the same order, whatever the width of a vector and the number of threads, so a run that goes on elsewhere has the same bits.</remarks>
internal sealed unsafe class AdamPass
{
    private const int Chunk = 1 << 14; // numbers that a thread takes at a time
    private const long Most = int.MaxValue / sizeof(float); // TorchSharp shows the memory of a tensor as one span

    private readonly List<Piece> _pieces = [];

    /// <summary>Whether a tensor can be updated here; libtorch does the others.</summary>
    public static bool Takes(Tensor parameter, Tensor gradient) => Vector.IsHardwareAccelerated && parameter.device_type == TorchSharp.DeviceType.CPU && parameter.dtype == ScalarType.Float32
        && gradient.dtype == ScalarType.Float32 && parameter.is_contiguous() && gradient.is_contiguous() && parameter.numel() is > 0 and <= Most;

    /// <summary>Notes a tensor; all must stay alive until <see cref="Run"/>.</summary>
    public void Add(Tensor parameter, Tensor gradient, Tensor first, Tensor second, AdamFactors factors)
    {
        float* p = Start(parameter), g = Start(gradient), m = Start(first), v = Start(second);
        long count = parameter.numel();
        for (long from = 0; from < count; from += Chunk) _pieces.Add(new Piece((nint)(p + from), (nint)(g + from), (nint)(m + from), (nint)(v + from), (int)Math.Min(Chunk, count - from), factors));
    }

    /// <summary>Updates all tensors that were noted.</summary>
    public void Run()
    {
        if (_pieces.Count == 0) return;
        lock (Workers.Shared.Turn) Workers.Shared.Phase(_pieces.Count, i => Update(_pieces[i]));
        _pieces.Clear();
    }

    private static float* Start(Tensor tensor) => (float*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(tensor.bytes)); // libtorch's memory does not move

    [MethodImpl(Kernels.Hot)]
    private static void Update(Piece piece)
    {
        float* p = (float*)piece.Parameter, g = (float*)piece.Gradient, m = (float*)piece.First, v = (float*)piece.Second;
        AdamFactors f = piece.Factors;
        (float b1, float c1, float b2, float c2) = ((float)f.Beta1, (float)(1 - f.Beta1), (float)f.Beta2, (float)(1 - f.Beta2));
        (float keep, float rate, float root, float epsilon) = ((float)f.Keep, (float)f.Rate, (float)f.Root, (float)f.Epsilon);
        Vector<float> roots = new(root), epsilons = new(epsilon);
        int i = 0;
        for (; i <= piece.Count - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector<float> gradient = Vector.Load(g + i);
            Vector<float> first = (Vector.Load(m + i) * b1) + (gradient * c1);
            Vector<float> second = (Vector.Load(v + i) * b2) + (gradient * gradient * c2);
            Vector.Store(first, m + i);
            Vector.Store(second, v + i);
            Vector.Store((Vector.Load(p + i) * keep) - (first / ((Vector.SquareRoot(second) / roots) + epsilons) * rate), p + i);
        }

        for (; i < piece.Count; i++)
        {
            m[i] = (m[i] * b1) + (g[i] * c1);
            v[i] = (v[i] * b2) + (g[i] * g[i] * c2);
            p[i] = (p[i] * keep) - (m[i] / ((MathF.Sqrt(v[i]) / root) + epsilon) * rate);
        }
    }

    private readonly record struct Piece(nint Parameter, nint Gradient, nint First, nint Second, int Count, AdamFactors Factors);
}
