using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace DinoSharp.Inference;

/// <summary>Which kernels of ours this processor can run.</summary>
internal static class Kernels
{
    /// <summary>For methods in which the time goes: compiled in full before their first run, because a program that embeds one picture never reaches the second tier.</summary>
    public const MethodImplOptions Hot = MethodImplOptions.AggressiveOptimization;

    /// <summary>Whether there are kernels for a precision.</summary>
    /// <param name="type">Not <see cref="ComputeType.Auto"/>.</param>
    /// <param name="words">The instruction sets in use, or what is missing.</param>
    public static bool Has(ComputeType type, out string words) => Has(type, false, out words);

    /// <summary>The same, or whether there is <see cref="MatrixLibrary"/> for the linear layers.</summary>
    public static bool Has(ComputeType type, bool library, out string words)
    {
        bool wide = AreWide(type, library);
        words = type switch
        {
            _ when !Lanes256.IsSupported => "this processor has neither AVX2 nor AVX-512",
            ComputeType.Float32 => wide ? "AVX-512" : "AVX2",
            ComputeType.BFloat16 when library => MatrixLibrary.IsThere ? "linear layers by MKL in bfloat16" : "this libtorch has no bfloat16 product of MKL",
            ComputeType.BFloat16 => wide ? "AVX-512 BF16" : DotCode.Missing("AVX-512 BF16"),
            ComputeType.Int8 when wide => DotCode.SupportsHalves ? "AVX-512 VNNI, attention AVX-512 BF16" : "AVX-512 VNNI, attention float32",
            ComputeType.Int8 => DotTile<Lanes256, Vector256<float>>.SumsPairsIn16Bits ? "AVX2 with pairs of products in 16 bits, attention float32" : "AVX-VNNI, attention float32",
            _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
        };
        return Lanes256.IsSupported && (type != ComputeType.BFloat16 || (library ? MatrixLibrary.IsThere : wide));
    }

    /// <summary>The instruction sets in use, or what is missing.</summary>
    public static string Words(ComputeType type, bool library = false)
    {
        Has(type, library, out string words);
        return words;
    }

    /// <summary>The precision of the feed-forward layers of each block. Bytes lose most there; where a network is over the limits in bytes alone, some blocks take
    /// bfloat16 (float32 where there are no kernels for that).</summary>
    /// <param name="type">Precision of the network.</param>
    /// <param name="better">From <see cref="Better{L,V}"/>.</param>
    /// <param name="blocks">How many blocks.</param>
    /// <param name="exact">With <see cref="ComputeType.Int8"/>: how many of them, spread evenly, are to be more exact.</param>
    public static ComputeType[] OfBlocks(ComputeType type, ComputeType better, int blocks, int exact) =>
        [.. Enumerable.Range(0, blocks).Select(i => (long)i * exact % blocks < exact ? better : type)];

    /// <summary>For layers in which bytes lose too much: bfloat16, or float32 where there are no kernels for that. The precision itself if it is not bytes.</summary>
    /// <typeparam name="L">The lanes.</typeparam>
    /// <typeparam name="V">The vector type.</typeparam>
    public static ComputeType Better<L, V>(ComputeType type)
        where L : struct, ILanes<V>
        where V : struct => type != ComputeType.Int8 ? type : DotTile<L, V>.SupportsHalves ? ComputeType.BFloat16 : ComputeType.Float32;

    /// <summary>Compiles what a vision transformer in float32 runs, so that it need not happen between two steps of the first picture: all methods of its classes, because code
    /// over wide vectors is not compiled ahead of time.</summary>
    public static void Compile()
    {
        if (!Lanes256.IsSupported) return;
        (Type lanes, Type vector) = AreWide(ComputeType.Float32) ? (typeof(Lanes512), typeof(Vector512<float>)) : (typeof(Lanes256), typeof(Vector256<float>));
        foreach (Type open in (Type[])[typeof(VisionTransformerEngine<,>), typeof(PanelOperations<,>), typeof(Tile<,>), typeof(PanelAttention<,>), typeof(Operand<,>)])
        {
            foreach (Type part in (Type[])[open, .. open.GetNestedTypes(BindingFlags.NonPublic)])
            {
                Type closed = part.MakeGenericType(lanes, vector);
                foreach (MethodInfo method in closed.GetMethods(BindingFlags.DeclaredOnly | BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic))
                {
                    if (!method.IsGenericMethodDefinition && !method.IsAbstract)
                        RuntimeHelpers.PrepareMethod(method.MethodHandle, [lanes.TypeHandle, vector.TypeHandle]);
                }
            }
        }
    }

    /// <summary>Whether the kernels work on 512 bits.</summary>
    public static bool AreWide(ComputeType type, bool library = false) => Lanes512.IsSupported && type switch
    {
        ComputeType.BFloat16 when library => true,
        ComputeType.BFloat16 => DotCode.SupportsHalves,
        ComputeType.Int8 => DotCode.SupportsBytes,
        _ => true,
    };
}
