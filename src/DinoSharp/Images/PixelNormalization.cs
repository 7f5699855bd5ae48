using System.Collections.Immutable;

namespace DinoSharp.Images;

/// <summary>How pixels are normalised before the network sees them: (value in [0, 1] − mean) / std, per channel. It belongs to the weights.</summary>
public sealed record PixelNormalization
{
    /// <summary>Web images, LVD-1689M and every head on it (the ImageNet values).</summary>
    public static PixelNormalization Lvd1689M { get; } = new([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

    /// <summary>Satellite images, SAT-493M.</summary>
    public static PixelNormalization Sat493M { get; } = new([0.430, 0.411, 0.296], [0.213, 0.156, 0.143]);

    /// <summary>Canopy height (CHMv2): as <see cref="Sat493M"/> but for the red mean.</summary>
    public static PixelNormalization Chmv2 { get; } = new([0.420, 0.411, 0.296], [0.213, 0.156, 0.143]);

    /// <summary>Creates a normalisation.</summary>
    /// <param name="mean">Per channel, in units of the value range [0, 1].</param>
    /// <param name="std">Per channel, positive.</param>
    /// <exception cref="ArgumentException">The channels differ, or a value is not finite or not positive where it must be.</exception>
    public PixelNormalization(ImmutableArray<double> mean, ImmutableArray<double> std)
    {
        if (mean.IsDefaultOrEmpty || mean.Length != std.Length)
            throw new ArgumentException($"mean and std need the same number of channels, at least one; found {mean.Length} and {std.Length}");
        if (!mean.All(double.IsFinite) || !std.All(value => double.IsFinite(value) && value > 0))
            throw new ArgumentException($"mean ({string.Join(", ", mean)}) must be finite and std ({string.Join(", ", std)}) positive");
        (Mean, Std) = (mean, std);
    }

    /// <summary>Per channel, in units of the value range [0, 1].</summary>
    public ImmutableArray<double> Mean { get; }

    /// <summary>Per channel, positive.</summary>
    public ImmutableArray<double> Std { get; }

    /// <summary><c>LVD-1689M</c>, <c>SAT-493M</c>, <c>CHMv2</c>, or <c>custom</c>.</summary>
    public string Name => this == Lvd1689M ? "LVD-1689M" : this == Sat493M ? "SAT-493M" : this == Chmv2 ? "CHMv2" : "custom";

    /// <summary>Same values in every channel.</summary>
    /// <param name="other">Compared with this one.</param>
    public bool Equals(PixelNormalization? other) => other is not null && Mean.SequenceEqual(other.Mean) && Std.SequenceEqual(other.Std);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Mean.Length, Mean[0], Std[0]);

    /// <summary>Name and values.</summary>
    public override string ToString() => $"{Name}: mean {string.Join(" ", Mean)}, std {string.Join(" ", Std)}";
}
