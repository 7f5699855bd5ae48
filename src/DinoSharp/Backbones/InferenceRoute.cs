namespace DinoSharp.Backbones;

/// <summary>How a backbone computes when nothing is trained.</summary>
/// <param name="Compute">The precision of the large matrix products; never <see cref="ComputeType.Auto"/>.</param>
/// <param name="Description">Which kernels, and why, in words.</param>
public sealed record InferenceRoute(ComputeType Compute, string Description);
