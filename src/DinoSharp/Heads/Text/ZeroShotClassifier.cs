using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Text;

/// <summary>Says which of several texts describes a picture best.</summary>
public sealed class ZeroShotClassifier : IDisposable
{
    // The published procedure multiplies cosine similarities by 100.
    private const double Scale = 100;
    private readonly DinoText _text;
    private readonly Tensor _classes;

    internal ZeroShotClassifier(DinoText text, ClassNames classes, Tensor vectors) => (_text, Classes, _classes) = (text, classes, vectors);

    /// <summary>Names of the classes.</summary>
    public ClassNames Classes { get; }

    /// <summary>The answer for a picture.</summary>
    /// <param name="image">A path; or <see cref="ImageSource.FromBytes"/>, <see cref="ImageSource.FromStream"/>.</param>
    /// <param name="cancel">Checked before the pass of the backbone.</param>
    /// <exception cref="ImageException">The picture cannot be read.</exception>
    public Classification.Classification Predict(ImageSource image, CancellationToken cancel = default) => Predict(ImageFile.Read(image), cancel);

    /// <summary>The answer for a decoded picture.</summary>
    /// <param name="image">Any picture; it is converted to 8-bit RGB.</param>
    /// <param name="cancel">Checked before the pass of the backbone.</param>
    public Classification.Classification Predict(ImageBuffer image, CancellationToken cancel = default)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor picture = tensor(_text.EncodeImage(image, cancel)).to(_classes.device); // [E]
        Tensor probabilities = (_classes.matmul(picture) * Num(Scale)).softmax(0).cpu(); // [classes]
        return new Classification.Classification([.. probabilities.data<float>()], Classes);
    }

    /// <summary>Frees the vectors of the classes.</summary>
    public void Dispose() => _classes.Dispose();
}
