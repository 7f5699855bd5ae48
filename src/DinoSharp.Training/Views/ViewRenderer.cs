using System.Buffers;
using DinoSharp.Images;

namespace DinoSharp.Training.Views;

/// <summary>The kinds of crops.</summary>
internal enum ViewKind
{
    Global,
    Local,
    Gram,

    /// <summary>The undistorted picture of a global crop; an option of the original that nothing in its training uses.</summary>
    Undistorted,
}

/// <summary>Where the values of a crop go. [C, size, size]</summary>
/// <param name="kind">Kind of the crop.</param>
/// <param name="index">Its number within the kind.</param>
internal delegate Span<float> ViewTarget(ViewKind kind, int index);

/// <summary>Makes the views of an image as a plan says (the pipelines of the original's <c>DataAugmentationDINO</c>).</summary>
internal sealed class ViewRenderer(ViewOptions options)
{
    private int Bands => options.Normalization.Channels;

    /// <summary>The image in the form in which views are made of it.</summary>
    /// <exception cref="ImageException">The image's bands do not fit the network's.</exception>
    public Raster Open(ImageBuffer image) => Bands == 3 ? RgbRaster.From(image, options.ValueRange) : BandRaster.From(image, Bands, options.ValueRange);

    /// <summary>Makes all views.</summary>
    /// <param name="image">The image; its colours are changed if the plan says so for all crops together.</param>
    /// <param name="plan">The random choices.</param>
    /// <param name="target">Where the crops go.</param>
    /// <param name="undistorted">Whether the undistorted pictures of the global crops are wanted, too.</param>
    public void Render(Raster image, ViewPlan plan, ViewTarget target, bool undistorted = false)
    {
        image.Change(plan.SharedColor);
        var bases = new Raster?[2];
        try
        {
            for (int i = 0; i < 2; i++)
            {
                bases[i] = CutBase(image, plan.Globals[i].Base, options.BaseSizePixels);
                RenderGlobal(bases[i]!, i, plan.Globals[i].Distortion, target, undistorted);
            }

            for (int i = 0; i < plan.Locals.Count; i++)
            {
                LocalCrop local = plan.Locals[i];
                using Raster crop = local.Own is BaseCrop own ? Distorted(CutBase(image, own, options.LocalSizePixels), local.Distortion)
                    : Inside(bases[i < plan.Locals.Count / 2 ? 0 : 1]!, local);
                crop.Normalize(options.Normalization, target(ViewKind.Local, i));
            }
        }
        finally
        {
            foreach (Raster? picture in bases) picture?.Dispose();
        }
    }

    private void RenderGlobal(Raster picture, int index, Distortion distortion, ViewTarget target, bool undistorted)
    {
        int size = options.GlobalSizePixels;
        if (undistorted) picture.Normalize(options.Normalization, target(ViewKind.Undistorted, index));
        if (options.GramSizePixels is int gramSize && options.GramWithoutDistortions)
        {
            using Raster gram = picture.Resized(gramSize);
            gram.Normalize(options.Normalization, target(ViewKind.Gram, index));
        }

        // Without distortions for the Gram teacher the size is changed first, so that the blur is relative to the size the student sees.
        using Raster student = Distorted(picture.Resized(options.GramWithoutDistortions ? size : picture.Width), distortion);
        if (student.Width == size) student.Normalize(options.Normalization, target(ViewKind.Global, index));
        if (options.GramSizePixels is int other && !options.GramWithoutDistortions) ResizeNormalized(student, index, other, target);
    }

    /// <summary>The Gram teacher's crop, and the global crop if it is smaller, are resized after normalising, in float.</summary>
    private void ResizeNormalized(Raster student, int index, int gramSize, ViewTarget target)
    {
        int from = student.Width, plane = from * from;
        float[] normalized = ArrayPool<float>.Shared.Rent(Bands * plane);
        student.Normalize(options.Normalization, normalized.AsSpan(0, Bands * plane));
        if (from != options.GlobalSizePixels) Planes(options.GlobalSizePixels, target(ViewKind.Global, index));
        Planes(gramSize, target(ViewKind.Gram, index));
        ArrayPool<float>.Shared.Return(normalized);

        void Planes(int to, Span<float> result)
        {
            for (int c = 0; c < Bands; c++)
            {
                ReadOnlySpan<float> band = normalized.AsSpan(c * plane, plane);
                if (to == from) band.CopyTo(result.Slice(c * plane, plane));
                else Resize.Float(band, from, from, 1, new PixelWindow(0, 0, from, from), result.Slice(c * to * to, to * to), to, to, Interpolation.Bicubic);
            }
        }
    }

    private Raster Inside(Raster picture, LocalCrop local)
    {
        using Raster whole = Distorted(picture.Resized(picture.Width), local.Distortion);
        return whole.Cut(new CropWindow(local.Row, local.Column, options.LocalSizePixels, options.LocalSizePixels), options.LocalSizePixels);
    }

    private static Raster CutBase(Raster image, BaseCrop crop, int size)
    {
        Raster picture = image.Cut(crop.Window, size);
        if (crop.Flip) picture.Flip();
        return picture;
    }

    private static Raster Distorted(Raster picture, Distortion distortion)
    {
        picture.Distort(distortion);
        return picture;
    }
}
