using System.Security.Cryptography;
using System.Text.Json;
using DinoSharp.Diagnostics;
using DinoSharp.Images;
using DinoSharp.Inference;

namespace DinoSharp;

/// <summary>What a process pays for once, paid on a thread of its own while the first model is loaded: libvips and the library behind SHA-256 are opened, the kernels
/// are compiled. Without it the first picture waits for all of that (docs/performance.md, "Start").</summary>
internal static class FirstUse
{
    // Eight by eight grey pixels.
    private const string Jpeg = "/9j/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////////////////////////////////////////////2wBDAVVaWnhpeOuCguv/////////////////////////////////////////////////////"
        + "////////////////////wAARCAAIAAgDAREAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/xAAUAQEAAAAAAAAAAAAAAAAAAAAA/8QAFBEBAAAAAAAAAAAAAAAAAAAAAP/aAAwDAQACEQMRAD8AA//Z";

    private static readonly Lazy<Thread?> Libraries = new(() => Environment.ProcessorCount > 1 ? Start(OpenLibraries) : null); // one processor would only be delayed

    /// <summary>Begins, once in a process, and does not wait.</summary>
    public static void Begin() => _ = Libraries.Value;

    /// <summary>If it was begun: waits until libtorch is open.</summary>
    public static void WaitForLibtorch()
    {
        if (Libraries.IsValueCreated) Libraries.Value?.Join();
    }

    // The order matters: while libtorch is being opened, the system lets nobody look up a function in any library.
    private static void OpenLibraries()
    {
        ImageFile.Read(ImageSource.FromBytes(Convert.FromBase64String(Jpeg)));
        SHA256.HashData([]);
        Start(Compile);
        Libtorch.LoadError();
    }

    private static void Compile()
    {
        Kernels.Compile();
        byte[] pixels = new byte[8 * 8 * 3];
        var all = new PixelWindow(0, 0, 8, 8);
        Resize.UInt8(pixels, 8, 8, 3, all, new byte[4 * 4 * 3], 4, 4, Interpolation.Bilinear, ResizeArithmetic.Tensor);
        Resize.Float(pixels, 8, 8, 3, all, new float[4 * 4 * 3], 4, 4, Interpolation.Bilinear);
        JsonSerializer.Serialize(new Dictionary<string, string> { [""] = "" });
    }

    private static Thread Start(Action work)
    {
        var thread = new Thread(() =>
        {
            try
            {
                work();
            }
            catch (Exception e) when (e is DinoSharpException or DllNotFoundException or TypeInitializationException or CryptographicException)
            {
                // Whoever needs it meets the same, with a message about what he was doing.
            }
        })
        { IsBackground = true, Name = "DinoSharp first use" };
        thread.Start();
        return thread;
    }
}
