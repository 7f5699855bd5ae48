using DinoSharp.Features;
using DinoSharp.Images;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Features;

public class EmbeddingPipelineTests
{
    private static readonly ImageSource Picture = ImageSource.FromBytes(new byte[1], "picture");

    private readonly List<ImageTensor> _decoded = [];

    [Fact]
    public void TheNextBatchIsDecodedWhileOneIsComputed()
    {
        using var secondDecoded = new ManualResetEventSlim();
        int batch = 0;
        var pipeline = new EmbeddingPipeline<ImageSource>(
            image => image.Name,
            source =>
            {
                if (source.Name == "second") secondDecoded.Set();
                return Decode(source);
            },
            inputs =>
            {
                // The first batch ends only when the second has been decoded.
                if (batch++ == 0) Assert.True(secondDecoded.Wait(TimeSpan.FromSeconds(60)), "nothing was decoded meanwhile");
                return Vectors(inputs);
            });
        Assert.Equal(2, pipeline.Run([[ImageSource.FromBytes(new byte[1], "first")], [ImageSource.FromBytes(new byte[1], "second")]], default).Count());
    }

    [Fact]
    public void EveryInputIsFreedWhateverHappens()
    {
        var pipeline = new EmbeddingPipeline<ImageSource>(image => image.Name, Decode, Vectors);
        ImageSource[][] batches = [.. Enumerable.Repeat<ImageSource[]>([Picture, Picture, Picture], 4)];
        Assert.Equal(12, pipeline.Run(batches, default).Sum(batch => batch.Count));
        CheckAllAreFreed(12);

        Assert.Single(pipeline.Run(batches, default).Take(1));
        CheckAllAreFreed(6);

        Assert.Throws<DivideByZeroException>(() => new EmbeddingPipeline<ImageSource>(image => image.Name, Decode, _ => throw new DivideByZeroException()).Run(batches, default).Count());
        CheckAllAreFreed(6);

        int calls = 0;
        Assert.ThrowsAny<Exception>(() => new EmbeddingPipeline<ImageSource>(image => image.Name, source => Interlocked.Increment(ref calls) == 5 ? throw new DivideByZeroException() : Decode(source), Vectors).Run(batches, default).Count());
        CheckAllAreFreed(null);

        // Of several threads that fail, the first speaks.
        Assert.Throws<OutOfMemoryException>(() => new EmbeddingPipeline<ImageSource>(image => image.Name, _ => throw new OutOfMemoryException(), Vectors).Run(batches, default).Count());

        using var stop = new CancellationTokenSource();
        Assert.ThrowsAny<OperationCanceledException>(() => pipeline.Run(batches, stop.Token).Select(_ => stop.CancelAsync()).Count());
        CheckAllAreFreed(null);
    }

    [Fact]
    public void BatchesOfBrokenPicturesOnlyAndOfNoneAreFine()
    {
        var pipeline = new EmbeddingPipeline<ImageSource>(image => image.Name, source => throw new ImageException(source.Name, "broken"), Vectors);
        IReadOnlyList<ImageEmbedding>[] results = [.. pipeline.Run([[Picture], [], [Picture, Picture]], default)];
        Assert.Equal([1, 0, 2], results.Select(batch => batch.Count));
        Assert.All(results.SelectMany(batch => batch), result => Assert.Equal("broken", result.Error!.Cause));
        Assert.Empty(pipeline.Run([], default));
    }

    private static float[][] Vectors(IReadOnlyList<ImageTensor> inputs) => [.. inputs.Select(_ => new float[1])];

    private ImageTensor Decode(ImageSource source)
    {
        var input = ImageTensor.FromNormalized(zeros(3, 2, 2), Normalization.Lvd);
        lock (_decoded) _decoded.Add(input);
        return input;
    }

    private void CheckAllAreFreed(int? count)
    {
        if (count is not null) Assert.Equal(count, _decoded.Count);
        Assert.NotEmpty(_decoded);
        Assert.All(_decoded, input => Assert.True(input.Tensor.IsInvalid));
        _decoded.Clear();
    }
}
