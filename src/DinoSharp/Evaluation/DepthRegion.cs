namespace DinoSharp.Evaluation;

/// <summary>Which part of a depth map is scored.</summary>
public enum DepthRegion
{
    /// <summary>All of it.</summary>
    Whole,

    /// <summary>Rows 45 to 470 and columns 41 to 600 of 480×640, scaled to the size of the map (Eigen et al. 2014, for NYU).</summary>
    NyuEigen,

    /// <summary>The middle 93 % of the columns and the rows from 41 % to 99 % of the height, where a car's laser measures (Garg et al. 2016, for KITTI).</summary>
    KittiGarg,
}

/// <summary>Valid pixels of depth maps.</summary>
public static class DepthRegionExtensions
{
    /// <summary>The pixels that lie in the region and were measured.</summary>
    /// <param name="region">The region.</param>
    /// <param name="truth">Measured depth, row-major.</param>
    /// <param name="width">Pixels per row.</param>
    /// <param name="notMeasured">The value that stands for no measurement.</param>
    /// <param name="limits">Smallest and largest depth that count, exclusive; null: all.</param>
    public static bool[] Mask(this DepthRegion region, ReadOnlySpan<float> truth, int width, float notMeasured = 0, (float Low, float High)? limits = null)
    {
        int height = truth.Length / width;
        (int top, int bottom, int left, int right) = region switch
        {
            DepthRegion.NyuEigen => (45 * height / 480, 471 * height / 480, 41 * width / 640, 601 * width / 640),
            DepthRegion.KittiGarg => ((int)(0.40810811 * height), (int)(0.99189189 * height), (int)(0.03594771 * width), (int)(0.96405229 * width)),
            _ => (0, height, 0, width),
        };
        bool[] mask = new bool[truth.Length];
        for (int y = top; y < bottom; y++)
        {
            for (int x = left; x < right; x++)
            {
                float depth = truth[(y * width) + x];
                mask[(y * width) + x] = depth != notMeasured && (limits is not var (low, high) || (depth > low && depth < high));
            }
        }

        return mask;
    }
}
