using System.Globalization;

namespace DinoSharp.Diagnostics;

/// <summary>Main memory, in bytes.</summary>
/// <param name="TotalBytes">What the machine has.</param>
/// <param name="AvailableBytes">What can be had now without swapping; never more than the container still allows.</param>
/// <param name="ContainerLimitBytes">The smallest limit of the control groups this process is in; null if there is none.</param>
internal sealed record Memory(long TotalBytes, long AvailableBytes, long? ContainerLimitBytes)
{
    /// <summary>Looks at the machine this process runs on.</summary>
    public static Memory Inspect()
    {
        GCMemoryInfo collector = GC.GetGCMemoryInfo();
        long total = collector.TotalAvailableMemoryBytes, available = Math.Max(0, total - collector.MemoryLoadBytes);
        if (File.Exists("/proc/meminfo"))
        {
            string[] lines = File.ReadAllLines("/proc/meminfo");
            total = Kibibytes(lines, "MemTotal:") ?? total;
            available = Kibibytes(lines, "MemAvailable:") ?? available;
        }

        (long? limit, long left) = ControlGroups("/proc/self/cgroup", "/sys/fs/cgroup");
        return new(total, Math.Min(available, left), limit < total ? limit : null);
    }

    /// <summary>The tightest limit on the way from this process's control group to the root, and the least that is left under any of them.</summary>
    /// <param name="membership">A file like <c>/proc/self/cgroup</c>.</param>
    /// <param name="mount">Where control groups are mounted.</param>
    internal static (long? Limit, long Left) ControlGroups(string membership, string mount)
    {
        long? limit = null;
        long left = long.MaxValue;
        foreach (string line in File.Exists(membership) ? File.ReadAllLines(membership) : [])
        {
            if (line.Split(':', 3) is not [_, var controllers, var group]) continue;
            bool second = controllers.Length == 0; // version 2 has one hierarchy without controller names
            if (!second && !controllers.Split(',').Contains("memory")) continue;
            string root = second ? mount : Path.Combine(mount, "memory");
            for (string folder = Path.Join(root, group); folder.Length >= root.Length; folder = Path.GetDirectoryName(folder)!)
            {
                long? here = Number(Path.Combine(folder, second ? "memory.max" : "memory.limit_in_bytes"));
                if (here is null or >= 1L << 60) continue; // version 1 writes a huge number for "no limit"
                limit = Math.Min(limit ?? long.MaxValue, here.Value);
                long used = Number(Path.Combine(folder, second ? "memory.current" : "memory.usage_in_bytes")) ?? 0;
                left = Math.Min(left, Math.Max(0, here.Value - used));
            }
        }

        return (limit, left);
    }

    private static long? Number(string file) =>
        File.Exists(file) && long.TryParse(File.ReadAllText(file).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : null;

    private static long? Kibibytes(string[] lines, string key)
    {
        string? line = lines.FirstOrDefault(l => l.StartsWith(key, StringComparison.Ordinal));
        return line is not null && long.TryParse(line[key.Length..].Replace("kB", "", StringComparison.Ordinal).Trim(), out long kibibytes) ? kibibytes * 1024 : null;
    }
}
