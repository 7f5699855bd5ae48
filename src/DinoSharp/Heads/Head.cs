using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Heads;

/// <summary>A network on top of a frozen backbone that answers one question about a picture.</summary>
/// <remarks>Answers are plain memory. A head may be asked from several threads at once, like the model it belongs to, which must live as long as the head.</remarks>
public abstract class Head : IDisposable
{
    private protected Head(Backbone backbone, HeadInput input, nn.Module network, ClassNames? classes)
    {
        input.Validate(backbone);
        (Backbone, Input, Network, Classes) = (backbone, input, network, classes);
    }

    /// <summary>What the head wants to see.</summary>
    public HeadInput Input { get; }

    /// <summary>Names of its classes; null if it has none (depth).</summary>
    public ClassNames? Classes { get; }

    /// <summary>What kind of network it is.</summary>
    public abstract HeadKind Kind { get; }

    /// <summary>Scores that were measured when the head was trained, by name; empty if nobody measured.</summary>
    public IReadOnlyDictionary<string, double> Metrics { get; internal set; } = new Dictionary<string, double>();

    internal Backbone Backbone { get; }

    /// <summary>What the process held when the head was loaded.</summary>
    internal long ResidentBytes { get; } = Environment.WorkingSet;

    /// <summary>What the backbone is called in the head's file.</summary>
    internal string BackboneName { get; set; } = "backbone";

    internal nn.Module Network { get; }

    /// <summary>False for a head that needs passes of the backbone of its own.</summary>
    internal virtual bool SharesPass => true;

    /// <summary>Whether it would see this picture in windows.</summary>
    internal virtual bool Cuts(ImageBuffer image) => false;

    /// <summary>Loads any head from its file: official, Hugging Face (canopy height), or one of our own.</summary>
    /// <param name="model">The loaded backbone; it must live as long as the head.</param>
    /// <param name="path">A file or folder of head weights.</param>
    /// <param name="options">Class names, input or depth bins in place of those of the file; null: none.</param>
    /// <param name="cancel">Stops the loading.</param>
    /// <returns>An <c>ImageClassifier</c>, <c>DepthEstimator</c>, <c>Segmentor</c> or <c>Detector</c>; the caller disposes it.</returns>
    /// <exception cref="DinoSharpException">The head belongs to another backbone (named in the message), or the file holds something else.</exception>
    public static Head Load(DinoModel model, string path, HeadOptions? options = null, CancellationToken cancel = default) =>
        HeadLoader.Load(model.Backbone, model.Name, path, options, model.Preprocessing.Normalization, cancel);

    private protected static T Load<T>(DinoModel model, string path, HeadOptions? options, CancellationToken cancel)
        where T : Head
    {
        Head head = Load(model, path, options, cancel);
        if (head is T wanted) return wanted;
        head.Dispose();
        throw new DinoSharpException($"{path}: holds a {head.Kind} head, not one for {typeof(T).Name}; load it with {head.GetType().Name}.Load");
    }

    /// <summary>Writes the head as one small file: its weights, and in the metadata which backbone, layers, size and classes it belongs to, and how well it did.</summary>
    /// <param name="path">Ends in .safetensors; replaced if it exists.</param>
    /// <param name="metrics">Scores to keep, by name; null: <see cref="Metrics"/>.</param>
    /// <exception cref="TensorFileException">The file cannot be written.</exception>
    public void Save(string path, IReadOnlyDictionary<string, double>? metrics = null)
    {
        HeadDescription description = Describe(new HeadDescription
        {
            Kind = Kind,
            Backbone = BackboneFingerprint.Of(Backbone, BackboneName),
            Input = Input,
            Classes = Classes is null ? null : [.. Classes],
            Metrics = metrics ?? Metrics,
        });
        StateDict.Save(Network, path, [KeyValuePair.Create(HeadDescription.Key, description.ToJson())]);
    }

    /// <summary>Frees the head's weights, not the backbone's.</summary>
    public void Dispose()
    {
        Network.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Adds what only this kind of head has to say about itself.</summary>
    internal virtual HeadDescription Describe(HeadDescription description) => description;

    /// <summary>The answer from one pass of the backbone over the whole picture.</summary>
    internal abstract object AnswerFrom(HeadFeatures features, ImageGeometry geometry);

    /// <summary>The answer of a head that sees the picture by itself.</summary>
    internal abstract object AnswerAlone(ImageBuffer image, CancellationToken cancel);

    /// <summary>A picture as the head's input. The caller disposes it.</summary>
    internal static ImageTensor Prepare(ImageBuffer image, Preprocessing preprocessing) => preprocessing.Apply(image);
}

/// <summary>A head with answers of a known type.</summary>
/// <typeparam name="TAnswer">What it says about a picture.</typeparam>
public abstract class Head<TAnswer> : Head
    where TAnswer : class
{
    private protected Head(Backbone backbone, HeadInput input, nn.Module network, ClassNames? classes)
        : base(backbone, input, network, classes)
    {
    }

    /// <summary>The answer for a picture.</summary>
    /// <param name="image">A path; or <see cref="ImageSource.FromBytes"/>, <see cref="ImageSource.FromStream"/>.</param>
    /// <param name="cancel">Checked before each pass of the backbone.</param>
    /// <exception cref="ImageException">The picture cannot be read, or not be brought to the size that the head needs.</exception>
    public TAnswer Predict(ImageSource image, CancellationToken cancel = default) => Predict(ImageFile.Read(image), cancel);

    /// <summary>The answer for a decoded picture.</summary>
    /// <param name="image">Any picture; it is converted to 8-bit RGB.</param>
    /// <param name="cancel">Checked before each pass of the backbone.</param>
    public abstract TAnswer Predict(ImageBuffer image, CancellationToken cancel = default);

    internal abstract TAnswer Answer(HeadFeatures features, ImageGeometry geometry);

    internal sealed override object AnswerFrom(HeadFeatures features, ImageGeometry geometry) => Answer(features, geometry);

    internal sealed override object AnswerAlone(ImageBuffer image, CancellationToken cancel) => Predict(image, cancel);
}
