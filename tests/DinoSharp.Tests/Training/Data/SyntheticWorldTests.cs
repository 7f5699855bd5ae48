using System.Collections.Concurrent;
using System.Numerics;
using DinoSharp.Training.Data.Synthetic;
using Xunit;

namespace DinoSharp.Tests.Training.Data;

/// <summary>What the synthetic world says about its pictures must be true.</summary>
public sealed class SyntheticWorldTests
{
    private const int Size = 96;
    private static readonly SyntheticWorld World = new(new SyntheticOptions { Seed = 3, Width = Size, Height = Size });

    public static TheoryData<int> SomeIndices => [.. Enumerable.Range(0, 40).Where(i => i % 3 == 0)];

    [Fact]
    public void APictureIsAFunctionOfSeedAndIndex()
    {
        byte[][] first = [.. Enumerable.Range(0, 12).Select(i => World.Draw(i).Image.Bytes.ToArray())];
        var again = new SyntheticWorld(new SyntheticOptions { Seed = 3, Width = Size, Height = Size });
        var parallel = new ConcurrentDictionary<int, byte[]>();
        Parallel.For(0, 12, new ParallelOptions { MaxDegreeOfParallelism = 3 }, i => parallel[11 - i] = again.DrawPicture(11 - i).Bytes.ToArray());
        for (int i = 0; i < 12; i++) Assert.Equal(first[i], parallel[i]);
        Assert.Equal(12, first.Select(Convert.ToHexString).Distinct().Count());
        Assert.NotEqual(first[0], new SyntheticWorld(new SyntheticOptions { Seed = 4, Width = Size, Height = Size }).DrawPicture(0).Bytes.ToArray());
    }

    [Fact]
    public void EveryFortyPicturesHaveEachClassOnce()
    {
        for (int block = 0; block < 3; block++)
            Assert.Equal(Enumerable.Range(0, 40), Enumerable.Range(40 * block, 40).Select(i => World.LabelOf(i)).Order());
        Assert.NotEqual(Enumerable.Range(0, 40).Select(i => World.LabelOf(i)), Enumerable.Range(40, 40).Select(i => World.LabelOf(i)));
    }

    [Theory, MemberData(nameof(SomeIndices))]
    public void MapsBoxesAndCountsAgree(int index)
    {
        SyntheticImage image = World.Draw(index);
        Assert.Equal(Size * Size, image.Instances.Length);
        Assert.Equal(image.Instances.Where(id => id > 0).Select(id => (int)id).Distinct().Order(), image.Objects.Select(o => o.Id));
        foreach (SyntheticObject o in image.Objects)
        {
            int[] pixels = [.. Enumerable.Range(0, Size * Size).Where(i => image.Instances[i] == o.Id)];
            Assert.Equal(pixels.Length, o.VisiblePixels);
            Assert.InRange(o.PixelsInFrame, o.VisiblePixels, Size * Size);
            var box = new SyntheticBox(pixels.Min(i => i % Size), pixels.Min(i => i / Size), pixels.Max(i => i % Size) - pixels.Min(i => i % Size) + 1, pixels.Max(i => i / Size) - pixels.Min(i => i / Size) + 1);
            Assert.Equal(box, o.Box);
            Assert.All(pixels, i => Assert.Equal(o.Name, SyntheticClasses.SemanticNames[image.SemanticMap[i]]));
        }

        for (int i = 0; i < Size * Size; i++)
        {
            Assert.Equal(image.SemanticMap[i] == 0, image.Depth[i] == 0);
            if (image.Instances[i] == 0) Assert.InRange(image.SemanticMap[i], 0, 3);
            Assert.True(float.IsFinite(image.Depth[i]) && image.Depth[i] >= 0);
        }
    }

    [Fact]
    public void TheMainObjectIsSeen()
    {
        int shown = Enumerable.Range(0, 80).Count(i =>
        {
            SyntheticImage image = World.Draw(i);
            return image.Objects.Where(o => o.Label == image.Label).Sum(o => o.VisiblePixels) > 0.015 * Size * Size;
        });
        Assert.True(shown >= 76, $"{shown} of 80");
    }

    [Theory, MemberData(nameof(SomeIndices))]
    public void MatchesAreExactByReprojection(int index)
    {
        SyntheticPair pair = World.DrawPair(index);
        int compared = 0;
        for (int i = 0; i < Size * Size; i += 7)
        {
            float x = i % Size + 0.5f, y = i / Size + 0.5f, depth = pair.A.Depth[i];
            SyntheticMatch match = pair.AToB(x, y);
            if (depth == 0)
            {
                Assert.True(float.IsNaN(match.Position.X) && !match.Visible);
                continue;
            }

            // Through the published camera and depth alone: nothing moved, so the point of the world is the same.
            Vector3 expected = pair.B.Camera.Project(pair.A.Camera.Unproject(x, y, depth));
            if (expected.Z <= 0)
            {
                Assert.False(match.Visible);
                continue;
            }

            Assert.Equal(expected.X, match.Position.X, 0.02f);
            Assert.Equal(expected.Y, match.Position.Y, 0.02f);
            compared++;
        }

        Assert.True(compared > 100);
    }

