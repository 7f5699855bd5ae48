using System.IO.Compression;
using System.Runtime.InteropServices;
using DinoSharp.Weights;
using Xunit;
using static DinoSharp.Tests.Weights.TensorAssert;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Weights;

public sealed class PyTorchFileTests : IDisposable
{
    private static readonly byte[] SixFloats = MemoryMarshal.AsBytes<float>([0, 1, 2, 3, 4, 5]).ToArray();
    private readonly string _folder = Directory.CreateTempSubdirectory("dinosharp-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("ckpt_vit", "official_zip", "")]
    [InlineData("ckpt_vit", "official_legacy", "")]
    [InlineData("ckpt_vit", "parameters_zip", "")]
    [InlineData("ckpt_vit", "views_one_storage_zip", "")]
    [InlineData("ckpt_vit", "teacher_checkpoint", "teacher.backbone.")]
    [InlineData("ckpt_vit", "model_module_backbone", "model.module.backbone.")]
    [InlineData("ckpt_convnext", "official_zip", "")]
    [InlineData("ckpt_convnext", "official_legacy", "")]
    [InlineData("ckpt_convnext", "teacher_checkpoint", "teacher.backbone.")]
    public void Files_of_torch_save_hold_the_same_bytes_as_the_safetensors_file(string model, string name, string prefix)
    {
        using TensorFile expected = TensorFile.Open(Golden($"{model}.weights.safetensors"));
        using TensorFile actual = TensorFile.Open(Golden($"{model}.pth/{name}.pth"));
        Assert.Equal(name.Contains("legacy") ? TensorFileFormat.PyTorchLegacy : TensorFileFormat.PyTorchZip, actual.Format);
        Assert.All(expected.Entries.Keys, key => AssertRead(expected, key, actual, prefix + key));
        if (prefix.Length == 0) Assert.Equal(expected.Entries.Keys.Order(), actual.Entries.Keys.Order());
    }

    [Theory]
    [InlineData("bf16_zip", ScalarType.BFloat16)]
    [InlineData("fp16_zip", ScalarType.Float16)]
    public void Half_precision_files_hold_the_rounded_values(string name, ScalarType type)
    {
        using var scope = NewDisposeScope();
        using TensorFile expected = TensorFile.Open(Golden("ckpt_vit.weights.safetensors"));
        using TensorFile actual = TensorFile.Open(Golden($"ckpt_vit.pth/{name}.pth"));
        Assert.Equal(expected.Entries.Keys.Order(), actual.Entries.Keys.Order());
        Assert.All(expected.Entries.Keys, key => AssertSame(expected.Read(key).to(type), actual.Read(key)));
    }

    [Fact]
    public void Texts_and_numbers_beside_the_tensors_become_metadata()
    {
        using TensorFile file = TensorFile.Open(Golden("ckpt_vit.pth/model_module_backbone.pth"));
        Assert.True(long.TryParse(file.Metadata["iteration"], out _));
        Assert.Contains(file.Metadata.Keys, key => key.StartsWith("args."));
    }

    [Fact]
    public void Views_strides_scalars_and_empty_tensors_are_read_as_pytorch_reads_them()
    {
        byte[] Pickle(bool legacy) => new PickleBuilder().Op('}').Op('(')
            .Text("whole").Tensor("0", 6, 0, [2, 3], [3, 1], legacy: legacy)
            .Text("transposed").Tensor("0", 6, 0, [3, 2], [1, 3], legacy: legacy)
            .Text("column").Tensor("0", 6, 1, [2], [3], legacy: legacy)
            .Text("repeated").Tensor("0", 6, 4, [2, 2], [0, 1], legacy: legacy)
            .Text("scalar").Tensor("0", 6, 5, [], [], legacy: legacy)
            .Text("empty").Tensor("0", 6, 6, [0, 3], [3, 1], legacy: legacy)
            .Text("epoch").Int(7).Text("best").Op(0x88).Text("rate").Double(0.5)
            .Op('u').Stop();
        using var scope = NewDisposeScope();
        foreach (byte[] content in new[] { PthBuilder.Zip(Pickle(false), ("archive/data/0", SixFloats)), PthBuilder.Legacy(Pickle(true), true, ("0", 6, SixFloats)) })
        {
            using TensorFile file = TensorFile.Open(Write(content));
            AssertSame(tensor(new float[,] { { 0, 1, 2 }, { 3, 4, 5 } }), file.Read("whole"));
            AssertSame(tensor(new float[,] { { 0, 3 }, { 1, 4 }, { 2, 5 } }), file.Read("transposed"));
            AssertSame(tensor(new float[] { 1, 4 }), file.Read("column"));
            AssertSame(tensor(new float[,] { { 4, 5 }, { 4, 5 } }), file.Read("repeated"));
            AssertSame(tensor(5f), file.Read("scalar"));
            AssertSame(zeros(0, 3), file.Read("empty"));
            Assert.Equal(["7", "True", "0.5"], new[] { "epoch", "best", "rate" }.Select(key => file.Metadata[key]));
        }
    }

    [Fact]
    public void Every_way_to_describe_a_tensor_is_understood()
    {
        PickleBuilder Arguments(PickleBuilder pickle) => pickle.Storage("0", 6).Int(0).Numbers(2, 3).Numbers(3, 1);
        PickleBuilder pickle = new PickleBuilder().Global("collections", "OrderedDict").Op(']').Op('(');
        Arguments(pickle.Text("old").Global("torch._utils", "_rebuild_tensor").Op('(')).Op('t').Op('R').Op(0x86);
        Arguments(pickle.Text("metadata").Global("torch._utils", "_rebuild_tensor_v2").Op('(')).Op(0x89).OrderedDictionary().Op('}').Op('t').Op('R').Op(0x86);
        pickle.Text("parameter").Global("torch._utils", "_rebuild_parameter_with_state").Op('(').Tensor("0", 6, 0, [2, 3], [3, 1]).Op(0x88).OrderedDictionary().Op('}').Op('t').Op('R').Op(0x86);
        Arguments(pickle.Text("type").Global("torch._tensor", "_rebuild_from_type_v2").Op('(').Global("torch._utils", "_rebuild_tensor_v2").Global("torch", "Tensor").Op('(')).Op(0x89).OrderedDictionary().Op('t').Op('}').Op('t').Op('R').Op(0x86);
        pickle.Text("size").Global("torch._utils", "_rebuild_tensor_v2").Op('(').Storage("0", 6).Int(0).Global("torch", "Size").Numbers(2, 3).Op(0x85).Op('R').Numbers(3, 1).Op(0x89).OrderedDictionary().Op('t').Op('R').Op(0x86);
        pickle.Text("untyped").Global("torch._utils", "_rebuild_tensor_v3").Op('(').Op('(').Text("storage").Global("torch.storage", "UntypedStorage").Text("1").Text("cuda:0").Int(24).Op('t').Op('Q')
            .Int(0).Numbers(2, 3).Numbers(3, 1).Op(0x89).OrderedDictionary().Global("torch", "float32").Op('t').Op('R').Op(0x86);
        pickle.Text("uint16").Global("torch._utils", "_rebuild_tensor_v3").Op('(').Op('(').Text("storage").Global("torch.storage", "UntypedStorage").Text("1").Text("cpu").Int(24).Op('t').Op('Q')
            .Int(0).Numbers(12).Numbers(1).Op(0x89).OrderedDictionary().Global("torch", "uint16").Op('t').Op('R').Op(0x86);
        using TensorFile file = TensorFile.Open(Write(PthBuilder.Zip(pickle.Op('e').Op(0x85).Op('R').Stop(), ("archive/data/0", SixFloats), ("archive/data/1", SixFloats))));
        Assert.Equal(["old", "metadata", "parameter", "type", "size", "untyped", "uint16"], file.Entries.Keys);
        using var scope = NewDisposeScope();
        foreach (string name in file.Entries.Keys.SkipLast(1)) AssertSame(tensor(new float[,] { { 0, 1, 2 }, { 3, 4, 5 } }), file.Read(name), name);
        Assert.Contains("UInt16", Assert.Throws<TensorFileException>(() => file.Read("uint16")).Message);
    }

    [Fact]
    public void A_slice_of_a_storage_in_an_old_file_is_read_from_its_place()
    {
        byte[] Pickle(long first, long size) => new PickleBuilder().Op('}').Text("w").Global("torch._utils", "_rebuild_tensor").Op('(')
            .Op('(').Text("storage").Global("torch", "FloatStorage").Text("0").Text("cpu").Int(6).Op('(').Text("1").Int(first).Int(size).Op('t').Op('t').Op('Q')
            .Int(1).Numbers(2).Numbers(1).Op('t').Op('R').Op('s').Stop();
        using var scope = NewDisposeScope();
        using (TensorFile file = TensorFile.Open(Write(PthBuilder.Legacy(Pickle(2, 3), true, ("0", 6, SixFloats))))) AssertSame(tensor(new float[] { 3, 4 }), file.Read("w"));
        AssertRefusedFile(PthBuilder.Legacy(Pickle(2, 2), true, ("0", 6, SixFloats)), "beyond its storage of 2");
        AssertRefusedFile(PthBuilder.Legacy(Pickle(2, 5), true, ("0", 6, SixFloats)), "elements 2 to 7 of 6");
        AssertRefusedFile(PthBuilder.Legacy(Pickle(-1, 3), true, ("0", 6, SixFloats)), "elements -1 to 2");
    }

    [Fact]
    public void A_storage_beyond_four_gigabytes_is_found()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "files with holes are made on Linux only");
        string path = Path.Combine(_folder, "large.pth");
        const long far = 5L << 30;
        byte[] pickle = new PickleBuilder().Op('}').Text("w").Tensor("0", 6, 0, [6], [1]).Op('s').Stop();
        using (var stream = new FileStream(path, FileMode.Create))
        using (var writer = new BinaryWriter(stream))
        {
            Local(writer, "a/data.pkl", pickle);
            stream.Position = far;
            Local(writer, "a/data/0", SixFloats);
            long directory = stream.Position;
            Central(writer, "a/data.pkl", pickle.Length, 0);
            Central(writer, "a/data/0", SixFloats.Length, far);
            long end = stream.Position;
            writer.Write(0x06064B50); // end record, 64 bits
            writer.Write(44L);
            writer.Write(0x002D002D);
            writer.Write(0L); // disks
            writer.Write(2L);
            writer.Write(2L);
            writer.Write(end - directory);
            writer.Write(directory);
            writer.Write(0x07064B50); // its locator
            writer.Write(0);
            writer.Write(end);
            writer.Write(1);
            writer.Write(0x06054B50); // end record, saturated
            writer.Write(0);
            writer.Write(0xFFFFFFFF);
            writer.Write((uint)(end - directory));
            writer.Write(0xFFFFFFFF);
            writer.Write((short)0);
        }

