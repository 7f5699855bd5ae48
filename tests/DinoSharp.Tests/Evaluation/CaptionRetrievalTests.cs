using DinoSharp.Evaluation;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Evaluation;

public sealed class CaptionRetrievalTests
{
    [Fact]
    public void RanksAreThoseCountedByHand()
    {
        using var scope = NewDisposeScope();
        // Similarities: rows are two pictures, columns the captions a, b (of the first) and c (of the second).
        //   0.9 0.1 0.6
        //   0.5 0.7 0.8
        Tensor images = eye(2), captions = tensor(new float[] { 0.9f, 0.5f, 0.1f, 0.7f, 0.6f, 0.8f }, [3, 2]); // [N, E], [M, E]
        (int[] ofImages, int[] ofCaptions) = CaptionRetrieval.Rank(images, captions, [0, 0, 1]);
        Assert.Equal([0, 0], ofImages); // a (0.9) and c (0.8) lead their rows
        Assert.Equal([0, 1, 0], ofCaptions); // b is nearer to the second picture, 0.7 against 0.1

        (ofImages, ofCaptions) = CaptionRetrieval.Rank(images, captions, [1, 1, 0]);
        Assert.Equal([1, 1], ofImages); // before c (0.6) comes a; before b (0.7) comes c
        Assert.Equal([1, 0, 1], ofCaptions);
    }

    [Fact]
    public void WhatIsAllAlikeFindsNothing()
    {
        using var scope = NewDisposeScope();
        (int[] ofImages, int[] ofCaptions) = CaptionRetrieval.Rank(ones(3, 4), ones(6, 4), [0, 0, 1, 1, 2, 2]);
        Assert.Equal([4, 4, 4], ofImages); // every caption of the others
        Assert.All(ofCaptions, rank => Assert.Equal(2, rank));
    }

    [Fact]
    public void ManyPicturesAreRankedAsFewAre()
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(3);
        const int Count = 300; // more than are compared at once
        Tensor images = nn.functional.normalize(randn([Count, 16], generator: random), dim: 1), captions = nn.functional.normalize(randn([Count * 2, 16], generator: random), dim: 1);
        int[] owner = [.. Enumerable.Range(0, Count * 2).Select(i => i % Count)];
        (int[] ofImages, int[] ofCaptions) = CaptionRetrieval.Rank(images, captions, owner);
        float[,] s = new float[Count, Count * 2];
        float[] flat = images.matmul(captions.t()).contiguous().data<float>().ToArray();
        Buffer.BlockCopy(flat, 0, s, 0, flat.Length * sizeof(float));
        Assert.Equal(Enumerable.Range(0, Count).Select(i => Enumerable.Range(0, Count * 2).Count(c => owner[c] != i && s[i, c] >= Math.Max(s[i, i], s[i, i + Count]))), ofImages);
        Assert.Equal(Enumerable.Range(0, Count * 2).Select(c => Enumerable.Range(0, Count).Count(i => owner[c] != i && s[i, c] >= s[owner[c], c])), ofCaptions);
    }

    [Fact]
    public void APictureWithoutCaptionIsAnError()
    {
        using var scope = NewDisposeScope();
        Assert.Contains("needs a caption", Assert.Throws<DinoSharpException>(() => CaptionRetrieval.Rank(eye(2), eye(2), [0, 0])).Message);
        Assert.Contains("do not fit", Assert.Throws<DinoSharpException>(() => CaptionRetrieval.Rank(eye(2), eye(3), [0, 1, 1])).Message);
    }
}
