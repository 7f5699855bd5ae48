using DinoSharp.Inference;

namespace DinoSharp.Diagnostics;

/// <summary>What computes a vision transformer on this machine.</summary>
/// <param name="Float32">Kernels of ours, or why libtorch computes.</param>
/// <param name="BFloat16">Kernels of ours, or what is missing (libtorch computes then).</param>
/// <param name="Int8">Kernels of ours, or what is missing (refused then).</param>
/// <param name="Chosen">What auto has chosen on this machine so far, with the reason; the latest last.</param>
/// <param name="Path">The file of these choices.</param>
internal sealed record ComputeRoutes(string Float32, string BFloat16, string Int8, IReadOnlyList<string> Chosen, string Path)
{
    /// <summary>Looks at the processor and at the choices kept from earlier loads.</summary>
    public static ComputeRoutes Inspect() =>
        new(Describe(ComputeType.Float32), Describe(ComputeType.BFloat16), Describe(ComputeType.Int8), Libtorch.LoadError() is null ? [.. RouteMemory.OfUser().OfThisMachine().Select(choice => $"{choice.Network}: {choice.Words}")] : [], RouteMemory.OfUser().Path);

    private static string Describe(ComputeType type) => Kernels.Has(type, out string words) ? $"own kernels, {words}" : type == ComputeType.Int8 ? $"none: {words}" : $"libtorch: {words}";
}
