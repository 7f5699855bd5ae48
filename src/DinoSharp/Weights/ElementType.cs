using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>Number format of the elements of a stored tensor.</summary>
public enum ElementType
{
    /// <summary>IEEE double precision.</summary>
    Float64,

    /// <summary>IEEE single precision.</summary>
    Float32,

    /// <summary>IEEE half precision.</summary>
    Float16,

    /// <summary>The upper half of a <see cref="Float32"/>.</summary>
    BFloat16,

    /// <summary>Signed, 8 bytes.</summary>
    Int64,

    /// <summary>Signed, 4 bytes.</summary>
    Int32,

    /// <summary>Signed, 2 bytes.</summary>
    Int16,

    /// <summary>Signed, 1 byte.</summary>
    Int8,

    /// <summary>Unsigned, 1 byte.</summary>
    UInt8,

    /// <summary>One byte, 0 or 1.</summary>
    Bool,

    /// <summary>Unsigned, 2 bytes. Listed, but TorchSharp has no tensor of this type.</summary>
    UInt16,

    /// <summary>Unsigned, 4 bytes. Listed, but TorchSharp has no tensor of this type.</summary>
    UInt32,

    /// <summary>Unsigned, 8 bytes. Listed, but TorchSharp has no tensor of this type.</summary>
    UInt64,

    /// <summary>8-bit float, 4 exponent bits. Listed, but TorchSharp has no tensor of this type.</summary>
    Float8E4M3,

    /// <summary>8-bit float, 5 exponent bits. Listed, but TorchSharp has no tensor of this type.</summary>
    Float8E5M2,
}

/// <summary>Sizes and names of <see cref="ElementType"/>.</summary>
internal static class ElementTypes
{
    private static readonly (ElementType Type, string Safetensors, int Bytes, ScalarType? Scalar)[] Table =
    [
        (ElementType.Float64, "F64", 8, ScalarType.Float64),
        (ElementType.Float32, "F32", 4, ScalarType.Float32),
        (ElementType.Float16, "F16", 2, ScalarType.Float16),
        (ElementType.BFloat16, "BF16", 2, ScalarType.BFloat16),
        (ElementType.Int64, "I64", 8, ScalarType.Int64),
        (ElementType.Int32, "I32", 4, ScalarType.Int32),
        (ElementType.Int16, "I16", 2, ScalarType.Int16),
        (ElementType.Int8, "I8", 1, ScalarType.Int8),
        (ElementType.UInt8, "U8", 1, ScalarType.Byte),
        (ElementType.Bool, "BOOL", 1, ScalarType.Bool),
        (ElementType.UInt16, "U16", 2, null),
        (ElementType.UInt32, "U32", 4, null),
        (ElementType.UInt64, "U64", 8, null),
        (ElementType.Float8E4M3, "F8_E4M3", 1, null),
        (ElementType.Float8E5M2, "F8_E5M2", 1, null),
    ];

    /// <summary>All names of the safetensors format that are known here, for messages.</summary>
    public static string SafetensorsNames { get; } = string.Join(", ", Table.Select(row => row.Safetensors));

    public static int Bytes(this ElementType type) => Table[(int)type].Bytes;

    public static string SafetensorsName(this ElementType type) => Table[(int)type].Safetensors;

    /// <summary>The tensor type, or null if TorchSharp has none.</summary>
    public static ScalarType? Scalar(this ElementType type) => Table[(int)type].Scalar;

    public static bool IsFloat(this ElementType type) =>
        type is ElementType.Float64 or ElementType.Float32 or ElementType.Float16 or ElementType.BFloat16;

    public static bool TryParseSafetensors(string name, out ElementType type)
    {
        int row = Array.FindIndex(Table, row => row.Safetensors == name);
        type = row < 0 ? default : Table[row].Type;
        return row >= 0;
    }

    public static ElementType Of(ScalarType scalar)
    {
        int row = Array.FindIndex(Table, row => row.Scalar == scalar);
        return row >= 0
            ? Table[row].Type
            : throw new ArgumentException($"a tensor of type {scalar} cannot be stored; convert it to one of {SafetensorsNames}", nameof(scalar));
    }
}