        using var scope = NewDisposeScope();
        using TensorFile file = TensorFile.Open(path);
        AssertSame(tensor(new float[] { 0, 1, 2, 3, 4, 5 }), file.Read("w"));

        // As PyTorch writes them: no sizes in the local header.
        static void Local(BinaryWriter writer, string name, byte[] content)
        {
            writer.Write(0x04034B50);
            writer.Write([0, 0, 8, 8, 0, 0, 0, 0, 0, 0]);
            writer.Write(new byte[12]);
            writer.Write((short)name.Length);
            writer.Write((short)0);
            writer.Write(System.Text.Encoding.ASCII.GetBytes(name));
            writer.Write(content);
        }

        static void Central(BinaryWriter writer, string name, int length, long offset)
        {
            writer.Write(0x02014B50);
            writer.Write([0, 0, 0, 0, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            writer.Write(length);
            writer.Write(length);
            writer.Write((short)name.Length);
            writer.Write((short)(offset > uint.MaxValue ? 12 : 0));
            writer.Write(new byte[10]);
            writer.Write(offset > uint.MaxValue ? uint.MaxValue : (uint)offset);
            writer.Write(System.Text.Encoding.ASCII.GetBytes(name));
            if (offset <= uint.MaxValue) return;
            writer.Write((short)1);
            writer.Write((short)8);
            writer.Write(offset);
        }
    }

    [Fact]
    public void Options_of_other_programs_beside_the_weights_are_left_alone()
    {
        byte[] pickle = new PickleBuilder().Op('}').Op('(')
            .Text("args").Global("argparse", "Namespace").Op(')').Op(0x81).Op('}').Text("lr").Double(1e-3).Op('s').Op('b')
            .Text("score").Global("numpy.core.multiarray", "scalar").Op('(').Global("numpy", "dtype").Op('(').Text("f8").Int(0).Int(1).Op('t').Op('R')
            .Global("_codecs", "encode").Text("12345678").Text("latin1").Op(0x86).Op('R').Op('t').Op('R')
            .Text("counts").Global("collections", "defaultdict").Global("__builtin__", "int").Op(0x85).Op('R').Op('(').Text("a").Int(1).Op('u')
            .Text("model").OrderedDictionary().Op('(').Text("w").Tensor("0", 6, 0, [6], [1]).Op('u').Op('}').Text("_metadata").OrderedDictionary().Op('s').Op('b')
            .Op('u').Stop();
        using TensorFile file = TensorFile.Open(Write(PthBuilder.Zip(pickle, ("archive/data/0", SixFloats))));
        Assert.Equal(["model.w"], file.Entries.Keys);
        Assert.Equal("(argparse.Namespace, not read)", file.Metadata["args"]);
    }

    public static TheoryData<string, byte[], string> Refused
    {
        get
        {
            static PickleBuilder P() => new();
            var data = new TheoryData<string, byte[], string>();
            void Add(string name, PickleBuilder pickle, string expected) => data.Add(name, pickle.Stop(), expected);
            Add("os.system", P().Global("os", "system").Text("echo").Op(0x85).Op('R'), "'os.system'");
            Add("posix.system", P().Global("posix", "system").Text("echo").Op(0x85).Op('R'), "'posix.system'");
            Add("builtins.eval", P().Global("__builtin__", "eval").Text("1").Op(0x85).Op('R'), "'__builtin__.eval'");
            Add("getattr", P().Global("__builtin__", "getattr"), "'__builtin__.getattr'");
            Add("torch.load", P().Global("torch", "load"), "'torch.load'");
            Add("torch.hub", P().Global("torch.hub", "load"), "'torch.hub.load'");
            Add("numpy exec", P().Global("numpy.testing._private.utils", "runstring"), "runstring");
            Add("name with a newline trick", P().Global("collections OrderedDict", ""), "'collections OrderedDict.'");
            Add("INST", P().Op('(').Text("echo").Op('i').Op("os\nsystem\n"u8), "0x69");
            Add("STACK_GLOBAL", P().Text("os").Text("system").Op(0x93), "0x93");
            Add("PERSID", P().Op('P').Op("1\n"u8), "0x50");
            Add("EXT1", P().Op(0x82, 1), "0x82");
            Add("DUP", P().Op('N').Op('2'), "0x32");
            Add("FRAME", P().Op(0x95), "0x95");
            Add("protocol 4", new PickleBuilder(4).Op('N'), "protocol 4");
            Add("module", P().Op('(').Text("module").Int(1).Op('t').Op('Q'), "pickled module");
            Add("other persistent id", P().Int(5).Op('Q'), "persistent id");
            Add("build on a tensor", P().Tensor("0", 6, 0, [6], [1]).Op('}').Op('b'), "state set on a tensor");
            Add("build on a list", P().Op(']').Op('}').Op('b'), "state set on a list");
            Add("placeholder as storage", P().Global("torch._utils", "_rebuild_tensor_v2").Op('(').Global("argparse", "Namespace").Op(')').Op('R').Int(0).Numbers(1).Numbers(1).Op(0x89).OrderedDictionary().Op('t').Op('R'), "instead of a storage");
            Add("placeholder as parameter", P().Global("torch._utils", "_rebuild_parameter").Global("argparse", "Namespace").Op(')').Op('R').Op(0x88).OrderedDictionary().Op(0x87).Op('R'), "no tensor");
            Add("call of a storage class", P().Global("torch", "FloatStorage").Int(1 << 30).Op(0x85).Op('R'), "torch FloatStorage");
            Add("call of a text", P().Text("a").Op(')').Op('R'), "no function");
            Add("rebuild from another type", P().Global("torch._tensor", "_rebuild_from_type_v2").Op('(').Global("torch._utils", "_rebuild_tensor_v2").Global("argparse", "Namespace").Op(')').Op('}').Op('t').Op('R'), "_rebuild_from_type_v2");
            Add("lazy negative", P().Global("torch._utils", "_rebuild_tensor_v2").Op('(').Storage("0", 6).Int(0).Numbers(6).Numbers(1).Op(0x89).OrderedDictionary().Op('}').Text("neg").Op(0x88).Op('s').Op('t').Op('R'), "negative bit");
            Add("two descriptions", P().Op('(').Tensor("0", 6, 0, [6], [1]).Tensor("0", 3, 0, [3], [1], "DoubleStorage").Op('t'), "two ways");
            Add("negative stride", P().Op('}').Text("w").Tensor("0", 6, 5, [6], [-1]).Op('s'), "negative");
            Add("negative offset", P().Op('}').Text("w").Tensor("0", 6, -1, [6], [1]).Op('s'), "negative");
            Add("negative size", P().Op('}').Text("w").Tensor("0", 6, 0, [-6], [1]).Op('s'), "impossible");
            Add("beyond the storage", P().Op('}').Text("w").Tensor("0", 6, 1, [6], [1]).Op('s'), "beyond its storage");
            Add("huge stride", P().Op('}').Text("w").Tensor("0", 6, 0, [6], [long.MaxValue]).Op('s'), "beyond its storage");
            Add("huge offset", P().Op('}').Text("w").Tensor("0", 6, long.MaxValue, [1], [1]).Op('s'), "beyond its storage");
            Add("overflowing shape", P().Op('}').Text("w").Tensor("0", 6, 0, [1L << 40, 1L << 40], [0, 0]).Op('s'), "impossible");
            Add("expanded to a terabyte", P().Op('}').Text("w").Tensor("0", 6, 0, [1L << 38], [0]).Op('s'), "repeats its elements");
            Add("axes and strides", P().Op('}').Text("w").Tensor("0", 6, 0, [2, 3], [1]).Op('s'), "2 axes and 1 strides");
            Add("storage length", P().Op('}').Text("w").Tensor("0", 7, 0, [6], [1]).Op('s'), "needs 28 bytes");
            Add("storage type", P().Op('}').Text("w").Tensor("0", 6, 0, [6], [1], "DoubleStorage").Op('s'), "needs 48 bytes");
            Add("huge storage", P().Op('}').Text("w").Tensor("0", long.MaxValue, 0, [6], [1]).Op('s'), "elements");
            Add("missing storage", P().Op('}').Text("w").Tensor("../0", 6, 0, [6], [1]).Op('s'), "missing");
            Add("same name twice", P().Op('}').Op('(').Text("w").Tensor("0", 6, 0, [6], [1]).Text("w").Tensor("0", 6, 0, [6], [1]).Op('u'), "twice");
            Add("same name after joining", P().Op('}').Op('(').Text("a.b").Tensor("0", 6, 0, [6], [1]).Text("a").Op('}').Text("b").Tensor("0", 6, 0, [6], [1]).Op('s').Op('u'), "twice");
            Add("cycle", P().Op('}').Op('q', 0).Text("self").Op('h', 0).Op('s'), "nested");
            Add("unknown memo", P().Op('h', 9), "before it was made");
            Add("underflow", P().Op(0x87), "not there");
            Add("underflow below a mark", P().Int(1).Op('(').Op('Q'), "not there");
            Add("no mark", P().Int(1).Op('t'), "not opened");
            Add("left over", P().Int(1).Int(2), "2 values");
            Add("odd items", P().Op('}').Op('(').Int(1).Op('u'), "without a value");
            Add("items on a list", P().Op(']').Int(1).Int(1).Op('s'), "no dictionary");
            Add("text beyond the end", P().Op('X').Op(0xFF, 0xFF, 0xFF, 0xFF), "ends in the middle");
            Add("invalid text", P().Op('X').Op(1, 0, 0, 0, 0xFF), "UTF-8");
            Add("endless global", P().Op('c').Op(new byte[5000]), "does not end");
            Add("too many dimensions", P().Op('}').Text("w").Tensor("0", 6, 0, new long[65], new long[65]).Op('s'), "at most 64");
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Refused))]
    public void A_hostile_pickle_is_refused_by_name(string name, byte[] pickle, string expected)
    {
        _ = name;
        string message = Assert.ThrowsAny<TensorFileException>(() => TensorFile.Open(Write(PthBuilder.Zip(pickle, ("archive/data/0", SixFloats))))).Message;
        Assert.Contains(expected, message);
    }

