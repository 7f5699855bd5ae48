using DinoSharp.Layers;
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
                using Tensor sum = zero + Scalars.Num(i);
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
}
