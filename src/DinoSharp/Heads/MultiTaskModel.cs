using DinoSharp.Backbones;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Heads;

/// <summary>Several heads on one frozen backbone: a picture goes through the backbone once, and every head answers from that pass.</summary>
/// <remarks>
/// <para>The pass computes the union of the layers that the heads read. Heads whose inputs differ (another size or normalisation, see <see cref="HeadInput"/>) get a pass
/// for each kind of input, unless <see cref="CommonInput"/> is set. The published detector takes passes of its own, and so does a head that would cut the picture into windows; with a common input every
/// head sees it whole.</para>
/// <para>The heads stay the caller's. Safe for use from several threads.</para>
/// </remarks>
public sealed class MultiTaskModel
{
    private readonly Backbone _backbone;

    /// <summary>Puts heads together.</summary>
    /// <param name="heads">At least one; all on the same loaded backbone.</param>
    /// <exception cref="DinoSharpException">Two heads belong to different backbones.</exception>
    public MultiTaskModel(params IReadOnlyList<Head> heads)
    {
        if (heads.Count == 0) throw new ArgumentException("at least one head is needed", nameof(heads));
        _backbone = heads[0].Backbone;
        Head? other = heads.FirstOrDefault(h => !ReferenceEquals(h.Backbone, _backbone));
        if (other is not null) throw new DinoSharpException($"the {heads[0].Kind} head is on the backbone '{heads[0].BackboneName}' and the {other.Kind} head on '{other.BackboneName}'; load both on the same model");
        Heads = [.. heads];
    }

    /// <summary>The heads, in the order given.</summary>
    public IReadOnlyList<Head> Heads { get; }

    /// <summary>Shows every head the picture prepared in this way, whatever it declares, so that one pass serves all. Null: each sees what it declares.</summary>
    public Preprocessing? CommonInput { get; init; }

    /// <summary>The answers of all heads.</summary>
    /// <param name="image">A path; or <see cref="ImageSource.FromBytes"/>, <see cref="ImageSource.FromStream"/>.</param>
    /// <param name="cancel">Checked before each pass of the backbone and each head.</param>
    /// <exception cref="ImageException">The picture cannot be read, or not be brought to the size that a head needs.</exception>
    public MultiTaskAnswers Predict(ImageSource image, CancellationToken cancel = default) => Predict(ImageFile.Read(image), cancel);

    /// <summary>The answers of all heads for a decoded picture.</summary>
    /// <param name="image">Any picture; it is converted to 8-bit RGB.</param>
    /// <param name="cancel">Checked before each pass of the backbone and each head.</param>
    public MultiTaskAnswers Predict(ImageBuffer image, CancellationToken cancel = default)
    {
        var answers = new Dictionary<Head, object>();
        Head[] alone = [.. Heads.Where(h => !h.SharesPass || (CommonInput is null && h.Cuts(image)))];
        int passes = 0;
        foreach (IGrouping<(Preprocessing, ImageFit, int), Head> group in Heads.Except(alone).GroupBy(InputOf))
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            using var quiet = no_grad();
            (Preprocessing preprocessing, ImageFit fit, int multiple) = group.Key;
            int[] layers = [.. group.SelectMany(h => h.Input.Layers).Distinct().Order()];
            using ImageTensor prepared = Head.Prepare(image, preprocessing);
            var input = new HeadInput { Layers = layers, Preprocessing = preprocessing, Fit = fit, MultiplePixels = multiple };
            HeadFeatures features = HeadFeatures.Compute(_backbone, prepared.Tensor.unsqueeze(0), input, layers);
            passes++;
            foreach (Head head in group)
            {
                cancel.ThrowIfCancellationRequested();
                answers.Add(head, head.AnswerFrom(features.Select(head.Input.Layers), prepared.Geometry));
            }
        }

        foreach (Head head in alone) answers.Add(head, head.AnswerAlone(image, cancel));
        return new MultiTaskAnswers(answers, passes);
    }

    private (Preprocessing Preprocessing, ImageFit Fit, int Multiple) InputOf(Head head)
    {
        if (CommonInput is null) return (head.Input.Preprocessing, head.Input.Fit, head.Input.MultiplePixels);
        if (!CommonInput.Normalization.Equals(head.Input.Preprocessing.Normalization))
            throw new DinoSharpException($"the {head.Kind} head needs pixels normalised as {head.Input.Preprocessing.Normalization.Name}, the common input is normalised as {CommonInput.Normalization.Name}; leave that head out");
        return (CommonInput, ImageFit.CenterPadding, Heads.Where(h => h.SharesPass).Max(h => h.Input.MultiplePixels));
    }
}

/// <summary>What several heads say about a picture. Plain memory.</summary>
public sealed class MultiTaskAnswers
{
    private readonly Dictionary<Head, object> _answers;

    internal MultiTaskAnswers(Dictionary<Head, object> answers, int passes) => (_answers, BackbonePasses) = (answers, passes);

    /// <summary>Passes of the backbone that the heads shared; those that a head took for itself are not counted.</summary>
    public int BackbonePasses { get; }

    /// <summary>The answer of a head.</summary>
    /// <typeparam name="TAnswer">What it says about a picture.</typeparam>
    /// <param name="head">One of the model's heads.</param>
    /// <exception cref="ArgumentException">It is not.</exception>
    public TAnswer Of<TAnswer>(Head<TAnswer> head)
        where TAnswer : class => _answers.TryGetValue(head, out object? answer) ? (TAnswer)answer : throw new ArgumentException("this head was not asked", nameof(head));
}