    [Fact]
    public void Deep_wide_and_self_repeating_pickles_end_quickly()
    {
        PickleBuilder deep = new PickleBuilder().Op(')');
        for (int i = 0; i < 1_000_000; i++) deep.Op(0x85);
        AssertRefused(deep.Stop(), "nested");

        PickleBuilder marks = new();
        for (int i = 0; i < 5_000_000; i++) marks.Op('(');
        AssertRefused(marks.Bytes(), "steps");

        // Each level refers to the one below twice: 2^60 paths from 60 dictionaries.
        PickleBuilder doubling = new PickleBuilder().Op('}').Op('q', 0);
        for (byte i = 1; i < 60; i++) doubling.Op('}').Op('q', i).Op('(').Text("a").Op('h', (byte)(i - 1)).Text("b").Op('h', (byte)(i - 1)).Op('u');
        AssertRefused(new PickleBuilder().Op('(').Op(doubling.Bytes().AsSpan(2)).Op('t').Stop(), "nested");

        // One long list of pairs turned into a dictionary again and again.
        PickleBuilder pairs = new PickleBuilder().Op(']').Op('q', 0).Op('(');
        for (int i = 0; i < 100_000; i++) pairs.Op('N').Op('N').Op(0x86);
        pairs.Op('e');
        for (int i = 0; i < 100_000; i++) pairs.Global("collections", "OrderedDict").Op('h', 0).Op(0x85).Op('R');
        AssertRefused(pairs.Bytes(), "steps");

        // One long key used again and again.
        PickleBuilder keys = new PickleBuilder().Op('}').Text(new string('k', 1_000_000)).Op('q', 0).Op('N').Op('s').Op('(');
        for (int i = 0; i < 100_000; i++) keys.Op('h', 0).Op('N');
        AssertRefused(keys.Op('u').Stop(), "longer than");
    }

