using System.Numerics;
using DinoSharp.Features;
using DinoSharp.Features.Change;
using DinoSharp.Features.Clustering;
using DinoSharp.Features.Discovery;
using DinoSharp.Features.Matching;
using DinoSharp.Features.Propagation;
using DinoSharp.Images;
using DinoSharp.Training.Data.Synthetic;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Features;

/// <summary>
/// The toolbox on scenes of the synthetic world whose answers are known to the pixel. A perfect backbone is played by the truth itself: each pixel is a patch, and its vector says what is there.
/// What is wrong is then wrong in the toolbox, and nothing may be.
/// </summary>
public sealed class SyntheticAnswersTests
{
    private const int Side = 48;

    private static readonly SyntheticWorld World = new(new SyntheticOptions { Seed = 11, Width = Side, Height = Side });

    // Unit vectors that are different for different things: one number is 1.
    private static PatchMap Of(IEnumerable<int> things, int kinds)
    {
        int[] all = [.. things];
        float[] values = new float[all.Length * kinds];
        for (int i = 0; i < all.Length; i++) values[(i * kinds) + all[i]] = 1;
        return new PatchMap(Side, Side, kinds, values, PatchGeometry.Whole(Side, Side));
    }

    private static int Kinds(params SyntheticImage[] images) => 1 + images.Max(image => image.Instances.Max());

