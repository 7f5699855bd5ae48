namespace DinoSharp.Weights;

/// <summary>What a permitted global may do when it is called.</summary>
internal enum PickleGlobalKind
{
    OrderedDictionary,
    RebuildTensor,
    RebuildTensorV2,
    RebuildTensorV3,
    RebuildParameter,
    RebuildFromType,

    /// <summary>A storage class: names an element type.</summary>
    Storage,

    /// <summary>A dtype: names an element type.</summary>
    DataType,

    /// <summary>A tensor class; only an argument of <see cref="RebuildFromType"/>.</summary>
    TensorClass,

    Size,

    /// <summary>Harmless data of other programs beside the weights; becomes a placeholder.</summary>
    Inert,
}

/// <summary>
/// Every global name that a <c>.pth</c> file may mention; any other ends the reading. The first group is what tensors need, the second
/// is what training programs put beside them, kept as placeholders. No name is ever resolved to code.
/// </summary>
internal static class PickleGlobals
{
    private static readonly (string Storage, string DataTypes, ElementType Type)[] Types =
    [
        ("Double", "float64 double", ElementType.Float64),
        ("Float", "float32 float", ElementType.Float32),
        ("Half", "float16 half", ElementType.Float16),
        ("BFloat16", "bfloat16", ElementType.BFloat16),
        ("Long", "int64 long", ElementType.Int64),
        ("Int", "int32 int", ElementType.Int32),
        ("Short", "int16 short", ElementType.Int16),
        ("Char", "int8", ElementType.Int8),
        ("Byte", "uint8", ElementType.UInt8),
        ("Bool", "bool", ElementType.Bool),
        ("", "uint16", ElementType.UInt16),
        ("", "uint32", ElementType.UInt32),
        ("", "uint64", ElementType.UInt64),
        ("", "float8_e4m3fn", ElementType.Float8E4M3),
        ("", "float8_e5m2", ElementType.Float8E5M2),
    ];

    private static readonly Dictionary<string, PickleGlobal> Table = Build();

    public static PickleGlobal? Find(string module, string name) => Table.GetValueOrDefault($"{module} {name}");

    private static Dictionary<string, PickleGlobal> Build()
    {
        var table = new Dictionary<string, PickleGlobal>(StringComparer.Ordinal);
        void Add(PickleGlobalKind kind, params ReadOnlySpan<string> names)
        {
            foreach (string name in names) table.Add(name, new PickleGlobal(name, kind));
        }

        Add(PickleGlobalKind.OrderedDictionary, "collections OrderedDict");
        Add(PickleGlobalKind.RebuildTensor, "torch._utils _rebuild_tensor");
        Add(PickleGlobalKind.RebuildTensorV2, "torch._utils _rebuild_tensor_v2");
        Add(PickleGlobalKind.RebuildTensorV3, "torch._utils _rebuild_tensor_v3");
        Add(PickleGlobalKind.RebuildParameter, "torch._utils _rebuild_parameter", "torch._utils _rebuild_parameter_with_state");
        Add(PickleGlobalKind.RebuildFromType, "torch._tensor _rebuild_from_type_v2");
        Add(PickleGlobalKind.TensorClass, "torch Tensor", "torch.nn.parameter Parameter");
        Add(PickleGlobalKind.Size, "torch Size");
        table.Add("torch.storage UntypedStorage", new PickleGlobal("torch.storage UntypedStorage", PickleGlobalKind.Storage));
        foreach ((string storage, string dtypes, ElementType type) in Types)
        {
            if (storage.Length > 0) table.Add($"torch {storage}Storage", new PickleGlobal($"torch {storage}Storage", PickleGlobalKind.Storage, type));
            foreach (string dtype in dtypes.Split(' '))
                table.Add($"torch {dtype}", new PickleGlobal($"torch {dtype}", PickleGlobalKind.DataType, type));
        }

        Add(
            PickleGlobalKind.Inert,
            "torch device",
            "_codecs encode",
            "__builtin__ set",
            "__builtin__ list",
            "__builtin__ dict",
            "__builtin__ int",
            "__builtin__ bytearray",
            "__builtin__ complex",
            "collections defaultdict");
        Add(
            PickleGlobalKind.Inert,
            "argparse Namespace",
            "pathlib PosixPath",
            "pathlib WindowsPath",
            "pathlib PurePosixPath",
            "datetime datetime",
            "datetime timedelta",
            "typing Any");
        Add(
            PickleGlobalKind.Inert,
            "numpy dtype",
            "numpy ndarray",
            "numpy.core.multiarray scalar",
            "numpy.core.multiarray _reconstruct",
            "numpy._core.multiarray scalar",
            "numpy._core.multiarray _reconstruct");
        Add(
            PickleGlobalKind.Inert,
            "omegaconf.dictconfig DictConfig",
            "omegaconf.listconfig ListConfig",
            "omegaconf.nodes AnyNode",
            "omegaconf.base ContainerMetadata",
            "omegaconf.base Metadata");
        return table;
    }
}
