#if DINOSHARP
#nullable disable
#else
using System;
using System.Collections.Generic;
using System.IO;
#endif
using System.Text;

/// <summary>
/// Makes <c>libLibTorchSharp.so</c> loadable on systems whose libstdc++ is older than GCC 13's (Debian 12, Ubuntu 22.04).
/// </summary>
/// <remarks>
/// TorchSharp 0.107.0 ships that file with a version need <c>GLIBCXX_3.4.32</c> for the single symbol <c>_ZSt21ios_base_library_initv</c>,
/// which no relocation uses: nothing is ever bound to it, but the loader refuses the file because the version is missing.
/// Marking that one version need weak (VER_FLG_WEAK, LSB symbol versioning) makes the loader accept it and changes nothing else.
/// This file is compiled twice: by MSBuild as an inline task, and into the library for <c>dino doctor</c>. It therefore uses only C# 7.
/// </remarks>
internal static class NativeLibraryFix
{
    internal const string Version = "GLIBCXX_3.4.32";
    internal const string Symbol = "_ZSt21ios_base_library_initv";
    private const ushort WeakFlag = 0x2;
    private const ushort MachineX64 = 62;

    /// <summary>The byte position of the flag to set, or a reason why the file must be left alone.</summary>
    internal sealed class Finding
    {
        /// <summary>Position in the file of the 16-bit flag field of the version need; -1 if there is nothing to do.</summary>
        public long FlagPosition = -1;

        /// <summary>The value of the flag field as found.</summary>
        public ushort Flags;

        /// <summary>Why, in words.</summary>
        public string Reason = "";
    }

    /// <summary>Looks at an ELF file and says whether the version need may be made weak. Never throws: whatever cannot be read is a reason to leave the file alone.</summary>
    internal static Finding Inspect(byte[] file)
    {
        try
        {
            return Look(new Elf(file));
        }
        catch (InvalidDataException e)
        {
            return new Finding { Reason = e.Message };
        }
    }

    /// <summary>True if the system's libstdc++ defines the version, null if no libstdc++ was found.</summary>
    internal static bool? SystemProvidesVersion(out string path)
    {
        foreach (string candidate in LibraryCandidates())
        {
            path = candidate;
            if (File.Exists(path)) return Contains(File.ReadAllBytes(path), Encoding.ASCII.GetBytes(Version + "\0"));
        }

        path = "";
        return null;
    }

    /// <summary>Writes <paramref name="target"/>: <paramref name="shipped"/> with the one flag set if that is needed and safe, else the same bytes. Returns what was found and done, in words.</summary>
    /// <remarks>The shipped file is only read. The target is written beside and renamed, and gets the time of the shipped one, so that it is copied on only when it changes.</remarks>
    internal static string Apply(string shipped, string target, bool always)
    {
        string library;
        bool? provided = SystemProvidesVersion(out library);
        byte[] bytes = File.ReadAllBytes(shipped);
        Finding finding = Inspect(bytes);
        string words = finding.Reason;
        if (finding.FlagPosition < 0) words += "; left as shipped";
        else if (!always && provided == true) words += "; " + library + " provides it; left as shipped";
        else if (!always && provided == null) words += "; no libstdc++ found, which libtorch needs (on Debian and Ubuntu: package libstdc++6; systems built on musl, like Alpine, cannot load it); left as shipped";
        else
        {
            byte[] flags = BitConverter.GetBytes((ushort)(finding.Flags | WeakFlag));
            bytes[finding.FlagPosition] = flags[0];
            bytes[finding.FlagPosition + 1] = flags[1];
            words += "; " + (provided == false ? library + " lacks it" : "asked for") + "; marked weak";
        }

        string beside = target + "." + Guid.NewGuid().ToString("N") + ".tmp";
        try
        {
            File.Copy(shipped, beside); // keeps the permissions
            File.WriteAllBytes(beside, bytes);
            File.SetLastWriteTimeUtc(beside, File.GetLastWriteTimeUtc(shipped));
            if (File.Exists(target)) File.Delete(target);
            File.Move(beside, target);
        }
        finally
        {
            if (File.Exists(beside)) File.Delete(beside);
        }

        return words;
    }

    private static Finding Look(Elf elf)
    {
        var finding = new Finding();
        Elf.Section symbols = elf.Find(Elf.DynamicSymbols), versions = elf.Find(Elf.SymbolVersions), needs = elf.Find(Elf.VersionNeeds);
        if (symbols == null || versions == null || needs == null)
        {
            finding.Reason = "no symbol versions";
            return finding;
        }

        long strings = elf.Sections[elf.Index(symbols.Link)].Offset;
        long aux = FindNeed(elf, needs, strings);
        if (aux < 0)
        {
            finding.Reason = "does not need " + Version;
            return finding;
        }

        finding.Flags = elf.U16(aux + 4);
        int versionIndex = elf.U16(aux + 6) & 0x7FFF;
        if ((finding.Flags & WeakFlag) != 0)
        {
            finding.Reason = "the need for " + Version + " is already weak";
            return finding;
        }

        var bound = new HashSet<uint>();
        for (uint s = 0; s < symbols.Size / 24; s++)
        {
            if ((elf.U16(versions.Offset + 2L * s) & 0x7FFF) != versionIndex) continue;
            string name = elf.Text(strings + elf.U32(symbols.Offset + 24L * s));
            if (name != Symbol)
            {
                finding.Reason = "symbol " + name + " really needs " + Version;
                return finding;
            }

            bound.Add(s);
        }

        // x86-64 uses RELA only; the compact RELR form holds relative relocations, which name no symbol.
        foreach (Elf.Section section in elf.Sections)
        {
            if (section.Type != Elf.Relocations) continue;
            for (long r = section.Offset; r < section.Offset + section.Size; r += 24)
            {
                if (!bound.Contains(elf.U32(r + 12))) continue;
                finding.Reason = "a relocation uses " + Symbol + ", which really needs " + Version;
                return finding;
            }
        }

        finding.FlagPosition = aux + 4;
        finding.Reason = "needs " + Version + " only for " + Symbol + ", which no relocation uses";
        return finding;
    }

