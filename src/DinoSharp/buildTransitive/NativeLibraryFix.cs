#if !DINOSHARP
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
/// Marking that one version need weak (VER_FLG_WEAK, ELF gABI symbol versioning) makes the loader accept it and changes nothing else.
/// This file is compiled twice: by MSBuild as an inline task, and into the library for <c>dino doctor</c>. It therefore uses only old C#.
/// </remarks>
internal static class NativeLibraryFix
{
    internal const string Version = "GLIBCXX_3.4.32";
    internal const string Symbol = "_ZSt21ios_base_library_initv";
    private const ushort WeakFlag = 0x2;

    /// <summary>The byte position of the flag to set, or a reason why the file must be left alone.</summary>
    internal sealed class Finding
    {
        /// <summary>Position in the file of the 16-bit flag field of the version need; -1 if there is nothing to do.</summary>
        public long FlagPosition = -1;
        /// <summary>The value of the flag field as shipped.</summary>
        public ushort Flags;
        /// <summary>Why, in words.</summary>
        public string Reason = "";
    }

    /// <summary>Looks at an ELF file and says whether the version need may be made weak.</summary>
    internal static Finding Inspect(byte[] file)
    {
        var finding = new Finding();
        if (file.Length < 64 || file[0] != 0x7F || file[1] != 'E' || file[2] != 'L' || file[3] != 'F' || file[4] != 2 || file[5] != 1)
        {
            finding.Reason = "not a 64-bit little-endian ELF file";
            return finding;
        }

        long sectionTable = (long)BitConverter.ToUInt64(file, 40);
        int sectionSize = BitConverter.ToUInt16(file, 58), sectionCount = BitConverter.ToUInt16(file, 60);
        long symbols = -1, symbolsSize = 0, versions = -1, needs = -1, needsCount = 0;
        int stringSection = -1;
        var relocations = new List<long[]>();
        for (int i = 0; i < sectionCount; i++)
        {
            int header = checked((int)(sectionTable + (long)i * sectionSize));
            uint type = BitConverter.ToUInt32(file, header + 4);
            long offset = (long)BitConverter.ToUInt64(file, header + 24), size = (long)BitConverter.ToUInt64(file, header + 32);
            if (type == 11) { symbols = offset; symbolsSize = size; stringSection = (int)BitConverter.ToUInt32(file, header + 40); } // DYNSYM
            else if (type == 0x6FFFFFFF) versions = offset; // VERSYM
            else if (type == 0x6FFFFFFE) { needs = offset; needsCount = BitConverter.ToUInt32(file, header + 44); } // VERNEED
            else if (type == 4) relocations.Add(new long[] { offset, size }); // RELA
        }

        if (symbols < 0 || versions < 0 || needs < 0 || stringSection < 0)
        {
            finding.Reason = "no symbol versions";
            return finding;
        }

        long strings = (long)BitConverter.ToUInt64(file, checked((int)(sectionTable + (long)stringSection * sectionSize + 24)));
        int versionIndex = -1;
        long need = needs;
        for (long n = 0; n < needsCount && versionIndex < 0; n++)
        {
            int count = BitConverter.ToUInt16(file, (int)need + 2);
            long aux = need + BitConverter.ToUInt32(file, (int)need + 8);
            for (int a = 0; a < count; a++)
            {
                if (Text(file, strings + BitConverter.ToUInt32(file, (int)aux + 8)) == Version)
                {
                    finding.Flags = BitConverter.ToUInt16(file, (int)aux + 4);
                    finding.FlagPosition = aux + 4;
                    versionIndex = BitConverter.ToUInt16(file, (int)aux + 6) & 0x7FFF;
                    break;
                }

                aux += BitConverter.ToUInt32(file, (int)aux + 12);
            }

            need += BitConverter.ToUInt32(file, (int)need + 12);
        }

        if (versionIndex < 0)
        {
            finding.Reason = "does not need " + Version;
            return finding;
        }

        if ((finding.Flags & WeakFlag) != 0)
        {
            finding.FlagPosition = -1;
            finding.Reason = "the need for " + Version + " is already weak";
            return finding;
        }

        var bound = new HashSet<long>();
        for (long s = 0; s < symbolsSize / 24; s++)
        {
            if ((BitConverter.ToUInt16(file, (int)(versions + 2 * s)) & 0x7FFF) != versionIndex) continue;
            string name = Text(file, strings + BitConverter.ToUInt32(file, (int)(symbols + 24 * s)));
            if (name != Symbol)
            {
                finding.FlagPosition = -1;
                finding.Reason = "symbol " + name + " really needs " + Version;
                return finding;
            }

            bound.Add(s);
        }

        foreach (long[] section in relocations)
        {
            for (long r = section[0]; r < section[0] + section[1]; r += 24)
            {
                if (!bound.Contains(BitConverter.ToUInt32(file, (int)r + 12))) continue;
                finding.FlagPosition = -1;
                finding.Reason = "a relocation uses " + Symbol + ", which really needs " + Version;
                return finding;
            }
        }

        finding.Reason = "needs " + Version + " only for " + Symbol + ", which no relocation uses";
        return finding;
    }

