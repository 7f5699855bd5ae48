namespace DinoSharp.Cli;

/// <summary>What the process tells its caller. Part of the tool's contract: scripts depend on these numbers.</summary>
internal enum ExitCode
{
    /// <summary>Everything asked for was done.</summary>
    Ok = 0,

    /// <summary>It failed, or some of the inputs did (they are listed on stderr and in the JSON).</summary>
    Failed = 1,

    /// <summary>The command line itself is wrong; nothing was started.</summary>
    Usage = 2,

    /// <summary>Stopped by Ctrl-C (128 + SIGINT, as shells report it).</summary>
    Interrupted = 130,

    /// <summary>Stopped by a termination request (128 + SIGTERM).</summary>
    Terminated = 143,
}
