using System.Numerics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using DinoSharp.Backbones;
using DinoSharp.Diagnostics;
using DinoSharp.Weights;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>Choices that were measured, kept in a file for the next load. A file that cannot be read or written costs a measurement, nothing else; nor does what one of two programs
/// writes at the same moment and the other replaces.</summary>
/// <param name="path">The file.</param>
internal sealed class RouteMemory(string path)
{
    /// <summary>Choices that are kept.</summary>
    public const int Most = 100;

    private static readonly JsonSerializerOptions Format = new() { WriteIndented = true, Converters = { new JsonStringEnumConverter() } };

    /// <summary>The file in DinoSharp's cache folder.</summary>
    public static RouteMemory OfUser() => new(System.IO.Path.Combine(WeightFolders.Find().Own, "routes.json"));

    /// <summary>The file.</summary>
    public string Path { get; } = path;

    /// <summary>This processor, its threads and the versions: what the choices of a machine have in common.</summary>
    public static string Machine()
    {
        Processor processor = Processor.Inspect();
#if DEBUG
        const string build = ", unoptimised build";
#else
        const string build = "";
#endif
        return $"{processor.Model}, {string.Join(' ', processor.InstructionSets)}, {get_num_threads()} threads, libtorch {__version__}, DinoSharp {SystemReport.LibraryVersion}{build}";
    }

    /// <summary>Tells machine, versions, network, device and weights apart. Of each parameter a checksum is enough: there are few choices, and a processor computes it as fast as it reads.</summary>
    public static string KeyOf(Backbone network)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(network.Config.ToString()!));
        foreach ((string name, Parameter parameter) in network.named_parameters())
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"{name} {parameter.dtype} {parameter.device} {string.Join(',', parameter.shape)}"));
            using Tensor values = parameter.detach().cpu().contiguous();
            hash.AppendData(BitConverter.GetBytes(Checksum(values)));
        }

        return $"{Machine()}, {Convert.ToHexStringLower(hash.GetHashAndReset())[..16]}";
    }

    private static unsafe uint Checksum(Tensor values)
    {
        byte* bytes = (byte*)InferenceEngine.Start(values);
        long count = values.numel() * values.ElementSize, at = 0;
        uint sum = 0;
        for (; at + sizeof(ulong) <= count; at += sizeof(ulong)) sum = BitOperations.Crc32C(sum, *(ulong*)(bytes + at));
        for (; at < count; at++) sum = BitOperations.Crc32C(sum, bytes[at]);
        return sum;
    }

    /// <summary>The choice for a key; null if there is none. One that is in use outlives newer ones that are not.</summary>
    public Choice? Find(string key)
    {
        Choice[] choices = Read();
        int at = Array.FindIndex(choices, choice => choice.Key == key);
        if (at < 0) return null;
        if (at < choices.Length - (Most / 2)) Keep(choices[at]);
        return choices[at];
    }

    /// <summary>The choices of this machine and version.</summary>
    public IReadOnlyList<Choice> OfThisMachine() => [.. Read().Where(choice => choice.Key.StartsWith(Machine() + ",", StringComparison.Ordinal))];

    /// <summary>Adds a choice or replaces it; the last <see cref="Most"/> are kept.</summary>
    public void Keep(Choice choice)
    {
        try
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
            byte[] json = JsonSerializer.SerializeToUtf8Bytes(Read().Where(c => c.Key != choice.Key).Append(choice).TakeLast(Most), Format);
            SafetensorsWriter.WriteBeside(Path, json.Length, stream => stream.Write(json));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or TensorFileException)
        {
            // A home folder that cannot be written to is no reason to fail.
        }
    }

    private Choice[] Read()
    {
        try
        {
            return JsonSerializer.Deserialize<Choice[]>(File.ReadAllText(Path), Format)?.Where(c => c is { Key: not null, Network: not null, Words: not null, Compute: ComputeType.Float32 or ComputeType.BFloat16 or ComputeType.Int8, Products: Products.Own or Products.Mkl or Products.Libtorch, ExactBlocks: >= 0 }).ToArray() ?? [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return [];
        }
    }
}
