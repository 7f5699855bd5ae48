namespace DinoSharp.Tests;

/// <summary>Where the tests find their data: the repository itself, and the optional shared folder beside it.</summary>
internal static class Repository
{
    /// <summary>The folder that holds DinoSharp.slnx.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Small data committed with the tests.</summary>
    public static string Fixtures => Path.Combine(Root, "tests", "fixtures");

    /// <summary>A path in the shared folder beside the repository; skips the running test if it is not there.</summary>
    public static string Shared(string relative)
    {
        string path = Path.GetFullPath(Path.Combine(Root, "..", "shared", relative));
        Xunit.Assert.SkipUnless(Path.Exists(path), $"shared/{relative} is not on this machine");
        return path;
    }

    private static string FindRoot()
    {
        for (string? folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (File.Exists(Path.Combine(folder, "DinoSharp.slnx"))) return folder;
        }

        throw new InvalidOperationException("the tests must run from inside the repository");
    }
}