    [Theory]
    [InlineData(MaskUpsampling.Bilinear)]
    [InlineData(MaskUpsampling.NearestStretched)]
    public void ObjectsAreTrackedToThePixel(MaskUpsampling upsampling)
    {
        var options = new PropagationOptions { Radius = null, Upsampling = upsampling };
        int scenes = 0, compared = 0, moved = 0;
        for (long index = 0; scenes < 4; index++)
        {
            SyntheticClip clip = World.DrawClip(index, 4);
            byte[][] truth = [.. clip.Frames.Select(frame => frame.Instances.Select(id => (byte)id).ToArray())];
            byte[] known = [.. truth[0].Distinct().Where(id => truth[0].Count(f => f == id) >= options.TopK)]; // fewer patches than vote are outvoted, as the method has it
            if (truth.Any(frame => known.Count(id => frame.Contains(id)) < 2)) continue; // one thing that fills the picture
            scenes++;
            int kinds = Kinds([.. clip.Frames]);
            PatchMap[] maps = [.. clip.Frames.Select(frame => Of(frame.Instances.Select(id => (int)id), kinds))];
            using var tracker = new MaskTracker(maps[0], new LabelMap(Side, Side, truth[0]), options);
            for (int t = 1; t < truth.Length; t++)
            {
                tracker.Advance(maps[t]);
                byte[] found = tracker.Mask(Side, Side).Values.ToArray();
                int[] comparable = [.. Enumerable.Range(0, found.Length).Where(i => known.Contains(truth[t][i]))]; // what the first frame does not show has no right answer
                Assert.Equal(comparable.Select(i => truth[t][i]), comparable.Select(i => found[i]));
                (compared, moved) = (compared + comparable.Length, moved + comparable.Count(i => truth[t][i] != truth[0][i]));
            }
        }

        Assert.InRange(compared, 0.9 * 4 * 3 * Side * Side, 4 * 3 * Side * Side);
        Assert.InRange(moved, 200, compared); // scenes that stand still would prove nothing
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void ChangesAreFoundToThePixel(long index)
    {
        SyntheticChange change = World.DrawChange(index);
        int kinds = Kinds(change.Before, change.After);
        PatchMap before = Of(change.Before.Instances.Select(id => (int)id), 2 * kinds);
        PatchMap after = Of(change.After.Instances.Select(id => change.ChangedIds.Contains(id) ? kinds + id : id), 2 * kinds); // repainted or moved: it looks different
        byte[] truth = [.. change.Mask.Select(changed => changed ? (byte)255 : (byte)0)];
        HeatMap distance = ChangeDetection.Distance(before, after);
        Assert.Equal(truth.Select(v => v == 0 ? 0f : 1), distance.Values.ToArray());
        if (truth.All(v => v == 0)) return; // what changed is hidden; the pictures are equal, as asserted
        ChangeThreshold found = ChangeThreshold.Calibrate([(distance, new LabelMap(Side, Side, truth))]);
        Assert.Equal((1.0, 1.0), (found.F1, found.Iou));
        Assert.Equal(truth.Select(v => v != 0), ChangeThreshold.Mask(distance, found.Threshold, Side, Side).Values.ToArray().Select(v => v != 0));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(17)]
    public void PlacesAreMatchedToThePixel(long index)
    {
        SyntheticPair pair = World.DrawPair(index);
        SyntheticMatch[] truth = [.. pair.AllAToB()];
        const double turn = Math.PI / (2 * Side); // the vector of a place turns a quarter over the picture, so nearest vectors are nearest places
        static float[] Vector(double x, double y, bool visible) => visible
            ? [(float)Math.Cos(turn * x), (float)Math.Sin(turn * x), (float)Math.Cos(turn * y), (float)Math.Sin(turn * y), 0]
            : [0, 0, 0, 0, 1];
        var a = new PatchMap(Side, Side, 5, [.. truth.SelectMany(m => Vector(m.Position.X, m.Position.Y, m.Visible))], PatchGeometry.Whole(Side, Side));
        var b = new PatchMap(Side, Side, 5, [.. Enumerable.Range(0, Side * Side).SelectMany(i => Vector((i % Side) + 0.5, (i / Side) + 0.5, visible: true))], PatchGeometry.Whole(Side, Side));
        PatchMatch[] matches = [.. PatchMatcher.Match(a, b, new() { MinSimilarity = 0.5f })];
        Assert.Equal(Enumerable.Range(0, truth.Length).Where(i => truth[i].Visible), matches.Select(m => m.PatchA));
        Assert.InRange(matches.Length, 200, truth.Length);
        foreach (PatchMatch match in matches)
        {
            Vector2 place = truth[match.PatchA].Position;
            Assert.InRange(match.B.X, place.X - 0.51, place.X + 0.51); // half a patch, and the rounding of float32
            Assert.InRange(match.B.Y, place.Y - 0.51, place.Y + 0.51);
        }
    }

    [Fact]
    public void TheObjectOfAPictureIsDiscoveredToThePixel()
    {
        int checkedPictures = 0;
        for (long index = 0; checkedPictures < 3; index++)
        {
            SyntheticImage image = World.Draw(index);
            if (image.Objects is not [var only] || only.VisiblePixels > Side * Side / 3 || only.VisiblePixels < 30) continue; // several objects, or one that is the background
            byte[] inside = [.. image.Instances.Select(id => id == only.Id ? (byte)1 : (byte)0)];
            if (!IsConnected(inside)) continue; // only the part around the most salient place counts
            checkedPictures++;
            DiscoveredObject found = TokenCut.Find(Of(inside.Select(v => (int)v), 2))!;
            Assert.Equal(new Box(only.Box.Left, only.Box.Top, only.Box.Width, only.Box.Height), found.Box);
            Assert.Equal(inside.Select(v => v == 1), found.Mask.Values.ToArray());
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(9)]
    [InlineData(23)]
    public void ClustersAreTheThingsOfThePicture(long index)
    {
        using var scope = NewDisposeScope();
        byte[] things = [.. World.Draw(index).SemanticMap];
        byte[] kinds = [.. things.Distinct().OrderByDescending(kind => things.Count(t => t == kind)).ThenBy(kind => Array.IndexOf(things, kind))];
        PatchMap map = Of(things.Select(t => (int)t), 1 + things.Max());
        KMeans clusters = KMeans.Fit(tensor(map.Values.ToArray(), [map.Count, map.Dim]), kinds.Length);
        Assert.Equal(1, clusters.MeanSimilarity, 6);
        PatchMap similarities = clusters.Similarities(map);
        byte[] found = [.. Enumerable.Range(0, map.Count).Select(i => (byte)PatchClasses.Largest(similarities[i / Side, i % Side]))];
        foreach (byte kind in kinds) Assert.Single(found.Where((_, i) => things[i] == kind).Distinct());
        Assert.Equal(kinds.Length, found.Distinct().Count());
    }

    private static bool IsConnected(byte[] inside)
    {
        var open = new Stack<int>([Array.IndexOf(inside, (byte)1)]);
        var seen = new HashSet<int>(open);
        while (open.TryPop(out int i))
        {
            foreach ((int x, int y) in new[] { ((i % Side) + 1, i / Side), ((i % Side) - 1, i / Side), (i % Side, (i / Side) + 1), (i % Side, (i / Side) - 1) })
            {
                int j = (y * Side) + x;
                if (x is >= 0 and < Side && y is >= 0 and < Side && inside[j] == 1 && seen.Add(j)) open.Push(j);
            }
        }

        return seen.Count == inside.Count(v => v == 1);
    }
}
