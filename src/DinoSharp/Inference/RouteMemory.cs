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

/// <summary>Choices of <see cref="ComputeType.Auto"/>, kept in a file for the next load. A file that cannot be read or written costs a measurement, nothing else.</summary>
/// <param name="path">The file.</param>
internal sealed class RouteMemory(string path)
{
    private static readonly JsonSerializerOptions Format = new() { WriteIndented = true, Converters = { new JsonStringEnumConverter() } };

    /// <summary>The file in DinoSharp's cache folder.</summary>
    public static RouteMemory OfUser() => new(System.IO.Path.Combine(WeightFolders.Find().Own, "routes.json"));

    /// <summary>The file.</summary>
    public string Path { get; } = path;

    /// <summary>This processor, its threads and this version: what the choices of a machine have in common.</summary>
    public static string Machine()
    {
        Processor processor = Processor.Inspect();
#if DEBUG
        const string build = ", unoptimised build";
#else
        const string build = "";
#endif
        return $"{processor.Model}, {string.Join(' ', processor.InstructionSets)}, {get_num_threads()} threads, DinoSharp {SystemReport.LibraryVersion}{build}";
    }

    /// <summary>Tells machine, version, network and weights apart: of each parameter the first 64 KiB are looked at.</summary>
    public static string KeyOf(Backbone network)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(network.Config.ToString()!));
        foreach ((string name, Parameter parameter) in network.named_parameters())
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"{name} {parameter.dtype} {parameter.device} {string.Join(',', parameter.shape)}"));
            using Tensor start = parameter.detach().flatten().narrow(0, 0, Math.Min(parameter.numel(), 16384)).cpu().contiguous();
            hash.AppendData(start.bytes);
        }

        return $"{Machine()}, {Convert.ToHexStringLower(hash.GetHashAndReset())[..16]}";
    }

    /// <summary>The choice for a key; null if there is none.</summary>
    public Choice? Find(string key) => Read().FirstOrDefault(choice => choice.Key == key);

    /// <summary>The choices of this machine and version.</summary>
    public IReadOnlyList<Choice> OfThisMachine() => [.. Read().Where(choice => choice.Key.StartsWith(Machine() + ",", StringComparison.Ordinal))];

    /// <summary>Adds a choice or replaces it; the last 100 are kept.</summary>
    public void Keep(Choice choice)
    {
        try
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
            string beside = $"{Path}.{Guid.NewGuid():N}";
            File.WriteAllText(beside, JsonSerializer.Serialize(Read().Where(c => c.Key != choice.Key).Append(choice).TakeLast(100), Format));
            File.Move(beside, Path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A home folder that cannot be written to is no reason to fail.
        }
    }

    private IReadOnlyList<Choice> Read()
    {
        try
        {
            return JsonSerializer.Deserialize<Choice[]>(File.ReadAllText(Path), Format)?.Where(c => c is { Key: not null, Network: not null, Words: not null } && c.Compute < ComputeType.Auto).ToArray() ?? [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return [];
        }
    }
}
