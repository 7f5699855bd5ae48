using System.Numerics;
using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>Colours, as linear light per channel in 0 … 1.</summary>
internal static class Palette
{
    /// <summary>A colour by hue (turns), saturation and brightness (as seen, not linear).</summary>
    public static Vector3 FromHsv(float hue, float saturation, float value)
    {
        return new Vector3(Linear(Channel(0)), Linear(Channel(2 / 3f)), Linear(Channel(1 / 3f)));

        float Channel(float shift)
        {
            float h = hue + shift;
            h = MathF.Abs((h - MathF.Floor(h)) * 6 - 3) - 1;
            return value * (1 + saturation * (Math.Clamp(h, 0, 1) - 1));
        }

        static float Linear(float seen) => MathF.Pow(seen, 2.2f);
    }

    /// <summary>Any colour; muted ones are more common.</summary>
    public static Vector3 Draw(TorchRandom random)
    {
        float s = random.NextSingle(), v = random.NextSingle();
        return FromHsv(random.NextSingle(), random.NextSingle() < 0.5f ? s * 0.45f : 0.4f + 0.55f * s, 0.12f + 0.83f * MathF.Sqrt(v));
    }

    /// <summary>A ramp from dark to light or between related or opposite colours.</summary>
    public static Vector3[] Ramp(PatternKind kind, int length, TorchRandom random)
    {
        float hue = random.NextSingle(), saturation = random.NextSingle(), choice = random.NextSingle();
        saturation *= 0.9f * (random.NextSingle() < 0.6f ? saturation : 1); // strong colours are rare in the world
        int stops = (int)random.Integer(2, 5);
        var colors = new Vector3[stops];
        if (kind is PatternKind.Wood && choice < 0.7f) (hue, saturation) = (random.Uniform(0.04f, 0.11f), random.Uniform(0.3f, 0.7f));
        for (int i = 0; i < stops; i++)
        {
            float at = (float)i / (stops - 1);
            colors[i] = choice switch
            {
                < 0.45f => FromHsv(hue + random.Uniform(-0.05f, 0.05f), saturation * random.Uniform(0.6f, 1), 0.12f + 0.8f * at * random.Uniform(0.7f, 1)), // one hue, dark to light
                < 0.7f => FromHsv(hue + random.Uniform(-0.12f, 0.12f), saturation, random.Uniform(0.3f, 0.95f)), // neighbours
                < 0.85f => FromHsv(hue + 0.5f * (i % 2) + random.Uniform(-0.06f, 0.06f), saturation, random.Uniform(0.25f, 0.95f)), // opposites
                _ => Draw(random),
            };
        }

        if (random.NextSingle() < 0.3f) Array.Reverse(colors);
        if (random.NextSingle() < 0.55f)
        {
            // Most surfaces vary little around one tone.
            float contrast = random.Uniform(0.15f, 0.7f);
            Vector3 mean = colors.Aggregate(Vector3.Zero, (sum, c) => sum + c) / stops;
            for (int i = 0; i < stops; i++) colors[i] = Vector3.Lerp(mean, colors[i], contrast);
        }

        var ramp = new Vector3[length];
        for (int i = 0; i < length; i++)
        {
            float x = (float)i / (length - 1) * (stops - 1);
            int left = Math.Min((int)x, stops - 2);
            ramp[i] = kind == PatternKind.Plain ? colors[0] : Vector3.Lerp(colors[left], colors[left + 1], x - left);
        }

        return ramp;
    }
}
