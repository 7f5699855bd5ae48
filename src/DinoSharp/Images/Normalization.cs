namespace DinoSharp.Images;

/// <summary>Mean and standard deviation of each channel, of pixels scaled to 0 … 1. Belongs to the weights: another one silently spoils their features.</summary>
public sealed class Normalization : IEquatable<Normalization>
{
    private readonly float[] _mean, _std;

    /// <summary>A normalisation of any number of channels.</summary>
    /// <param name="name">A name for messages.</param>
    /// <param name="mean">Mean of each channel, of samples scaled to 0 … 1.</param>
    /// <param name="std">Standard deviation of each channel, above 0.</param>
    /// <exception cref="ArgumentException">Different or no counts, a value that is not finite, or a deviation that is not positive.</exception>
    public Normalization(string name, IReadOnlyList<float> mean, IReadOnlyList<float> std)
    {
        if (mean.Count == 0 || mean.Count != std.Count) throw new ArgumentException($"{mean.Count} means and {std.Count} deviations; one of each is needed for each channel");
        if (!mean.All(float.IsFinite) || !std.All(s => float.IsFinite(s) && s > 0)) throw new ArgumentException("means must be finite and deviations above 0");
        Name = name;
        _mean = [.. mean];
        _std = [.. std];
    }

    /// <summary>Web images (LVD-1689M weights and every head on them): the ImageNet values.</summary>
    public static Normalization Lvd { get; } = new("LVD (ImageNet)", [0.485f, 0.456f, 0.406f], [0.229f, 0.224f, 0.225f]);

    /// <summary>Satellite images (SAT-493M weights).</summary>
    public static Normalization Sat { get; } = new("SAT", [0.430f, 0.411f, 0.296f], [0.213f, 0.156f, 0.143f]);

    /// <summary>The canopy height model CHMv2 on the SAT backbone; its red mean differs from <see cref="Sat"/>.</summary>
    public static Normalization Chmv2 { get; } = new("CHMv2", [0.420f, 0.411f, 0.296f], [0.213f, 0.156f, 0.143f]);

    /// <summary>A name for messages; of no account for equality.</summary>
    public string Name { get; }

    /// <summary>Mean of each channel.</summary>
    public IReadOnlyList<float> Mean => _mean;

    /// <summary>Standard deviation of each channel.</summary>
    public IReadOnlyList<float> Std => _std;

    /// <summary>Number of channels C.</summary>
    public int Channels => _mean.Length;

    /// <summary>The normalisation with these values: a known one by its name, or a nameless one.</summary>
    /// <param name="mean">Mean of each channel.</param>
    /// <param name="std">Standard deviation of each channel.</param>
    public static Normalization Of(IReadOnlyList<float> mean, IReadOnlyList<float> std)
    {
        var given = new Normalization("own", mean, std);
        return new[] { Lvd, Sat, Chmv2 }.FirstOrDefault(known => known.Equals(given)) ?? given;
    }

    /// <inheritdoc/>
    public bool Equals(Normalization? other) => other is not null && _mean.AsSpan().SequenceEqual(other._mean) && _std.AsSpan().SequenceEqual(other._std);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Normalization);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(_mean.Length, _mean[0], _std[0]);

    /// <inheritdoc/>
    public override string ToString() => $"{Name}: mean {string.Join(", ", _mean)}; std {string.Join(", ", _std)}";
}
