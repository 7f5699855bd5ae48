using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;
using DinoSharp.Diagnostics;
using DinoSharp.Images;
using DinoSharp.Inference;
using DinoSharp.Weights;

namespace DinoSharp;

/// <summary>What a process pays for once, paid while the first model is loaded, with two processors at work: libtorch is opened on a thread of its own and then libvips
/// and the library behind SHA-256; the kernels are compiled by the thread that waits for libtorch (docs/performance.md, "Start").</summary>
internal static class FirstUse
{
    // Eight by eight grey pixels.
    private const string Jpeg = "/9j/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////////////////////////////////////////////2wBDAVVaWnhpeOuCguv/////////////////////////////////////////////////////"
        + "////////////////////wAARCAAIAAgDAREAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/xAAUAQEAAAAAAAAAAAAAAAAAAAAA/8QAFBEBAAAAAAAAAAAAAAAAAAAAAP/aAAwDAQACEQMRAD8AA//Z";

    private static readonly Lazy<Thread?> Libraries = new(() => Environment.ProcessorCount > 1 ? Start(OpenLibraries) : null); // one processor would only be delayed

    /// <summary>Begins, once in a process, and does not wait.</summary>
    public static void Begin() => _ = Libraries.Value;

    /// <summary>If it was begun: waits until libtorch is open, and compiles the kernels meanwhile.</summary>
    public static void WaitForLibtorch()
    {
        if (!Libraries.IsValueCreated || Libraries.Value is not { IsAlive: true } opening) return;
        CompileKernels();
        opening.Join();
    }

    private static void OpenLibraries()
    {
        if (Environment.ProcessPath is { } file) CallTheSystem(file);
        Libtorch.LoadError();
        Start(OpenSmallLibraries);
    }

    // While libtorch is being opened, the loader lets nobody look up a function in any library: whoever calls one for the first time waits until the end. So what the other
    // thread asks the system for meanwhile, from the command line to the description of the weights, is asked once before. What is missing here is no error, it only waits.
    private static void CallTheSystem(string file)
    {
        _ = DateTime.UtcNow;
        Stopwatch.GetTimestamp();
        Path.GetFullPath(".");
        Path.Exists(file);
        Directory.Exists(file);
        _ = new FileInfo(file).Exists;
        WeightFolders.Find();
        Memory.Inspect();
        RandomNumberGenerator.GetBytes(1);
        using MappedFile mapped = MappedFile.Open(file);
        mapped.ReadBytes(0, 1);
    }

    private static void OpenSmallLibraries()
    {
        SHA256.HashData([]);
        ImageFile.Read(ImageSource.FromBytes(Convert.FromBase64String(Jpeg))); // no tensors here: where libtorch does not load, TorchSharp would go and copy one
        CompileKernels(); // nothing to do if somebody waited for libtorch
    }

    private static void CompileKernels()
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