    [Fact]
    public void Compressed_encrypted_or_foreign_archives_are_refused()
    {
        byte[] pickle = new PickleBuilder().Op('}').Stop();
        AssertRefusedFile(PthBuilder.ZipOf(CompressionLevel.Optimal, ("archive/data.pkl", new byte[1_000_000])), "compressed");
        AssertRefusedFile(PthBuilder.ZipOf(CompressionLevel.NoCompression, ("x.npy", [1])), "no .pth file");
        AssertRefusedFile(PthBuilder.Zip(pickle, ("archive/constants.pkl", [1])), "TorchScript");
        AssertRefusedFile(PthBuilder.ZipOf(CompressionLevel.NoCompression, ("a/data.pkl", pickle), ("a/byteorder", "big"u8.ToArray())), "little-endian");
        AssertRefusedFile(PthBuilder.ZipOf(CompressionLevel.NoCompression, ("a/data.pkl", pickle), ("b/data.pkl", pickle)), "2 members");
        AssertRefusedFile(PthBuilder.ZipOf(CompressionLevel.NoCompression, ("a/data.pkl", pickle), ("a/data.pkl", pickle)), "twice");
        byte[] good = PthBuilder.Zip(pickle);
        AssertRefusedFile(good[..^30], "damaged");
        AssertRefusedFile(good[..^1], "truncated");
    }

