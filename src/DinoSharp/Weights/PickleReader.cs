using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace DinoSharp.Weights;

/// <summary>
/// Reads the pickles of <c>torch.save</c> (protocol 2) without executing anything: a fixed set of opcodes builds dictionaries, lists,
/// tuples, numbers and texts, and the few permitted globals build descriptions of tensors. Anything else is refused by name. The number
/// of steps is limited, which bounds time and memory.
/// </summary>
internal ref struct PickleReader
{
    /// <summary>Most steps one pickle may take; a state dict of the 7B model takes about 20 thousand.</summary>
    private const int MaxSteps = 2_000_000;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly ReadOnlySpan<byte> _data;
    private readonly string _path;
    private readonly Dictionary<string, PickleStorage> _storages;
    private readonly List<object?> _stack = [];
    private readonly List<int> _marks = [];
    private readonly Dictionary<uint, object?> _memo = [];
    private int _position;
    private int _steps;

    /// <param name="data">The pickle, and possibly bytes after it.</param>
    /// <param name="path">The file, for messages.</param>
    /// <param name="storages">Receives the storages that the pickle refers to, by key.</param>
    public PickleReader(ReadOnlySpan<byte> data, string path, Dictionary<string, PickleStorage> storages)
    {
        _data = data;
        _path = path;
        _storages = storages;
    }

    /// <summary>Bytes used so far.</summary>
    public readonly int Position => _position;

    /// <summary>Reads one pickle, up to and including STOP.</summary>
    public object? Read()
    {
        while (true)
        {
            Count(1);
            int at = _position;
            byte code = Take(1)[0];
            switch (code)
            {
                case 0x80: // PROTO
                    byte protocol = Take(1)[0];
                    if (protocol > 2)
                        throw Refused($"pickle protocol {protocol}, torch.save writes 2; save the file again with torch.save's default protocol");
                    break;
                case (byte)'.': // STOP
                    if (_stack.Count != 1 || _marks.Count != 0)
                        throw Damaged($"the pickle stops at byte {at} with {_stack.Count} values left instead of one");
                    return _stack[0];
                case (byte)'(': _marks.Add(_stack.Count); break;
                case (byte)'q': _memo[Take(1)[0]] = Top(); break; // BINPUT
                case (byte)'r': _memo[TakeUInt32()] = Top(); break; // LONG_BINPUT
                case (byte)'h': Push(Recall(Take(1)[0])); break; // BINGET
                case (byte)'j': Push(Recall(TakeUInt32())); break; // LONG_BINGET
                case (byte)'N': Push(null); break;
                case 0x88: Push(true); break;
                case 0x89: Push(false); break;
                case (byte)'J': Push((long)BinaryPrimitives.ReadInt32LittleEndian(Take(4))); break; // BININT
                case (byte)'K': Push((long)Take(1)[0]); break; // BININT1
                case (byte)'M': Push((long)BinaryPrimitives.ReadUInt16LittleEndian(Take(2))); break; // BININT2
                case 0x8A: Push(Integer(Take(Take(1)[0]))); break; // LONG1
                case (byte)'G': Push(BinaryPrimitives.ReadDoubleBigEndian(Take(8))); break; // BINFLOAT
                case (byte)'X': Push(Text(Take(TakeUInt32()))); break; // BINUNICODE
                case 0x8C: Push(Text(Take(Take(1)[0]))); break; // SHORT_BINUNICODE
                case (byte)'U': Push(Encoding.Latin1.GetString(Take(Take(1)[0]))); break; // SHORT_BINSTRING
                case (byte)'T': Push(Encoding.Latin1.GetString(Take(TakeUInt32()))); break; // BINSTRING
                case (byte)'C': Push(new PicklePlaceholder("bytes")); Take(Take(1)[0]); break; // SHORT_BINBYTES
                case (byte)')': Push(Array.Empty<object?>()); break;
                case 0x85: Push(PopMany(1)); break; // TUPLE1
                case 0x86: Push(PopMany(2)); break;
                case 0x87: Push(PopMany(3)); break;
                case (byte)'t': Push(PopToMark()); break; // TUPLE
                case (byte)'}': Push(new PickleDictionary()); break;
                case (byte)']': Push(new PickleList()); break;
                case 0x8F: Push(new PicklePlaceholder("set")); break; // EMPTY_SET
                case (byte)'s': SetItems(PopMany(2)); break; // SETITEM
                case (byte)'u': SetItems(PopToMark()); break; // SETITEMS
                case (byte)'a': Append(PopMany(1)); break; // APPEND
                case (byte)'e': Append(PopToMark()); break; // APPENDS
                case (byte)'c': Push(Global(Line(), Line())); break;
                case (byte)'Q': Push(Storage(Pop())); break; // BINPERSID
                case (byte)'R': Call(); break; // REDUCE
                case 0x81: Call(); break; // NEWOBJ: no permitted class makes a difference between the two
                case (byte)'b': Build(); break;
                default: throw Refused($"pickle opcode 0x{code:X2}{(code is > 32 and < 127 ? $" ('{(char)code}')" : "")} at byte {at}");
            }
        }
    }

    private void SetItems(object?[] items)
    {
        if (items.Length % 2 != 0) throw Damaged("a dictionary has a key without a value");
        if (Top() is PicklePlaceholder) return;
        PickleDictionary dictionary = Top() as PickleDictionary ?? throw Damaged("items are set on something that is no dictionary");
        for (int i = 0; i < items.Length; i += 2) dictionary.Items.Add((items[i], items[i + 1]));
    }

    private readonly void Append(object?[] items)
    {
        if (Top() is PicklePlaceholder) return;
        PickleList list = Top() as PickleList ?? throw Damaged("items are appended to something that is no list");
        list.Items.AddRange(items);
    }

    private readonly PickleGlobal Global(string module, string name) =>
        PickleGlobals.Find(module, name)
            ?? throw Refused($"the Python object '{module}.{name}', which tensors do not need; save only the state dict (names and tensors) and try again");

    private void Call()
    {
        object? arguments = Pop();
        object? callable = Pop();
        if (callable is PicklePlaceholder placeholder)
        {
            Push(placeholder);
            return;
        }

        PickleGlobal function = callable as PickleGlobal ?? throw Damaged("something that is no function is called");
        object?[] values = arguments as object?[] ?? throw Damaged($"'{function.Name}' is called without an argument tuple");
        Push(Apply(function, values));
    }

    private object? Apply(PickleGlobal function, object?[] values) => function.Kind switch
    {
        PickleGlobalKind.OrderedDictionary => OrderedDictionary(values),
        PickleGlobalKind.RebuildTensor when values.Length == 4 => Tensor(values, storageType: null),
        PickleGlobalKind.RebuildTensorV2 when values.Length is 6 or 7 => Tensor(values, storageType: null, metadata: values.ElementAtOrDefault(6)),
        PickleGlobalKind.RebuildTensorV3 when values.Length is 7 or 8
            && values[6] is PickleGlobal { Kind: PickleGlobalKind.DataType } dtype => Tensor(values, dtype.Type, values.ElementAtOrDefault(7)),
        PickleGlobalKind.RebuildParameter when values.Length is 3 or 4 => values[0] as PickleTensor
            ?? throw Damaged($"'{function.Name}' is called with something that is no tensor"),
        PickleGlobalKind.RebuildFromType => FromType(values),
        PickleGlobalKind.Size when values is [object?[]] => values[0],
        PickleGlobalKind.Inert => new PicklePlaceholder(function.Name),
        _ => throw Refused($"a call of '{function.Name}' with {values.Length} arguments of unexpected kinds"),
    };

    private PickleDictionary OrderedDictionary(object?[] values)
    {
        var dictionary = new PickleDictionary();
        if (values.Length == 0) return dictionary;
        if (values is not [PickleList pairs]) throw Damaged("an OrderedDict is made from something that is no list of pairs");
        Count(pairs.Items.Count);
        foreach (object? pair in pairs.Items)
        {
            dictionary.Items.Add(pair switch
            {
                object?[] { Length: 2 } tuple => (tuple[0], tuple[1]),
                PickleList { Items: { Count: 2 } list } => (list[0], list[1]),
                _ => throw Damaged("an OrderedDict is made from something that is no list of pairs"),
            });
        }

        return dictionary;
    }

    private object? FromType(object?[] values)
    {
        if (values is [PickleGlobal function, PickleGlobal { Kind: PickleGlobalKind.TensorClass }, object?[] arguments, _]
            && function.Kind is not (PickleGlobalKind.Inert or PickleGlobalKind.RebuildFromType))
        {
            return Apply(function, arguments) as PickleTensor ?? throw Damaged("_rebuild_from_type_v2 does not make a tensor");
        }

        throw Refused("a call of 'torch._tensor._rebuild_from_type_v2' for anything but a plain tensor");
    }

    private readonly PickleTensor Tensor(object?[] values, ElementType? storageType, object? metadata = null)
    {
        if (values[0] is not PickleStorage storage) throw Damaged($"a tensor is made from {Describe(values[0])} instead of a storage");
        if (values[1] is not long offset) throw Damaged("a tensor has an offset that is no whole number");
        long[] shape = Numbers(values[2], "shape"), strides = Numbers(values[3], "strides");
        if (storageType is null == storage.Type is null) throw Damaged("a tensor and its storage do not agree on an element type");
        if (metadata is PickleDictionary { IsEmpty: false })
            throw Refused("a tensor with a lazy conjugate or negative bit; call resolve_conj() and resolve_neg() before saving");
        return new PickleTensor(storage, (storageType ?? storage.Type)!.Value, offset, shape, strides);
    }

    private readonly long[] Numbers(object? value, string what)
    {
        if (value is not object?[] { Length: <= 64 } items) throw Damaged($"a tensor has {what} that are no tuple of at most 64 numbers");
        var numbers = new long[items.Length];
        for (int i = 0; i < items.Length; i++)
            numbers[i] = items[i] is long number ? number : throw Damaged($"a tensor has {what} that are no whole numbers");
        return numbers;
    }

    private readonly PickleStorage Storage(object? id)
    {
        if (id is object?[] tuple && tuple is ["module", ..]) throw Refused("a pickled module (torch.save(model)); save model.state_dict() instead");
        if (id is not object?[] { Length: 5 or 6 } values
            || values is not ["storage", PickleGlobal { Kind: PickleGlobalKind.Storage } type, string key, _, long count, ..]
            || count < 0)
        {
            throw Refused("a persistent id that is no storage");
        }

        var storage = new PickleStorage(key, type.Type, count, 0, count);
        if (!_storages.TryAdd(key, storage) && (_storages[key].Type != type.Type || _storages[key].Count != count))
            throw Damaged($"storage '{key}' is described in two ways");
        if (values.ElementAtOrDefault(5) is not { } view) return storage;
        if (view is not object?[] slice || slice is not [string, long first, long length])
            throw Damaged($"storage '{key}' has a view that is no (key, offset, size)");
        if (first < 0 || length < 0 || first > count - length)
            throw Damaged($"storage '{key}' has a view of elements {first} to {first + length} of {count}");
        return storage with { First = first, Slice = length };
    }

    private void Build()
    {
        Pop();
        if (Top() is not (PickleDictionary or PicklePlaceholder)) throw Refused($"state set on {Describe(Top())}");
    }

    private static string Describe(object? value) => value switch
    {
        null => "None",
        PicklePlaceholder placeholder => $"an object of '{placeholder.Name}'",
        PickleGlobal global => $"'{global.Name}'",
        PickleTensor => "a tensor",
        PickleStorage => "a storage",
        PickleDictionary => "a dictionary",
        PickleList => "a list",
        object?[] => "a tuple",
        _ => $"the value {value}",
    };

    private static object Integer(ReadOnlySpan<byte> bytes)
    {
        var value = new BigInteger(bytes);
        return value >= long.MinValue && value <= long.MaxValue ? (object)(long)value : value;
    }

    private readonly string Text(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return StrictUtf8.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            throw Damaged("a text is no valid UTF-8");
        }
    }

    private string Line()
    {
        ReadOnlySpan<byte> rest = _data[_position..];
        int end = rest[..Math.Min(rest.Length, 1000)].IndexOf((byte)'\n');
        return end >= 0 ? Text(Take(end + 1)[..end]) : throw Damaged("the name of a global does not end");
    }

    private readonly object? Recall(uint index) =>
        _memo.TryGetValue(index, out object? value) ? value : throw Damaged($"value {index} is used before it was made");

    private ReadOnlySpan<byte> Take(uint count)
    {
        if (count > _data.Length - _position) throw Damaged($"the pickle ends in the middle, at byte {_data.Length}: truncated?");
        _position += (int)count;
        return _data.Slice(_position - (int)count, (int)count);
    }

    private ReadOnlySpan<byte> Take(int count) => Take((uint)count);

    private uint TakeUInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4));

    private readonly void Push(object? value) => _stack.Add(value);

    private void Count(int steps)
    {
        _steps += steps;
        if (_steps > MaxSteps) throw Refused($"a pickle of more than {MaxSteps} steps");
    }

    private readonly object? Top() => _stack.Count > Floor() ? _stack[^1] : throw Damaged("the pickle uses a value that is not there");

    private readonly object? Pop()
    {
        object? value = Top();
        _stack.RemoveAt(_stack.Count - 1);
        return value;
    }

    private readonly object?[] PopMany(int count)
    {
        if (_stack.Count - Floor() < count) throw Damaged("the pickle uses a value that is not there");
        object?[] values = _stack.GetRange(_stack.Count - count, count).ToArray();
        _stack.RemoveRange(_stack.Count - count, count);
        return values;
    }

    private readonly object?[] PopToMark()
    {
        if (_marks.Count == 0) throw Damaged("the pickle closes a group that was not opened");
        object?[] values = PopMany(_stack.Count - _marks[^1]);
        _marks.RemoveAt(_marks.Count - 1);
        return values;
    }

    private readonly int Floor() => _marks.Count == 0 ? 0 : _marks[^1];

    private readonly TensorFileException Refused(string what) => new(_path, $"refused: the file contains {what}. Nothing in it was executed.");

    private readonly TensorFileException Damaged(string problem) => new(_path, $"damaged pickle: {problem}");
}