    [Theory, MemberData(nameof(SomeIndices))]
    public void VisibleMatchesComeBackAndHiddenOnesAreBehindSomething(int index)
    {
        SyntheticPair pair = World.DrawPair(index, movingObjects: true), back = new(pair.B, pair.A);
        int visible = 0, returned = 0, hidden = 0, covered = 0;
        for (int i = 0; i < Size * Size; i += 5)
        {
            SyntheticMatch match = pair.AToB(i % Size + 0.5f, i / Size + 0.5f);
            if (float.IsNaN(match.Position.X)) continue;
            (float x, float y) = (match.Position.X, match.Position.Y);
            bool inside = x >= 0 && y >= 0 && x < Size && y < Size;
            if (match.Visible)
            {
                visible++;
                Assert.True(inside);
                SyntheticMatch there = back.AToB(x, y);
                if (Vector2.Distance(there.Position, new Vector2(i % Size + 0.5f, i / Size + 0.5f)) < 0.1f) returned++;
            }
            else if (inside)
            {
                // Something else is seen at that place.
                hidden++;
                SyntheticMatch there = back.AToB(x, y);
                if (!(Vector2.Distance(there.Position, new Vector2(i % Size + 0.5f, i / Size + 0.5f)) < 0.1f)) covered++;
            }
        }

        Assert.True(returned >= 0.98 * visible - 2, $"{returned} of {visible} visible matches return"); // edges seen at a grazing angle may fall on a neighbour
        Assert.True(covered >= 0.98 * hidden - 2, $"{covered} of {hidden} hidden matches are covered");
    }

    [Fact]
    public void MatchingPlacesHaveTheSameColour()
    {
        // Random places of the other picture differ about four times as much; light, shine and noise explain the rest.
        double matched = 0, shuffled = 0;
        for (int index = 0; index < 20; index++)
        {
            SyntheticPair pair = World.DrawPair(index);
            ReadOnlySpan<byte> a = pair.A.Image.Bytes, b = pair.B.Image.Bytes;
            for (int i = 0; i < Size * Size; i += 3)
            {
                SyntheticMatch match = pair.AToB(i % Size + 0.5f, i / Size + 0.5f);
                if (!match.Visible) continue;
                int j = (int)match.Position.Y * Size + (int)match.Position.X, other = (j + 4211) % (Size * Size);
                for (int c = 0; c < 3; c++)
                {
                    matched += Math.Abs(a[3 * i + c] - b[3 * j + c]);
                    shuffled += Math.Abs(a[3 * i + c] - b[3 * other + c]);
                }
            }
        }

        Assert.True(matched < 0.5 * shuffled, $"{matched / shuffled:0.00}");
    }

    [Fact]
    public void TracksStayOnTheirObject()
    {
        int on = 0, seen = 0, moved = 0;
        for (int index = 0; index < 12; index++)
        {
            SyntheticClip clip = World.DrawClip(index, 4);
            Assert.Equal(World.Draw(index).Image.Bytes, clip.Frames[0].Image.Bytes);
            foreach (SyntheticTrack track in clip.Track(0, Enumerable.Range(0, 64).Select(i => new Vector2(6.5f + i % 8 * 12, 6.5f + i / 8 * 12))))
            {
                if (Vector2.Distance(track.Matches[0].Position, track.Matches[3].Position) > 1) moved++;
                for (int f = 0; f < 4; f++)
                {
                    if (!track.Matches[f].Visible) continue;
                    seen++;
                    (int x, int y) = ((int)track.Matches[f].Position.X, (int)track.Matches[f].Position.Y);
                    if (clip.Frames[f].Instances[y * Size + x] == track.ObjectId) on++;
                }
            }
        }

        Assert.True(seen > 1000 && moved > 200, $"{seen} seen, {moved} moved");
        Assert.True(on > 0.97 * seen, $"{on} of {seen}"); // the map is of pixel centres, a track may be beside one at an edge
    }

    [Fact]
    public void ChangesAreWhatTheMaskSays()
    {
        int withChange = 0;
        for (int index = 0; index < 20; index++)
        {
            SyntheticChange change = World.DrawChange(index);
            Assert.NotEmpty(change.ChangedIds);
            for (int i = 0; i < Size * Size; i++)
            {
                if (!change.Mask[i])
                {
                    Assert.Equal(change.Before.Instances[i], change.After.Instances[i]);
                    Assert.Equal(change.Before.Depth[i], change.After.Depth[i]);
                }
            }

            if (change.Mask.Contains(true)) withChange++;
            Assert.False(change.Before.Image.Bytes.SequenceEqual(change.After.Image.Bytes));
        }

        Assert.True(withChange >= 15, $"{withChange} of 20");
    }

    [Theory]
    [InlineData(8, 8)]
    [InlineData(97, 33)]
    [InlineData(40, 160)]
    public void AnySizeIsDrawn(int width, int height)
    {
        var world = new SyntheticWorld(new SyntheticOptions { Width = width, Height = height });
        for (int i = 0; i < 40; i += 5)
        {
            SyntheticImage image = world.Draw(i);
            Assert.Equal((width, height, width * height), (image.Image.Width, image.Image.Height, image.Depth.Length));
        }
    }

    [Fact]
    public void ImpossibleSizesAreNamed() =>
        Assert.Contains("8 and 4096", Assert.Throws<DinoSharpException>(() => new SyntheticWorld(new SyntheticOptions { Width = 5000 })).Message);
}