    [Theory]
    [InlineData(20, 0xFFFFFFFEu, "declared to have")]
    [InlineData(24, 0xFFFFFFFEu, "declared to have")]
    [InlineData(24, 0xFFFFFFFFu, "beyond 4 GB")]
    [InlineData(42, 0xFFFFFFF0u, "outside the file")]
    [InlineData(42, 0u, "another name")]
    [InlineData(8, 1u, "encrypted")]
    public void A_directory_that_lies_is_refused(int field, uint value, string expected)
    {
        byte[] file = PthBuilder.Zip(new PickleBuilder().Op('}').Stop(), ("archive/data/0", SixFloats));
        int entry = file.AsSpan().LastIndexOf("PK\u0001\u0002"u8); // of the last member
        BitConverter.GetBytes(value).AsSpan(0, field == 8 ? 2 : 4).CopyTo(file.AsSpan(entry + field));
        AssertRefusedFile(file, expected);
    }

    [Fact]
    public void Members_that_share_bytes_are_refused()
    {
        byte[] file = PthBuilder.ZipOf(CompressionLevel.NoCompression, ("a/data.pkl", new byte[64]), ("a/data/0", new byte[64]));
        int first = file.AsSpan().IndexOf("PK\u0001\u0002"u8);
        foreach (int field in new[] { 20, 24 }) BitConverter.GetBytes(100).CopyTo(file, first + field); // reaches into the second member
        AssertRefusedFile(file, "overlap");

        int end = file.AsSpan().LastIndexOf("PK\u0005\u0006"u8);
        BitConverter.GetBytes(ushort.MaxValue - 1).AsSpan(0, 2).CopyTo(file.AsSpan(end + 10));
        AssertRefusedFile(file, "do not fit into a directory");
    }

