namespace DinoSharp;

/// <summary>The arithmetic of the large matrix products. Everything between them (norms, softmax, residuals) is float32 in any case.</summary>
public enum ComputeType
{
    /// <summary>32-bit floating point: what golden tests and published figures refer to.</summary>
    Float32,

    /// <summary>16-bit brain floating point with float32 sums. Features differ from float32 by less than 1.5 % (relative error), typically 0.3–1 %.</summary>
    BFloat16,

    /// <summary>8-bit integers: weights scaled per output channel at load, activations per token while computing. How much is lost depends on the weights; <see cref="Auto"/> checks it.</summary>
    Int8,

    /// <summary>
    /// The fastest of the others on this machine whose features stay within a relative error of 1.5e-2 and a cosine of 0.9995 per token of float32, checked on a probe picture with the
    /// weights at hand; never slower than <see cref="Float32"/>. The first load on a machine measures for a moment and remembers the choice.
    /// </summary>
    Auto,
}
