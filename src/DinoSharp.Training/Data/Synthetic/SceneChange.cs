using System.Numerics;
using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>Changes some objects of a scene, and the light a little.</summary>
internal sealed class SceneChange(TorchRandom random)
{
    public (Scene After, IReadOnlySet<int> ChangedIds) Apply(Scene before)
    {
        List<Thing> things = [.. before.Things];
        var changed = new HashSet<int>();
        int edits = 1 + (int)random.Integer(0, 4), next = things.Max(t => t.Id) + 1;
        for (int i = 0; i < edits; i++)
        {
            Thing[] candidates = [.. things.Where(t => t.Id > 0 && !changed.Contains(t.Id))];
            Thing? chosen = candidates.Length == 0 ? null : candidates[random.Integer(0, candidates.Length)];
            float kind = random.NextSingle();
            if (chosen is null || kind < 0.3f)
            {
                Thing near = before.Things.First(t => t.Id > 0), added = new SceneBuilder(random).Extra(next++, near.Pose.Origin);
                for (int attempt = 0; attempt < 12 && things.Any(t => t.Id > 0 && Vector3.Distance(t.Pose.Origin, added.Pose.Origin) < 0.7f * (t.Radius + added.Radius)); attempt++)
                {
                    float turn = random.Uniform(0, MathF.Tau), away = random.Uniform(0.8f, 2.5f);
                    added = added.MovedTo(added.Pose with { Origin = near.Pose.Origin + away * new Vector3(MathF.Sin(turn), 0, MathF.Cos(turn)) });
                }

                things.Add(added);
                changed.Add(added.Id);
                continue;
            }

            changed.Add(chosen.Id);
            int at = things.IndexOf(chosen);
            if (kind < 0.55f && candidates.Length > 1) things.RemoveAt(at);
            else if (kind < 0.8f) things[at] = chosen.MovedTo(chosen.Pose with { Origin = chosen.Pose.Origin + new Vector3(random.Uniform(-1.2f, 1.2f), 0, random.Uniform(-1.2f, 1.2f)) });
            else things[at] = Repainted(chosen);
        }

        // Another hour of the day and another photograph: differences that are no change.
        Light light = before.Light;
        Vector3 toSun = Vector3.Normalize(light.ToSun + new Vector3(random.Uniform(-0.15f, 0.15f), 0, random.Uniform(-0.15f, 0.15f)));
        light = light with { ToSun = toSun, Sun = light.Sun * random.Uniform(0.8f, 1.25f) };
        Sensor sensor = before.Sensor with { MeanTone = before.Sensor.MeanTone * random.Uniform(0.9f, 1.1f), NoiseSeed = random.NextUInt32() };
        return (before with { Things = things, Light = light, Sensor = sensor }, changed);
    }

    private Thing Repainted(Thing thing)
    {
        Material material = Material.Draw(Material.DrawKind(random), thing.Radius, random);
        return new Thing { Id = thing.Id, Semantic = thing.Semantic, Pose = thing.Pose, Parts = [.. thing.Parts.Select(p => p with { Material = material })] };
    }
}
