using DinoSharp.Images;
using DinoSharp.Training.Data;
using static TorchSharp.torch;

namespace DinoSharp.Training.Runs.Monitoring;

/// <summary>Images of a data set as inputs of a network: the shorter side resized, the middle square cut out, without any augmentation.</summary>
/// <param name="data">The images.</param>
/// <param name="normalization">That of the training.</param>
/// <param name="sizePixels">Side of the square.</param>
internal sealed class ImageSample(ImageDataset data, Normalization normalization, int sizePixels)
{
    private readonly Preprocessing _preprocessing = new()
    {
        Normalization = normalization,
        Order = ResizeOrder.PillowThenScale,
        Interpolation = Interpolation.Bicubic,
        Size = SizePolicy.ShorterSide(sizePixels),
        CenterCropPixels = sizePixels,
        PatchSizePixels = 1,
    };

    /// <summary>Numbers of images spread evenly over the data set, or over each source of a mixture by its share; fewer if there are not so many.</summary>
    public static int[] Spread(ImageDataset data, int count) => data is MixedDataset mixed
        ? [.. mixed.Sources.SelectMany((source, i) => Even(mixed.FirstOf(i), source.Dataset.Count, Math.Max(1, (int)Math.Round(count * source.Share))))]
        : Even(0, data.Count, count);

    /// <summary>Reads an image; null if it cannot be used.</summary>
    /// <returns>The picture, and its normalised middle [C, S, S], which belongs to the caller.</returns>
    public (ImageBuffer Picture, ImageTensor Input)? Read(int index)
    {
        try
        {
            ImageBuffer picture = data.Read(index);
            return (picture, _preprocessing.Apply(picture));
        }
        catch (ImageException)
        {
            return null;
        }
    }

    /// <summary>Reads images in batches; those that cannot be used are left out.</summary>
    /// <param name="indices">Which.</param>
    /// <param name="batch">Images in a batch.</param>
    /// <returns>The numbers of the images and their tensor [B, C, S, S], which is disposed before the next.</returns>
    public IEnumerable<(int[] Indices, Tensor Images)> Batches(IEnumerable<int> indices, int batch = 16)
    {
        foreach (int[] chunk in indices.Chunk(batch))
        {
            var read = chunk.AsParallel().AsOrdered().WithDegreeOfParallelism(Environment.ProcessorCount).Select(index => (Index: index, Read: Read(index)?.Input)).Where(r => r.Read is not null).ToArray();
            if (read.Length == 0) continue;
            using Tensor images = stack(read.Select(r => r.Read!.Tensor)); // [B, C, S, S]
            foreach ((_, ImageTensor? input) in read) input!.Dispose();
            yield return ([.. read.Select(r => r.Index)], images);
        }
    }

    private static int[] Even(int first, int available, int count) =>
        [.. Enumerable.Range(0, Math.Min(count, available)).Select(i => first + (int)(((2L * i) + 1) * available / (2L * Math.Min(count, available))))];
}
