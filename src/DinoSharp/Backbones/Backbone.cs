using DinoSharp.Inference;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Backbones;

/// <summary>A frozen or trainable feature extractor: images in, class token, registers and patch tokens out.</summary>
/// <remarks>A new backbone has unset weights: load a file into it or call <see cref="Initialize"/>. Inference never augments or drops anything, whatever
/// the module's training flag says; training has a method of its own.</remarks>
public abstract class Backbone : nn.Module<Tensor, Tensor>
{
    private bool _disposed;

    private protected Backbone(string name, BackboneConfig config)
        : base(name)
    {
        config.Validate();
        Config = config;
    }

    /// <summary>What the network was built from.</summary>
    public BackboneConfig Config { get; }

    /// <summary>What computes when nothing is trained; null: the modules.</summary>
    private protected InferenceEngine? Engine { get; private set; }

    /// <summary>The file that weights are still in; null: none are.</summary>
    internal DeferredWeights? Deferred { get; set; }

    /// <summary>Bytes of all parameters.</summary>
    internal long WeightBytes => Outline().Sum(parameter => parameter.Unfilled.numel() * parameter.Unfilled.element_size());

    /// <summary>Bytes of the buffers of our own kernels for so many images; null if libtorch computes.</summary>
    internal long? KernelBuffers(int height, int width, int batch = 1) => Engine?.BufferBytes(height, width, batch);

    /// <summary>Builds the network that a configuration describes, with unset weights.</summary>
    /// <param name="config">A <see cref="VisionTransformerConfig"/> or a <see cref="ConvNeXtConfig"/>.</param>
    /// <param name="device">Where the weights live; <c>torch.META</c> gives names and shapes without memory. Null: CPU.</param>
    /// <exception cref="ArgumentException">The configuration cannot work; the message names the value.</exception>
    public static Backbone Create(BackboneConfig config, Device? device = null) => config switch
    {
        VisionTransformerConfig vit => new VisionTransformer(vit, device),
        ConvNeXtConfig convNeXt => new ConvNeXt(convNeXt, device),
        _ => throw new ArgumentException($"no backbone for {config.GetType().Name}"),
    };

    /// <summary>Draws fresh weights as the original does before training (reference initialisation: normal 0.02, norms 1, biases 0, scales constant).</summary>
    /// <param name="random">A CPU generator; equal seeds give equal weights.</param>
    public abstract void Initialize(Generator random);

    /// <summary>Brings the weights into the form that this processor computes fastest. Call it once they are loaded: later changes of the weights are
    /// not seen by inference until it is called again. It takes a copy of the weights; training and masked passes go on using the originals.</summary>
    /// <param name="compute">The precision of the large matrix products.</param>
    /// <returns>The route that inference takes from now on.</returns>
    /// <exception cref="DinoSharpException">There are no kernels of that precision for this processor or network; <see cref="ComputeType.Auto"/> never fails.</exception>
    public InferenceRoute PrepareForInference(ComputeType compute = ComputeType.Float32) => PrepareForInference(compute, RouteMemory.OfUser(), long.MaxValue);

    /// <summary>The same with the memory in sight.</summary>
    /// <param name="compute">The precision of the large matrix products.</param>
    /// <param name="memory">Where choices are kept; null: nowhere.</param>
    /// <param name="room">Bytes that copies of the weights may take.</param>
    internal InferenceRoute PrepareForInference(ComputeType compute, RouteMemory? memory, long room)
    {
        Engine?.Dispose();
        Engine = null;
        (Engine, InferenceRoute route) = EngineChoice.For(this, compute, memory, room);
        return route;
    }

    /// <summary>The normalised class token. [B, D]</summary>
    /// <param name="input">Normalised images [B, C, H, W].</param>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        return ForwardFeatures(input).ClassToken.MoveToOuterDisposeScope();
    }

    /// <summary>All tokens after the last layer.</summary>
    /// <param name="images">Normalised images [B, C, H, W]; pixels beyond the last whole patch are ignored.</param>
    /// <param name="masks">True where a patch is replaced by the mask token [B, P]; null: none. A ConvNeXt ignores it.</param>
    public abstract BackboneOutput ForwardFeatures(Tensor images, Tensor? masks = null);

    /// <summary>One training pass over groups of crops of different sizes, with rotary augmentation and stochastic depth.</summary>
    /// <param name="crops">Each [B, C, H, W] with its own B, H and W. The second group is taken as the local crops.</param>
    /// <param name="masks">For each group its masks [B, P], or null.</param>
    /// <param name="random">Source of every random number of the pass (a CPU generator).</param>
    /// <param name="recompute">Keep only the input of each block for the backward pass and compute the rest again: far less memory, about a third more time.</param>
    /// <returns>One output per group.</returns>
    public abstract BackboneOutput[] ForwardTraining(IReadOnlyList<Tensor> crops, IReadOnlyList<Tensor?> masks, Generator random, bool recompute = false);

    /// <summary>Dense features of chosen layers, in network order.</summary>
    /// <param name="images">Normalised images [B, C, H, W].</param>
    /// <param name="layers">Layers by index or the last n.</param>
    /// <param name="normalize">Apply the final norm to each layer (the published heads do); a ConvNeXt has one for its last stage only.</param>
    public abstract LayerFeatures[] GetLayers(Tensor images, LayerSelection layers, bool normalize = true);

    /// <summary>Blocks of all stages.</summary>
    internal abstract int BlockCount { get; }

    /// <summary>Names, shapes, types and devices of the parameters, and samples of their numbers, without reading weights that are still in the file.</summary>
    internal IEnumerable<ParameterOutline> Outline() => ParameterOutline.Of(this);

    /// <summary>Whether <see cref="TryCreateEngine"/> will give an engine, which depends on no weights.</summary>
    internal abstract bool HasKernels(ComputeType type);

    /// <summary>An engine of our own kernels, or null with the reason why there is none.</summary>
    /// <param name="type">Not <see cref="ComputeType.Auto"/>.</param>
    /// <param name="reason">The kernels in words, or why there are none.</param>
    /// <param name="exactBlocks">With <see cref="ComputeType.Int8"/>: so many blocks, spread evenly, multiply in bfloat16 in their feed-forward layers.</param>
    /// <param name="library">With <see cref="ComputeType.BFloat16"/>: linear layers by <see cref="MatrixLibrary"/>.</param>
    internal abstract InferenceEngine? TryCreateEngine(ComputeType type, out string reason, int exactBlocks = 0, bool library = false);

    /// <summary>What layers give by the modules themselves, whatever engine there is; before the final norm.</summary>
    internal abstract Tensor[] RunLayers(Tensor images, int[] wanted);

    /// <summary>The final norm over what the last layer gives. [B, N, D]</summary>
    internal abstract Tensor NormalizeTokens(Tensor last);

    /// <summary>Throws if images do not fit this backbone, or if it is disposed.</summary>
    private protected void Check(Tensor images, int smallestSide)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (images.dim() != 4) throw new DinoSharpException($"images must be [B, C, H, W], found [{string.Join(", ", images.shape)}]");
        if (images.shape[1] != Config.InputChannels) throw new DinoSharpException($"the backbone takes {Config.InputChannels} channels, the images have {images.shape[1]}");
        if (images.shape[2] < smallestSide || images.shape[3] < smallestSide) throw new DinoSharpException($"images of {images.shape[3]}x{images.shape[2]} pixels are smaller than one {smallestSide}x{smallestSide} patch");
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _disposed = true;
            Engine?.Dispose();
            Engine = null;
        }

        base.Dispose(disposing);
        if (disposing) Deferred?.Dispose();
    }
}
