using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Text;

/// <summary>dino.txt without its vision backbone (Jose et al. 2025): both towers' heads and the text tower, named as in the official file.</summary>
internal sealed class DinoTextHead : nn.Module
{
    [ComponentName(Name = "logit_scale")] private readonly Parameter _logitScale;
    [ComponentName(Name = "visual_model")] private readonly VisionModel _vision;
    [ComponentName(Name = "text_model")] private readonly TextTower _text;

    public DinoTextHead(DinoTextConfig config, Device? device = null)
        : base(nameof(DinoTextHead))
    {
        config.Validate();
        _logitScale = new Parameter(empty(1, device: device));
        _vision = new VisionModel(config, device);
        _text = new TextTower(config, device);
        RegisterComponents();
    }

    /// <summary>Logarithm of the factor on similarities. [1]</summary>
    public Parameter LogitScale => _logitScale;

    public VisionTextHead Vision => _vision.Head;

    public TextTower Text => _text;

    /// <summary>Scaled cosine similarities. [images, texts]</summary>
    /// <param name="images">Image vectors [images, E].</param>
    /// <param name="texts">Text vectors [texts, E].</param>
    public Tensor Logits(Tensor images, Tensor texts)
    {
        using var scope = NewDisposeScope();
        return (_logitScale.exp() * Unit(images).matmul(Unit(texts).t())).MoveToOuterDisposeScope(); // [images, texts]
    }

    /// <summary>Vectors of unit length along the last axis.</summary>
    public static Tensor Unit(Tensor x) => nn.functional.normalize(x, dim: -1);

    private sealed class VisionModel : nn.Module
    {
        [ComponentName(Name = "head")] private readonly VisionTextHead _head;

        public VisionModel(DinoTextConfig config, Device? device)
            : base(nameof(VisionModel))
        {
            _head = new VisionTextHead(config, device);
            RegisterComponents();
        }

        public VisionTextHead Head => _head;
    }
}