    /// <summary>Position of the auxiliary record of the version need, -1 if the version is not needed.</summary>
    private static long FindNeed(Elf elf, Elf.Section needs, long strings)
    {
        long need = needs.Offset;
        for (uint n = 0; n < needs.Info; n++)
        {
            long aux = need + elf.U32(need + 8);
            for (int a = 0; a < elf.U16(need + 2); a++)
            {
                if (elf.Text(strings + elf.U32(aux + 8)) == Version) return aux;
                uint nextAux = elf.U32(aux + 12);
                if (nextAux == 0) break;
                aux += nextAux;
            }

            uint next = elf.U32(need + 12);
            if (next == 0) break;
            need += next;
        }

        return -1;
    }

    private static IEnumerable<string> LibraryCandidates()
    {
        // The .NET runtime has usually loaded the library itself, from wherever this system keeps it.
        if (File.Exists("/proc/self/maps"))
        {
            foreach (string line in File.ReadAllLines("/proc/self/maps"))
            {
                int slash = line.IndexOf('/');
                if (slash >= 0 && Path.GetFileName(line).StartsWith("libstdc++.so.6", StringComparison.Ordinal)) yield return line.Substring(slash);
            }
        }

        foreach (string folder in (Environment.GetEnvironmentVariable("LD_LIBRARY_PATH") ?? "").Split(':'))
        {
            if (folder.Length > 0) yield return Path.Combine(folder, "libstdc++.so.6");
        }

        foreach (string folder in new[] { "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib", "/usr/local/lib64", "/usr/local/lib" })
            yield return folder + "/libstdc++.so.6";
    }

    private static bool Contains(byte[] haystack, byte[] needle)
    {
        for (int i = 0; i <= haystack.Length - needle.Length; i++)
        {
            int k = 0;
            while (k < needle.Length && haystack[i + k] == needle[k]) k++;
            if (k == needle.Length) return true;
        }

        return false;
    }

    /// <summary>The few parts of a 64-bit ELF file that are looked at. Every read is checked against the length of the file.</summary>
    private sealed class Elf
    {
        public const uint Relocations = 4, DynamicSymbols = 11, VersionNeeds = 0x6FFFFFFE, SymbolVersions = 0x6FFFFFFF;

        public readonly Section[] Sections;
        private readonly byte[] _file;

        public Elf(byte[] file)
        {
            _file = file;
            if (file.Length < 64 || file[0] != 0x7F || file[1] != 'E' || file[2] != 'L' || file[3] != 'F' || file[4] != 2 || file[5] != 1 || U16(18) != MachineX64)
                throw new InvalidDataException("not an ELF file for x86-64");
            long table = Offset(40);
            int size = U16(58);
            Sections = new Section[U16(60)];
            for (int i = 0; i < Sections.Length; i++)
            {
                long header = table + (long)i * size;
                Sections[i] = new Section { Type = U32(header + 4), Offset = Offset(header + 24), Size = Offset(header + 32), Link = U32(header + 40), Info = U32(header + 44) };
            }
        }

        public Section Find(uint type)
        {
            return Array.Find(Sections, section => section.Type == type);
        }

        public int Index(uint section)
        {
            if (section >= Sections.Length) throw Damaged(section);
            return (int)section;
        }

        public ushort U16(long position)
        {
            return BitConverter.ToUInt16(_file, Check(position, 2));
        }

        public uint U32(long position)
        {
            return BitConverter.ToUInt32(_file, Check(position, 4));
        }

        public string Text(long start)
        {
            int first = Check(start, 1), end = Array.IndexOf(_file, (byte)0, first);
            if (end < 0) throw Damaged(start);
            return Encoding.ASCII.GetString(_file, first, end - first);
        }

        /// <summary>A 64-bit number that says where something is or how long it is, so it cannot exceed the file; sections without bytes in the file may.</summary>
        private long Offset(long position)
        {
            return (long)Math.Min(BitConverter.ToUInt64(_file, Check(position, 8)), int.MaxValue);
        }

        private int Check(long position, int count)
        {
            if (position < 0 || position > _file.Length - count) throw Damaged(position);
            return (int)position;
        }

        private InvalidDataException Damaged(long position)
        {
            return new InvalidDataException("damaged ELF file: " + _file.Length + " bytes long, but refers to position " + position);
        }

        public sealed class Section
        {
            public uint Type, Link, Info;
            public long Offset, Size;
        }
    }
}

#if !DINOSHARP
/// <summary>The build step: writes the file that is copied to the output instead of the shipped one.</summary>
public sealed class DinoSharpNativeLibraryFix : Microsoft.Build.Utilities.Task
{
    /// <summary>The file in the package; only read.</summary>
    public string Shipped { get; set; }

    /// <summary>The file to write.</summary>
    public string Target { get; set; }

    /// <summary>Mark the need weak even where this system does not need it: for programs that are built here and run elsewhere.</summary>
    public bool Always { get; set; }

    /// <inheritdoc/>
    public override bool Execute()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Target));
        Log.LogMessage(Microsoft.Build.Framework.MessageImportance.Normal, "DinoSharp: " + Shipped + " " + NativeLibraryFix.Apply(Shipped, Target, Always));
        return true;
    }
}
#endif
