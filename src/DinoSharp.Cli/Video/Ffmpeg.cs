using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using DinoSharp.Images;

namespace DinoSharp.Cli.Video;

/// <summary>The program ffmpeg, if this machine has it, for video files.</summary>
internal static partial class Ffmpeg
{
    /// <summary>What video files can be written as.</summary>
    public static readonly IReadOnlyList<string> Extensions = [".mp4", ".mkv", ".mov", ".webm"];

    /// <summary>Refuses video files on a machine without ffmpeg.</summary>
    /// <param name="video">The file that will be written.</param>
    /// <param name="cancel">Stops ffmpeg.</param>
    /// <exception cref="DinoSharpException">ffmpeg is missing.</exception>
    public static Task RequireAsync(string video, CancellationToken cancel) => RunAsync(["-version"], video, null, cancel);

    /// <summary>Writes every frame of a video as a PNG.</summary>
    /// <returns>Frames per second.</returns>
    /// <exception cref="DinoSharpException">ffmpeg is missing or cannot read the file.</exception>
    public static async Task<double> ExtractAsync(string video, string folder, CancellationToken cancel)
    {
        string[] arguments = ["-i", video, "-fps_mode", "passthrough", Path.Combine(folder, "%07d.png")];
        string log;
        try
        {
            log = await RunAsync(arguments, video, null, cancel);
        }
        catch (DinoSharpException e) when (e.Message.Contains("fps_mode", StringComparison.Ordinal))
        {
            arguments[2] = "-vsync"; // what ffmpeg before 5.1 calls it
            log = await RunAsync(arguments, video, null, cancel);
        }

        Match speed = Speed().Match(log);
        return speed.Success ? double.Parse(speed.Groups[1].Value, CultureInfo.InvariantCulture) : 25;
    }

    /// <summary>Writes a video of 8-bit RGB frames of equal size.</summary>
    /// <exception cref="DinoSharpException">ffmpeg is missing or fails.</exception>
    public static async Task WriteAsync(string video, IReadOnlyList<ImageBuffer> frames, double framesPerSecond, CancellationToken cancel)
    {
        string temporary = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(video))!, $".{Guid.NewGuid():N}{Path.GetExtension(video)}");
        try
        {
            await RunAsync(
                [
                    "-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", $"{frames[0].Width}x{frames[0].Height}", "-framerate", framesPerSecond.ToString(CultureInfo.InvariantCulture), "-i", "-",
                    "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", temporary, // players want even sides and this layout
                ],
                video,
                async input =>
                {
                    foreach (ImageBuffer frame in frames) await input.WriteAsync(frame.Bytes.ToArray(), cancel);
                },
                cancel);
            File.Move(temporary, video, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    private static async Task<string> RunAsync(IEnumerable<string> arguments, string file, Func<Stream, Task>? write, CancellationToken cancel)
    {
        var start = new ProcessStartInfo("ffmpeg", ["-hide_banner", "-y", .. arguments]) { RedirectStandardError = true, RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false };
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (Win32Exception e)
        {
            throw new DinoSharpException($"{file}: video files need the program ffmpeg, which is not on this machine's PATH. Install it, or give a folder of frames or an animated GIF", e);
        }

        using (process)
        {
            try
            {
                Task<string> log = process.StandardError.ReadToEndAsync(cancel), discarded = process.StandardOutput.ReadToEndAsync(cancel);
                if (write is not null) await write(process.StandardInput.BaseStream);
                process.StandardInput.Close();
                await process.WaitForExitAsync(cancel);
                await discarded;
                if (process.ExitCode != 0) throw new DinoSharpException($"{file}: ffmpeg failed: {(await log).TrimEnd().Split('\n')[^1].Trim()}");
                return await log;
            }
            catch (IOException e)
            {
                await process.WaitForExitAsync(cancel);
                throw new DinoSharpException($"{file}: ffmpeg stopped before the end", e);
            }
            finally
            {
                if (!process.HasExited) process.Kill();
            }
        }
    }

    [GeneratedRegex(@"(\d+(?:\.\d+)?) fps")]
    private static partial Regex Speed();
}
