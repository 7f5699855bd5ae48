namespace DinoSharp.Heads.Text;

/// <summary>What neither the file of dino.txt says nor its backbone.</summary>
public sealed record DinoTextOptions
{
    /// <summary>Side of the square in which a picture is classified, cut from the middle at that length of its shorter side: 512 for the published ImageNet figures. Null: 224, cut from a shorter side of 256.</summary>
    public int? ImageSizePixels { get; init; }

    /// <summary>Attention heads of the text tower; null: they are 64 wide, as in the published one.</summary>
    public int? TextHeads { get; init; }
}
