using DinoSharp.Layers;
using Mono.Cecil;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Layers;

public sealed class ScalarsTests
{
    [Fact]
    public void TheLastNumbersOfAThreadStayAlive()
    {
        WeakReference[] numbers = Made(256);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.All(numbers, number => Assert.True(number.IsAlive));
        Made(256);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.All(numbers, number => Assert.False(number.IsAlive));

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        static WeakReference[] Made(int count) => [.. Enumerable.Range(0, count).Select(i => new WeakReference(Scalars.Num(i + 0.5)))];
    }

    [Fact]
    public void ACollectorAtWorkChangesNoNumber()
    {
        using var stop = new CancellationTokenSource();
        var collector = new Thread(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                GC.Collect(0);
                GC.WaitForPendingFinalizers();
            }
        });
        collector.Start();
        try
        {
            using Tensor zero = zeros(1);
            for (int i = 0; i < 20_000; i++)
            {
                using Tensor sum = zero.Plus(Scalars.Num(i));
                Assert.Equal(i, sum.item<float>());
            }
        }
        finally
        {
            stop.Cancel();
            collector.Join();
        }
    }

    [Theory]
    [InlineData(2.5, ScalarType.Float32)]
    [InlineData(3L, ScalarType.Int64)]
    public void AKindOfNumberStaysWhatItIs(object number, ScalarType expected)
    {
        using var scope = NewDisposeScope();
        Assert.Equal(expected, full([1], number is double d ? Scalars.Num(d) : Scalars.Num((long)number)).dtype);
    }

    [Fact]
    public void EveryNumberGoesThroughScalars()
    {
        string folder = AppContext.BaseDirectory;
        var torchSharp = Methods("TorchSharp.dll").ToDictionary(m => m.FullName, m => Calls(m).ToHashSet());
        // What makes a scalar out of a number, and what calls that.
        var makers = new HashSet<string>(torchSharp.Keys.Where(name => name.Contains("TorchSharp.Scalar TorchSharp.Scalar::op_Implicit", StringComparison.Ordinal) || name.Contains("TorchSharp.ScalarExtensionMethods::ToScalar", StringComparison.Ordinal)));
        Assert.True(makers.Count > 10);
        while (torchSharp.Where(m => !makers.Contains(m.Key) && m.Value.Overlaps(makers)).Select(m => m.Key).ToArray() is { Length: > 0 } more) makers.UnionWith(more);
        Assert.Contains("TorchSharp.torch/Tensor TorchSharp.torch/Tensor::op_Addition(TorchSharp.torch/Tensor,TorchSharp.torch/Tensor)", makers);
        string[] around = [.. new[] { "DinoSharp.dll", "DinoSharp.Training.dll", "dino.dll" }.SelectMany(Methods)
            .Where(m => m.DeclaringType.Name != nameof(Scalars))
            .SelectMany(m => Calls(m).Where(makers.Contains).Select(call => $"{m.DeclaringType.Name}.{m.Name} calls {call}"))];
        Assert.True(around.Length == 0, $"write Num(x), a.Plus(b), (-x).Plus(c), x.pow(Num(2)), arange(Num(0), …, Num(1)), x.add_(y, Num(1)) instead:\n{string.Join("\n", around)}");

        IEnumerable<MethodDefinition> Methods(string file)
        {
            using var module = ModuleDefinition.ReadModule(Path.Combine(folder, file));
            return [.. module.GetTypes().SelectMany(t => t.Methods).Where(m => m.HasBody && m.Body is not null)];
        }

        static IEnumerable<string> Calls(MethodDefinition method) => method.Body.Instructions.Select(i => i.Operand).OfType<MethodReference>().Select(r => (r is GenericInstanceMethod g ? g.ElementMethod : r).FullName);
    }
}
