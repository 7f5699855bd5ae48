using DinoSharp.Cli.Pictures;
using DinoSharp.Images;
using DinoSharp.Training.Data.Synthetic;

namespace DinoSharp.Cli.Demo;

/// <summary>Pictures of this project's own: two samples that travel with the tool, and drawn ones.</summary>
internal static class DemoInputs
{
    private const int Frames = 8, Examples = 3;

    private static readonly SyntheticWorld World = new(new SyntheticOptions { Seed = 6, Width = 384, Height = 288 });

    /// <summary>The two samples and a few drawn pictures.</summary>
    public static Photo[] Samples()
    {
        var samples = new[] { "still-life.jpg", "robin.jpg" }.Select(name =>
        {
            using Stream stream = typeof(DemoInputs).Assembly.GetManifestResourceStream("samples." + name)!;
            return new Photo(name, ImageFile.Read(ImageSource.FromStream(stream, name)).ToRgb8());
        });
        return [.. samples, .. Enumerable.Range(0, 4).Select(i => new Photo($"drawn-{i}", World.DrawPicture(Standing(i)).ToRgb8()))];
    }

    /// <summary>Draws a pair, a clip, a change and examples with masks.</summary>
    /// <returns>The files.</returns>
    public static string[] Write(string folder)
    {
        var files = new List<string>();
        SyntheticPair pair = World.DrawPair(Standing(0));
        Save(pair.A.Image, "pair/a.png");
        Save(pair.B.Image, "pair/b.png");
        SyntheticClip clip = World.DrawClip(Standing(1), Frames);
        for (int i = 0; i < Frames; i++)
        {
            Save(clip.Frames[i].Image, $"clip/frames/{i:00000}.png");
            SaveMask(MainObject(clip.Frames[i], clip.Frames[0]), clip.Frames[i], $"clip/masks/{i:00000}.png");
        }

        SyntheticChange change = World.DrawChange(Standing(2));
        Save(change.Before.Image, "change/before.png");
        Save(change.After.Image, "change/after.png");
        SaveMask([.. change.Mask.Select(changed => changed ? (byte)1 : (byte)0)], change.Before, "change/mask.png");
        SyntheticClip painted = World.DrawClip(Standing(3), Examples + 2);
        for (int i = 0; i < painted.Frames.Count; i++)
        {
            SyntheticImage frame = painted.Frames[i];
            Save(frame.Image, i < Examples ? $"examples/images/{i}.png" : $"targets/{i}.png");
            if (i < Examples) SaveMask(MainObject(frame, painted.Frames[0]), frame, $"examples/masks/{i}.png");
        }

        return [.. files];

        void Save(ImageBuffer picture, string name) => picture.Save(Place(name));

        void SaveMask(byte[] mask, SyntheticImage image, string name) => new LabelMap(image.Width, image.Height, mask).Save(Place(name));

        string Place(string name)
        {
            string file = Path.Combine(folder, name);
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            files.Add(file);
            return file;
        }
    }

    // Objects keep their numbers in a clip.
    private static byte[] MainObject(SyntheticImage image, SyntheticImage first)
    {
        int main = first.Objects.MaxBy(o => o.VisiblePixels)!.Id;
        return [.. image.Instances.Select(id => id == main ? (byte)1 : (byte)0)];
    }

    // Scenes with a floor and several things, the first in every run of 40 that are of this kind.
    private static long Standing(int number) => Enumerable.Range(0, 400).Where(i => World.LabelOf(i) < SyntheticClasses.SolidCount).ElementAt(number);
}
