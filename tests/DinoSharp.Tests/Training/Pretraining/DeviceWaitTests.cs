using DinoSharp.Backbones;
using DinoSharp.Layers;
using DinoSharp.Training.Distributed;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using Mono.Cecil;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Pretraining;

/// <summary>What a GPU would have to be waited for in a step, found in the compiled code, because there need not be a GPU.</summary>
public sealed class DeviceWaitTests
{
    // What a step is made of.
    private static readonly Type[] Parts =
    [
        typeof(StudentTeacher), typeof(StudentPass), typeof(Teaching), typeof(GramTeacher), typeof(PretrainNetwork), typeof(ProjectionHead), typeof(FrozenTeacher), typeof(PretrainBatch), typeof(AdamW), typeof(Gradients),
        typeof(DinoLoss), typeof(IbotLoss), typeof(KoLeoLoss), typeof(GramLoss), typeof(TeacherTargets), typeof(Collectives), typeof(VisionTransformer), typeof(ConvNeXt),
        .. typeof(Block).Assembly.GetTypes().Where(t => t.Namespace == typeof(Block).Namespace && t.DeclaringType is null && t != typeof(DeformableAttention) && t != typeof(MapResize)),
    ];

    // Where a tensor's numbers are looked at, and why that is right.
    private static readonly Dictionary<string, string> Allowed = new()
    {
        ["StudentTeacher.ForwardBackward"] = "the report, once in a step for each student",
        ["PretrainBatch.Create"] = "by the loader, on the processor",
        ["TrainedLinear.MultiplyOnTiles"] = "only for tensors on the processor",
        ["TrainedLinear.MultiplyByLibrary"] = "only for tensors on the processor",
        ["Linear.ReadWeight"] = "when weights are packed for inference",
        ["Sending.SendTo"] = "the copy that nothing waits for",
    };

    [Fact]
    public void AStepWaitsForItsDeviceInOnePlaceOnly()
    {
        string folder = AppContext.BaseDirectory;
        MethodDefinition[] torchSharp = [.. Methods("TorchSharp.dll")];
        // What shows numbers to the processor or needs them for a shape, what copies between devices, and what calls these. A number that becomes a tensor stays on the processor: kernels of a GPU take it as an argument.
        HashSet<string> waiting = [.. torchSharp.Where(m => ShowsNumbers(m) || CopiesBetweenDevices(m)).Select(m => m.FullName)];
        Assert.True(waiting.Count > 20);
        while (torchSharp.Where(m => IsOfTensors(m) && m.Name != "op_Implicit" && !waiting.Contains(m.FullName) && Calls(m).Any(waiting.Contains)).Select(m => m.FullName).ToArray() is { Length: > 0 } more) waiting.UnionWith(more);
        HashSet<string> parts = [.. Parts.Select(p => p.FullName!)];
        (string Place, string Call)[] found = [.. new[] { "DinoSharp.dll", "DinoSharp.Training.dll" }.SelectMany(Methods)
            .Where(m => parts.Contains(Outermost(m.DeclaringType).FullName))
            .SelectMany(m => Calls(m).Where(waiting.Contains).Select(call => (PlaceOf(m), call)))];
        string[] unexpected = [.. found.Where(f => !Allowed.ContainsKey(f.Place)).Select(f => $"{f.Place} calls {f.Call}")];
        Assert.True(unexpected.Length == 0, $"a GPU would have to be waited for; choose rows by index_select with numbers from the loader, send tensors with SendTo:\n{string.Join("\n", unexpected)}");
        Assert.All(Allowed.Keys, place => Assert.Contains(found, f => f.Place == place)); // also that the search finds anything at all

        IEnumerable<MethodDefinition> Methods(string file)
        {
            using var module = ModuleDefinition.ReadModule(Path.Combine(folder, file));
            return [.. module.GetTypes().SelectMany(t => t.Methods).Where(m => m.HasBody && m.Body is not null)];
        }

        static bool IsOfTensors(MethodDefinition m) => m.DeclaringType.FullName is "TorchSharp.torch/Tensor" or "TorchSharp.TensorExtensionMethods" or "TorchSharp.torch";

        static bool ShowsNumbers(MethodDefinition m) => IsOfTensors(m)
            && (m.Name is "item" or "data" or "get_bytes" or "cpu" or "nonzero" or "nonzero_as_list" or "argwhere" or "masked_select" or "unique" or "unique_consecutive" or "bincount" or "allclose" or "is_nonzero" or "one_hot"
                || (m.Name is "get_Item" or "set_Item" or "index" or "index_put_" && m.Parameters.Any(p => p.ParameterType.FullName.Contains("torch/Tensor", StringComparison.Ordinal) && p.Name is not "value")));

        static bool CopiesBetweenDevices(MethodDefinition m) => IsOfTensors(m) && m.Name is "to" or "cuda" or "tensor" or "from_array"
            && m.Parameters.Any(p => p.ParameterType.FullName is "TorchSharp.torch/Device" or "TorchSharp.DeviceType");

        static IEnumerable<string> Calls(MethodDefinition method) => method.Body.Instructions.Select(i => i.Operand).OfType<MethodReference>().Select(r => (r is GenericInstanceMethod g ? g.ElementMethod : r).FullName);

        static TypeDefinition Outermost(TypeDefinition type) => type.DeclaringType is null ? type : Outermost(type.DeclaringType);

        // A lambda belongs to the method it is written in.
        static string PlaceOf(MethodDefinition m) => $"{Outermost(m.DeclaringType).Name}.{(m.Name.StartsWith('<') ? m.Name[1..m.Name.IndexOf('>', StringComparison.Ordinal)] : m.Name)}";
    }

    [Fact]
    public void PatchesAreChosenAsTheMasksSay()
    {
        using var scope = NewDisposeScope();
        using PretrainBatch batch = TinyLearner.Batch();
        Tensor patches = randn([8, 16, 5]); // [G·B, P, D]
        Assert.Equal(patches[batch.Masks].data<float>().ToArray(), batch.SelectHidden(patches).data<float>().ToArray());
        Assert.Equal(patches[batch.Masks.logical_not()].data<float>().ToArray(), batch.SelectShown(patches).data<float>().ToArray());
        Assert.InRange(batch.MaskedIndices.shape[0], 1, 127);
    }
}
