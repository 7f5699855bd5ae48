using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>From the processor's memory to where a network lives.</summary>
internal static class Sending
{
    /// <summary>The same numbers on a device. A GPU fetches them from pinned memory while the processor goes on; libtorch hands that memory out again only after it was read.</summary>
    public static Tensor SendTo(this Tensor x, Device device)
    {
        if (device.type != TorchSharp.DeviceType.CUDA || x.device_type != TorchSharp.DeviceType.CPU) return x.to(device);
        using Tensor pinned = x.pin_memory();
        return pinned.to(device, non_blocking: true);
    }
}
