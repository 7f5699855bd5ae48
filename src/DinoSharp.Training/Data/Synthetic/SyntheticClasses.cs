namespace DinoSharp.Training.Data.Synthetic;

/// <summary>What the synthetic world can show. A picture's class is that of its main object; where a picture shows nothing but a surface, that of its pattern.</summary>
public static class SyntheticClasses
{
    private static readonly string[] Solids =
    [
        "ball", "block", "can", "cone", "ring", "egg", "pyramid", "gem", "pill", "table", "chair", "mushroom", "fir", "tree", "house", "snowman",
        "dumbbell", "car", "lamp", "tower", "mug", "arch", "flower", "rocket",
    ];

    private static readonly string[] Figures = ["disc", "triangle", "square", "star", "cross", "hoop", "crescent", "blob"];

    private static readonly string[] Surfaces = ["stripes", "checks", "bricks", "dots", "wood", "marble", "cells", "fractal"];

    private static readonly string[] Stuff = ["background", "ground", "wall", "hills"];

    /// <summary>Names of the classes of pictures: solid objects, flat figures, surfaces. [40]</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Solids, .. Figures, .. Surfaces];

    /// <summary>Names of the values of a semantic map: background, ground, wall, hills, then <see cref="Names"/>. [44]</summary>
    public static IReadOnlyList<string> SemanticNames { get; } = [.. Stuff, .. Names];

    internal static int SolidCount => Solids.Length;

    internal static int FirstFigure => Solids.Length;

    internal static int FigureCount => Figures.Length;

    internal static int FirstSurface => Solids.Length + Figures.Length;

    internal static int SurfaceCount => Surfaces.Length;

    internal const int Background = 0;
    internal const int Ground = 1;
    internal const int Wall = 2;
    internal const int Hills = 3;

    /// <summary>Value of a class in a semantic map.</summary>
    internal static int Semantic(int label) => label + Stuff.Length;

    /// <summary>Class of a value in a semantic map; −1 for what is no object.</summary>
    internal static int FromSemantic(int semantic) => semantic < Stuff.Length ? -1 : semantic - Stuff.Length;
}
