using DinoSharp.Images;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Images;

[Collection(nameof(LoadAllTests))] // counts the tensors of the whole process, so nothing may run beside it
public class LoadAllTests
{
    private static readonly Preprocessing How = new() { Size = SizePolicy.Square(32) };

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 5)]
    [InlineData(0, 0)]
    public void Order_is_kept_and_errors_stop_nothing(int parallelism, int ahead)
    {
        ImageSource[] sources = [.. Enumerable.Range(0, 40).Select(i => i % 7 == 3 ? ImageSource.FromBytes(new byte[i], $"broken {i}") : Picture(i))];
        int count = 0;
        foreach (LoadedImage loaded in How.LoadAll(sources, parallelism: parallelism, ahead: ahead))
        {
            using (loaded)
            {
                Assert.Equal(count, loaded.Index);
                Assert.Same(sources[count], loaded.Source);
                if (count % 7 == 3) Assert.Contains($"broken {count}", loaded.Error!.Message);
                else Assert.Equal((count / 255f - 0.485f) / 0.229f, loaded.Image!.Tensor[0, 3, 4].item<float>(), 1e-6f);
                count++;
            }
        }

        Assert.Equal(40, count);
    }

    [Fact]
    public void Sources_are_taken_only_so_far_ahead()
    {
        int taken = 0;
        foreach (LoadedImage loaded in How.LoadAll(Sources(), parallelism: 2, ahead: 4))
        {
            Assert.InRange(taken, loaded.Index + 1, loaded.Index + 4);
            loaded.Dispose();
            if (loaded.Index == 20) break;
        }

        IEnumerable<ImageSource> Sources()
        {
            for (int i = 0; i < 1000; i++)
            {
                taken++;
                yield return Picture(i);
            }
        }
    }

    [Fact]
    public void Leaving_early_frees_what_was_prepared()
    {
        long before = Tensor.TotalCount;
        for (int round = 0; round < 5; round++)
        {
            foreach (LoadedImage loaded in How.LoadAll(Enumerable.Range(0, 30).Select(Picture), parallelism: 2, ahead: 8))
            {
                loaded.Dispose();
                if (loaded.Index == round) break;
            }
        }

        Assert.InRange(Tensor.TotalCount - before, long.MinValue, 0); // finalizers of other tests' tensors may lower it
    }

    [Fact]
    public void Cancelling_stops()
    {
        using var source = new CancellationTokenSource();
        Assert.ThrowsAny<OperationCanceledException>(() =>
        {
            foreach (LoadedImage loaded in How.LoadAll(Enumerable.Range(0, 1000).Select(Picture), cancellationToken: source.Token))
            {
                loaded.Dispose();
                if (loaded.Index == 3) source.Cancel();
            }
        });
    }

    [Fact]
    public void A_tensor_outlives_the_scope_it_was_made_in()
    {
        ImageTensor image;
        using (NewDisposeScope()) image = How.Load(Picture(9));
        using (image) Assert.Equal([3, 32, 32], image.Tensor.shape);
        Assert.True(image.Tensor.IsInvalid);
    }

    // A gray picture of one value, as PGM.
    private static ImageSource Picture(int value)
    {
        byte[] header = "P5 20 10 255\n"u8.ToArray(), pixels = new byte[200];
        pixels.AsSpan().Fill((byte)value);
        return ImageSource.FromBytes((byte[])[.. header, .. pixels], $"picture {value}");
    }
}

[CollectionDefinition(nameof(LoadAllTests), DisableParallelization = true)]
public class LoadAllTestsAlone;
