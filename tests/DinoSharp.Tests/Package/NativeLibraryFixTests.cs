using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using CsCheck;
using TorchSharp;
using Xunit;

namespace DinoSharp.Tests.Package;

/// <summary>The build step that makes libLibTorchSharp.so loadable on systems with an older libstdc++ changes one flag or nothing.</summary>
public partial class NativeLibraryFixTests
{
    private const ushort Weak = 2;

    [Fact]
    public void TheShippedFileQualifiesAndTheBuildLeftItAlone()
    {
        NativeLibraryFix.Finding finding = NativeLibraryFix.Inspect(Shipped());
        Assert.Equal("needs GLIBCXX_3.4.32 only for _ZSt21ios_base_library_initv, which no relocation uses", finding.Reason);
        Assert.Equal(0, finding.Flags); // also says that no hard link led a build into the package cache
        Assert.InRange(finding.FlagPosition, 64, Shipped().Length - 2);
    }

    [Fact]
    public void TheBuiltFileDiffersFromTheShippedOneInTheFlagOrNotAtAll()
    {
        byte[] shipped = Shipped(), built = File.ReadAllBytes(Directory.GetFiles(AppContext.BaseDirectory, "libLibTorchSharp.so", SearchOption.AllDirectories).Single());
        if (NativeLibraryFix.SystemProvidesVersion(out _) == false) AssertOnlyTheFlagIsSet(shipped, built);
        else Assert.True(shipped.AsSpan().SequenceEqual(built));
    }

    [Fact]
    public void ApplyingSetsTheFlagOnceAndKeepsTheTime()
    {
        byte[] shipped = Shipped();
        using var folder = new TemporaryFolder();
        string patched = folder.File("patched.so"), again = folder.File("again.so");
        Assert.EndsWith("marked weak", NativeLibraryFix.Apply(ShippedPath(), patched, always: true));
        AssertOnlyTheFlagIsSet(shipped, File.ReadAllBytes(patched));
        Assert.Equal(File.GetLastWriteTimeUtc(ShippedPath()), File.GetLastWriteTimeUtc(patched));
        Assert.Equal("the need for GLIBCXX_3.4.32 is already weak; left as shipped", NativeLibraryFix.Apply(patched, again, always: true));
        Assert.True(File.ReadAllBytes(patched).AsSpan().SequenceEqual(File.ReadAllBytes(again)));
        Assert.Equal([again, patched], Directory.GetFiles(folder.Path).Order());
    }

    [Fact]
    public void ApplyingReplacesAHardLinkInsteadOfWritingThroughIt()
    {
        using var folder = new TemporaryFolder();
        string cache = folder.File("cache.so"), target = folder.File("target.so");
        File.Copy(ShippedPath(), cache);
        Assert.Equal(0, Link(cache, target));
        NativeLibraryFix.Apply(cache, target, always: true);
        Assert.True(Shipped().AsSpan().SequenceEqual(File.ReadAllBytes(cache)));
        AssertOnlyTheFlagIsSet(Shipped(), File.ReadAllBytes(target));
    }

    [Fact]
    public void ALibraryWhoseRelocationUsesTheSymbolIsLeftAlone()
    {
        byte[] file = Shipped();
        uint symbol = IndexOfSymbol(file, NativeLibraryFix.Symbol);
        (long offset, _, _) = Section(file, 4);
        BitConverter.TryWriteBytes(file.AsSpan((int)offset + 24 * 7 + 12), symbol); // r_info of the eighth entry: upper half is the symbol
        AssertLeftAlone(file, "a relocation uses _ZSt21ios_base_library_initv, which really needs GLIBCXX_3.4.32; left as shipped");
    }

    [Fact]
    public void ALibraryThatNeedsTheVersionForAnotherSymbolIsLeftAlone()
    {
        byte[] file = Shipped();
        int name = file.AsSpan().IndexOf(Encoding.ASCII.GetBytes(NativeLibraryFix.Symbol + "\0"));
        file[name + 4] = (byte)'X';
        AssertLeftAlone(file, "symbol _ZStX1ios_base_library_initv really needs GLIBCXX_3.4.32; left as shipped");
    }

    [Theory]
    [InlineData("", "not an ELF file for x86-64")]
    [InlineData("#!/bin/sh\necho no library at all, but long enough to hold the header of one\n", "not an ELF file for x86-64")]
    public void WhatIsNoLibraryIsLeftAlone(string content, string reason) => AssertLeftAlone(Encoding.ASCII.GetBytes(content), reason + "; left as shipped");