    /// <summary>True if the system's libstdc++ defines the version, null if no libstdc++ was found.</summary>
    internal static bool? SystemProvidesVersion(out string path)
    {
        var folders = new List<string>((Environment.GetEnvironmentVariable("LD_LIBRARY_PATH") ?? "").Split(':'));
        folders.AddRange(new[] { "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib", "/usr/local/lib64", "/usr/local/lib" });
        foreach (string folder in folders)
        {
            if (folder.Length == 0) continue;
            path = Path.Combine(folder, "libstdc++.so.6");
            if (!File.Exists(path)) continue;
            return Contains(File.ReadAllBytes(path), Encoding.ASCII.GetBytes(Version + "\0"));
        }

        path = "";
        return null;
    }

    /// <summary>Patches the file if, and only if, that is needed and safe. Returns what was found and done, in words.</summary>
    /// <remarks>The changed copy is written beside and renamed, so a file that is a hard link into the package cache stays as shipped there.</remarks>
    internal static string Apply(string file)
    {
        if (Path.DirectorySeparatorChar != '/' || !File.Exists(file)) return "nothing to do";
        string library;
        bool? provided = SystemProvidesVersion(out library);
        if (provided == true) return library + " provides " + Version + "; left as shipped";
        byte[] bytes = File.ReadAllBytes(file);
        Finding finding = Inspect(bytes);
        if (finding.FlagPosition < 0) return finding.Reason + "; left alone";
        byte[] flags = BitConverter.GetBytes((ushort)(finding.Flags | WeakFlag));
        bytes[finding.FlagPosition] = flags[0];
        bytes[finding.FlagPosition + 1] = flags[1];
        string beside = file + "." + Guid.NewGuid().ToString("N") + ".tmp";
        File.WriteAllBytes(beside, bytes);
        File.SetLastWriteTimeUtc(beside, File.GetLastWriteTimeUtc(file)); // else the next build takes it for outdated and copies it again
        File.Delete(file);
        File.Move(beside, file);
        return finding.Reason + "; " + (library.Length == 0 ? "no libstdc++ found" : library + " lacks it") + "; marked weak";
    }

    private static string Text(byte[] file, long start)
    {
        int end = (int)start;
        while (file[end] != 0) end++;
        return Encoding.ASCII.GetString(file, (int)start, end - (int)start);
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
}

#if !DINOSHARP
/// <summary>The build step: looks for the library under <see cref="Folder"/> and fixes it where needed.</summary>
public sealed class DinoSharpNativeLibraryFix : Microsoft.Build.Utilities.Task
{
    /// <summary>An output or publish folder.</summary>
    public string Folder { get; set; }

    /// <inheritdoc/>
    public override bool Execute()
    {
        foreach (string file in new[] { Path.Combine(Folder, "libLibTorchSharp.so"), Path.Combine(Folder, "runtimes", "linux-x64", "native", "libLibTorchSharp.so") })
        {
            if (File.Exists(file)) Log.LogMessage(file + ": " + NativeLibraryFix.Apply(file));
        }

        return true;
    }
}
#endif
