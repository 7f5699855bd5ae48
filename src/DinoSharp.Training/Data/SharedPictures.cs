using System.Security.Cryptography;

namespace DinoSharp.Training.Data;

/// <summary>Pictures that are both learnt from and judged by: files of equal content, whatever their names.</summary>
public static class SharedPictures
{
    private const int Beginning = 16384; // tells nearly all pictures apart, so that few are read whole

    /// <summary>Finds them.</summary>
    /// <param name="train">Files to learn from; what is no file of its own is left out.</param>
    /// <param name="validation">Files to judge by.</param>
    /// <returns>Those of <paramref name="validation"/> whose content is among <paramref name="train"/>, in order.</returns>
    public static IReadOnlyList<string> Find(IEnumerable<string> train, IEnumerable<string> validation)
    {
        string[] judged = [.. validation.Where(File.Exists)];
        HashSet<long> lengths = [.. judged.Select(Length)];
        string[] candidates = [.. train.Where(File.Exists).Where(f => lengths.Contains(Length(f)))];
        ILookup<string, string> alike = candidates.ToLookup(f => Hash(f, Beginning));
        var whole = new Dictionary<string, string>();
        return [.. judged.Where(file => alike[Hash(file, Beginning)].Any(other => Whole(other) == Whole(file)))];

        string Whole(string file) => whole.TryGetValue(file, out string? known) ? known : whole[file] = Hash(file, long.MaxValue);
    }

    private static long Length(string file) => new FileInfo(file).Length;

    // A file that cannot be read is told by whoever needs its pixels.
    private static string Hash(string path, long most)
    {
        try
        {
            using FileStream file = File.OpenRead(path);
            if (file.Length <= most) return Convert.ToHexString(SHA256.HashData(file));
            byte[] bytes = new byte[most];
            file.ReadExactly(bytes);
            return Convert.ToHexString(SHA256.HashData(bytes));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return path;
        }
    }
}