    [Fact]
    public void Damaged_legacy_files_are_refused()
    {
        byte[] pickle = new PickleBuilder().Op('}').Text("w").Tensor("0", 6, 0, [6], [1], legacy: true).Op('s').Stop();
        AssertRefusedFile(PthBuilder.Legacy(pickle, littleEndian: false, ("0", 6, SixFloats)), "little-endian");
        AssertRefusedFile(PthBuilder.Legacy(pickle, true, ("0", 7, SixFloats)), "7 elements where 6");
        AssertRefusedFile(PthBuilder.Legacy(pickle, true, ("0", -6, SixFloats)), "-6 elements");
        AssertRefusedFile(PthBuilder.Legacy(pickle, true, ("1", 6, SixFloats)), "belongs to no tensor");
        AssertRefusedFile(PthBuilder.Legacy(pickle, true), "missing");
        AssertRefusedFile(PthBuilder.Legacy(pickle, true, ("0", 6, SixFloats), ("0", 6, SixFloats)), "twice");
        AssertRefusedFile(PthBuilder.Legacy(pickle, true, ("0", 6, SixFloats[..20])), "truncated");
        AssertRefusedFile(PthBuilder.Legacy(pickle, true, ("0", 6, [.. SixFloats, 0])), "belong to no storage");
    }

    // The repository holds a part of the golden files; the others are skipped where the shared folder is missing.
    private static string Golden(string name) => Path.Combine(Repository.Fixtures, "golden", name) is var copy && File.Exists(copy) ? copy : Repository.Shared($"golden/{name}");

    private static void AssertRead(TensorFile expectedFile, string expectedName, TensorFile actualFile, string actualName)
    {
        using var scope = NewDisposeScope();
        AssertSame(expectedFile.Read(expectedName), actualFile.Read(actualName));
    }

    private void AssertRefused(byte[] pickle, string expected) => AssertRefusedFile(PthBuilder.Zip(pickle, ("archive/data/0", SixFloats)), expected);

    private void AssertRefusedFile(byte[] content, string expected) => Assert.Contains(expected, Assert.ThrowsAny<TensorFileException>(() => TensorFile.Open(Write(content))).Message);

    private string Write(byte[] content)
    {
        string path = Path.Combine(_folder, "file.pth");
        File.WriteAllBytes(path, content);
        return path;
    }
}