    [Fact]
    public void ALibraryForAnotherProcessorIsLeftAlone()
    {
        byte[] file = Shipped();
        file[18] = 183; // EM_AARCH64
        AssertLeftAlone(file, "not an ELF file for x86-64; left as shipped");
    }

    [Fact]
    public void TruncatedFilesAreLeftAloneInWords()
    {
        byte[] shipped = Shipped();
        // The section headers stand at the end of the file, so every cut loses some of them.
        Gen.Int[0, shipped.Length - 1].Sample(
            length => NativeLibraryFix.Inspect(shipped[..length]) is { FlagPosition: -1, Reason.Length: > 0 }, iter: 300, threads: 1);
    }

    [Fact]
    public void DamagedFilesNeverThrow()
    {
        byte[] shipped = Shipped();
        int headers = (int)BitConverter.ToInt64(shipped, 40);
        long needs = Section(shipped, 0x6FFFFFFE).Offset;
        Gen<int> places = Gen.OneOf(Gen.Int[16, 63], Gen.Int[headers, shipped.Length - 1], Gen.Int[(int)needs, (int)needs + 600], Gen.Int[0, shipped.Length - 1]);
        Gen.Select(places, Gen.OneOf(Gen.Byte, Gen.Const((byte)255), Gen.Const((byte)0))).Array[1, 8].Sample(
            changes =>
            {
                byte[] file = (byte[])shipped.Clone();
                foreach ((int place, byte value) in changes) file[place] = value;
                NativeLibraryFix.Finding finding = NativeLibraryFix.Inspect(file);
                return finding.Reason.Length > 0 && finding.FlagPosition < file.Length - 1;
            },
            iter: 500,
            threads: 1);
    }

    private static void AssertLeftAlone(byte[] file, string words)
    {
        using var folder = new TemporaryFolder();
        string source = folder.File("source.so"), target = folder.File("target.so");
        File.WriteAllBytes(source, file);
        Assert.Equal(words, NativeLibraryFix.Apply(source, target, always: true));
        Assert.True(file.AsSpan().SequenceEqual(File.ReadAllBytes(target)));
    }

    private static void AssertOnlyTheFlagIsSet(byte[] shipped, byte[] built)
    {
        Assert.Equal(shipped.Length, built.Length);
        int[] different = [.. Enumerable.Range(0, shipped.Length).Where(i => shipped[i] != built[i])];
        NativeLibraryFix.Finding finding = NativeLibraryFix.Inspect(shipped);
        Assert.Equal([(int)finding.FlagPosition], different);
        Assert.Equal(shipped[different[0]] | Weak, built[different[0]]);
    }

    [LibraryImport("libc", EntryPoint = "link", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Link(string existing, string created);

    private static byte[] Shipped() => File.ReadAllBytes(ShippedPath());

    private static string ShippedPath()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "libLibTorchSharp.so is the Linux form of the library");
        string packages = typeof(NativeLibraryFixTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "NuGetPackageRoot").Value!;
        string version = typeof(torch).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0];
        return Path.Combine(packages, "torchsharp", version, "runtimes", "linux-x64", "native", "libLibTorchSharp.so");
    }

    /// <summary>Offset, size and linked section of the first section of a type.</summary>
    private static (long Offset, long Size, int Link) Section(byte[] file, uint type)
    {
        long table = BitConverter.ToInt64(file, 40);
        int header = Enumerable.Range(0, BitConverter.ToUInt16(file, 60)).Select(i => (int)table + i * BitConverter.ToUInt16(file, 58)).First(h => BitConverter.ToUInt32(file, h + 4) == type);
        return (BitConverter.ToInt64(file, header + 24), BitConverter.ToInt64(file, header + 32), BitConverter.ToInt32(file, header + 40));
    }

    private static uint IndexOfSymbol(byte[] file, string name)
    {
        (long symbols, long size, int link) = Section(file, 11);
        long strings = BitConverter.ToInt64(file, (int)BitConverter.ToInt64(file, 40) + link * BitConverter.ToUInt16(file, 58) + 24);
        byte[] text = Encoding.ASCII.GetBytes(name + "\0");
        return (uint)Enumerable.Range(0, (int)(size / 24)).Single(s => file.AsSpan((int)(strings + BitConverter.ToUInt32(file, (int)symbols + 24 * s))).StartsWith(text));
    }
}
