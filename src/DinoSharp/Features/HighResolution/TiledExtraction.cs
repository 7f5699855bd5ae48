using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Features.HighResolution;

/// <summary>Features of a picture computed tile by tile. Where tiles overlap, their patches are averaged with weights that fade towards the edge of a tile.</summary>
/// <remarks>A patch then knows of its own tile only, and class token and registers are means over the tiles: memory is bounded, but the numbers are not those of the whole picture.</remarks>
internal static class TiledExtraction
{
    /// <summary>The layers of a picture.</summary>
    /// <param name="network">What computes a tile.</param>
    /// <param name="pixels">Normalised, [1, C, H, W].</param>
    /// <param name="grid">The tiles.</param>
    /// <param name="stride">Of a layer the side of the cell that one patch stands for, in pixels.</param>
    /// <param name="cancel">Checked before each tile.</param>
    public static LayerFeatures[] Run(Func<Tensor, LayerFeatures[]> network, Tensor pixels, TileGrid grid, Func<int, int> stride, CancellationToken cancel)
    {
        using var scope = NewDisposeScope();
        Sum[]? sums = null;
        for (int row = 0; row < grid.Tops.Length; row++)
        {
            for (int column = 0; column < grid.Lefts.Length; column++)
            {
                cancel.ThrowIfCancellationRequested();
                using var one = NewDisposeScope();
                Tensor tile = pixels.narrow(2, grid.Tops[row], grid.TileHeight).narrow(3, grid.Lefts[column], grid.TileWidth).contiguous(); // [1, C, th, tw]
                LayerFeatures[] layers = network(tile);
                sums ??= [.. layers.Select(layer => Sum.For(layer, stride(layer.Layer), grid))];
                foreach ((Sum sum, LayerFeatures layer) in sums.Zip(layers)) sum.Add(layer, grid, row, column);
            }
        }

        return [.. sums!.Select(sum => sum.Mean().MoveToOuterDisposeScope())];
    }

    private sealed record Sum(int Layer, int Stride, Tensor ClassToken, Tensor Registers, Tensor Patches, Tensor Weights)
    {
        private int _tiles;

        public static Sum For(LayerFeatures layer, int stride, TileGrid grid)
        {
            long h = grid.Height / stride, w = grid.Width / stride;
            return new Sum(layer.Layer, stride, Outside(zeros_like(layer.ClassToken)), Outside(zeros_like(layer.Registers)), Outside(zeros(1, h, w, layer.Patches.shape[2], device: layer.Patches.device)), Outside(zeros(1, h, w, 1, device: layer.Patches.device))); // [1, D], [1, R, D], [1, h, w, D], [1, h, w, 1]
        }

        public void Add(LayerFeatures layer, TileGrid grid, int row, int column)
        {
            (int h, int w) = (layer.GridHeight, layer.GridWidth);
            double overlap = Math.Max(1, (double)grid.Overlap / Stride);
            Tensor down = tensor(TileGrid.Fade(h, overlap, row == 0, row == grid.Tops.Length - 1), device: Patches.device).reshape(1, h, 1, 1); // [1, th, 1, 1]
            Tensor along = tensor(TileGrid.Fade(w, overlap, column == 0, column == grid.Lefts.Length - 1), device: Patches.device).reshape(1, 1, w, 1); // [1, 1, tw, 1]
            Tensor weight = down * along; // [1, th, tw, 1]
            Window(Patches).add_(layer.Patches.reshape(1, h, w, -1) * weight, Num(1)); // [1, th, tw, D]
            Window(Weights).add_(weight, Num(1));
            ClassToken.add_(layer.ClassToken, Num(1));
            Registers.add_(layer.Registers, Num(1));
            _tiles++;

            Tensor Window(Tensor sum) => sum.narrow(1, grid.Tops[row] / Stride, h).narrow(2, grid.Lefts[column] / Stride, w);
        }

        public LayerFeatures Mean()
        {
            (int h, int w) = ((int)Patches.shape[1], (int)Patches.shape[2]);
            return new LayerFeatures(Layer, ClassToken / Num(_tiles), Registers / Num(_tiles), Patches.div_(Weights).reshape(1, h * w, -1), h, w); // [1, P, D]
        }

        // Sums outlive the tile that they are made with.
        private static Tensor Outside(Tensor tensor) => tensor.MoveToOuterDisposeScope();
    }
}
