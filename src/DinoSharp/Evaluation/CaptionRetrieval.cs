using static TorchSharp.torch;

namespace DinoSharp.Evaluation;

/// <summary>Finding the captions of pictures and the pictures of captions, by the similarity of their vectors.</summary>
public static class CaptionRetrieval
{
    private const int ImagesAtOnce = 256;

    /// <summary>How many wrong answers come before the first right one. What is as similar as the right answer counts as before it, so that vectors that are all alike find nothing.</summary>
    /// <param name="images">Vectors of unit length. [N, E]</param>
    /// <param name="captions">Vectors of unit length. [M, E]</param>
    /// <param name="imageOf">Which picture each caption describes, 0 … N − 1. [M]</param>
    /// <returns>For each picture how many captions of other pictures come before the best of its own; for each caption how many other pictures come before its own. Recall@k is the share below k. [N] and [M]</returns>
    /// <exception cref="DinoSharpException">The sizes do not fit, or a picture has no caption.</exception>
    public static (int[] OfImages, int[] OfCaptions) Rank(Tensor images, Tensor captions, IReadOnlyList<int> imageOf)
    {
        int count = (int)images.shape[0], texts = (int)captions.shape[0];
        if (imageOf.Count != texts || images.shape[1] != captions.shape[1]) throw new DinoSharpException($"{count} pictures of {images.shape[1]} numbers, {texts} captions of {captions.shape[1]} and {imageOf.Count} owners of captions do not fit together");
        if (imageOf.Any(i => i < 0 || i >= count) || imageOf.Distinct().Count() != count) throw new DinoSharpException($"every one of the {count} pictures needs a caption, and every caption one of the pictures");
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor owner = tensor(imageOf.Select(i => (long)i).ToArray(), device: images.device); // [M]
        Tensor own = zeros(texts, device: images.device); // [M], similarity of each caption to its picture
        var ofImages = new List<int>();
        ForEach((similar, mine) =>
        {
            Tensor best = similar.masked_fill(mine.logical_not(), Num(double.NegativeInfinity)).amax([1], keepdim: true); // [n, 1]
            ofImages.AddRange((similar.ge(best) & mine.logical_not()).sum(1).cpu().data<long>().Select(r => (int)r));
            own.add_(similar.masked_fill(mine.logical_not(), Num(0)).sum([0L]), Num(1)); // one picture owns each
        });
        Tensor before = zeros(texts, ScalarType.Int64, images.device); // [M]
        ForEach((similar, mine) => before.add_((similar.ge(own) & mine.logical_not()).sum([0L]), Num(1)));
        return ([.. ofImages], [.. before.cpu().data<long>().Select(r => (int)r)]);

        // The table of all similarities does not fit into memory for 5000 pictures with 25,000 captions, so it is made twice.
        void ForEach(Action<Tensor, Tensor> use)
        {
            for (int from = 0; from < count; from += ImagesAtOnce)
            {
                using var piece = NewDisposeScope();
                int n = Math.Min(ImagesAtOnce, count - from);
                Tensor similar = images.narrow(0, from, n).matmul(captions.t()); // [n, M]
                use(similar, owner.unsqueeze(0).eq(arange(Num(from), Num(from + n), Num(1), ScalarType.Int64, images.device).unsqueeze(1))); // [n, M]
            }
        }
    }
}
