using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Heads.Classification;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Detection;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Heads.Text;
using DinoSharp.Images;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Heads;

public sealed class HeadFileTests
{
    [Fact]
    public void ASavedHeadAnswersAsBefore()
    {
        using var folder = new TemporaryFolder();
        using Backbone backbone = TinyHeads.Backbone();
        ImageBuffer picture = TinyHeads.Picture();
        using ImageClassifier classifier = TinyHeads.Classifier(backbone);
        using DepthEstimator depth = TinyHeads.DptDepth(backbone), linear = TinyHeads.LinearDepth(backbone);
        using Segmentor segmentor = TinyHeads.LinearSegmentor(backbone, TinyHeads.Input(1, 3) with { Windows = new HeadWindows(48, 32, 100) }), masks = TinyHeads.Mask2Former(backbone);
        using Detector detector = TinyHeads.Detector(backbone);

        using (var loaded = (ImageClassifier)RoundTrip(folder, backbone, classifier))
        {
            Assert.Equal(classifier.Predict(picture).Ranked, loaded.Predict(picture).Ranked);
            Assert.Equal(0.75, loaded.Metrics["accuracy"]);
        }

        using (var loaded = (DepthEstimator)RoundTrip(folder, backbone, depth)) Assert.Equal(depth.Predict(picture).Meters.ToArray(), loaded.Predict(picture).Meters.ToArray());
        using (var loaded = (DepthEstimator)RoundTrip(folder, backbone, linear)) Assert.Equal(linear.Predict(picture).Meters.ToArray(), loaded.Predict(picture).Meters.ToArray());
        using (var loaded = (Segmentor)RoundTrip(folder, backbone, segmentor)) Assert.Equal(segmentor.Predict(picture).Labels.Values.ToArray(), loaded.Predict(picture).Labels.Values.ToArray());
        using (var loaded = (Segmentor)RoundTrip(folder, backbone, masks)) Assert.Equal(masks.Predict(picture).Labels.Values.ToArray(), loaded.Predict(picture).Labels.Values.ToArray());
        using (var loaded = (Detector)RoundTrip(folder, backbone, detector)) Assert.Equal(detector.Input.Layers, loaded.Input.Layers);
    }

    [Fact]
    public void AWrongBackboneIsRefusedByName()
    {
        using var folder = new TemporaryFolder();
        using Backbone backbone = TinyHeads.Backbone(), other = TinyHeads.Backbone(seed: 8), wider = TinyHeads.Backbone(config: TinyHeads.Config with { Width = 64 });
        using Segmentor head = TinyHeads.LinearSegmentor(backbone);
        head.BackboneName = "dino-tiny";
        string path = Path.Combine(folder.Path, "head.safetensors");
        head.Save(path);
        foreach (Backbone wrong in new[] { other, wider })
        {
            string message = Assert.Throws<DinoSharpException>(() => HeadLoader.Load(wrong, "dinov3-vits16", path)).Message;
            Assert.Contains("belongs to the backbone 'dino-tiny'", message, StringComparison.Ordinal);
            Assert.Contains("not to 'dinov3-vits16'", message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void HeadsLoadThroughTheFrontDoorByTheirKind()
    {
        using var folder = new TemporaryFolder();
        using DinoModel model = DinoModel.Load("random:vits16"), other = DinoModel.Load("random:vits16:5");
        string path = Path.Combine(folder.Path, "head.safetensors");
        HeadInput input = TinyHeads.Input(11) with { Preprocessing = new Preprocessing { Size = SizePolicy.Square(64), Normalization = model.Preprocessing.Normalization } };
        using (var made = new Segmentor(model.Backbone, input, TinyHeads.Filled(new LinearSegmentationHead([384], 3)), new ClassNames(["sky", "road", "tree"]))) made.Save(path);
        using Segmentor head = Segmentor.Load(model, path);
        Assert.Contains(head.Predict(TinyHeads.Picture())[5, 5], head.Classes!);
        Assert.Contains("Segmentor.Load", Assert.Throws<DinoSharpException>(() => DepthEstimator.Load(model, path)).Message, StringComparison.Ordinal);
        Assert.Contains("not to 'random:vits16:5'", Assert.Throws<DinoSharpException>(() => Head.Load(other, path)).Message, StringComparison.Ordinal);
        Assert.Contains("not dino.txt", Assert.Throws<DinoSharpException>(() => DinoText.Load(model, path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheSameWeightsInBFloat16AreTheSameBackbone()
    {
        using Backbone backbone = TinyHeads.Backbone(), rounded = TinyHeads.Backbone(), other = TinyHeads.Backbone(seed: 8);
        using (no_grad())
        using (NewDisposeScope())
        {
            foreach (TorchSharp.Modules.Parameter p in rounded.parameters()) p.copy_(p.to(ScalarType.BFloat16).to(ScalarType.Float32));
        }

        BackboneFingerprint original = BackboneFingerprint.Of(backbone, "a");
        Assert.True(original.Matches(BackboneFingerprint.Of(rounded, "b")));
        Assert.False(original.Matches(BackboneFingerprint.Of(other, "a")));
    }

    [Theory]
    [InlineData("{", "cannot be read")]
    [InlineData("""{"format":2}""", "newer version")]
    [InlineData("""{"format":1,"kind":"Linear"}""", "must be one of")]
    [InlineData("null", "it is empty")]
    public void ADamagedDescriptionIsNamed(string description, string expected)
    {
        using var folder = new TemporaryFolder();
        using Backbone backbone = TinyHeads.Backbone();
        using Segmentor head = TinyHeads.LinearSegmentor(backbone);
        string path = Path.Combine(folder.Path, "head.safetensors");
        StateDict.Save(head.Network, path, [KeyValuePair.Create(HeadDescription.Key, description)]);
        Assert.Contains(expected, Assert.ThrowsAny<DinoSharpException>(() => HeadLoader.Load(backbone, "b", path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnOfficialFileOfAnotherWidthIsRefused()
    {
        using var folder = new TemporaryFolder();
        using Backbone backbone = TinyHeads.Backbone();
        string path = Path.Combine(folder.Path, "linear.safetensors");
        using (Tensor weight = zeros(1000, 8192), bias = zeros(1000)) SafetensorsWriter.Write(path, [KeyValuePair.Create("weight", weight), KeyValuePair.Create("bias", bias)]);
        Assert.Contains("offers", Assert.Throws<DinoSharpException>(() => HeadLoader.Load(backbone, "tiny", path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ABackboneFileIsNoHead()
    {
        string path = Path.Combine(Repository.Fixtures, "golden", "vit_rmsnorm_swiglu32.weights.safetensors");
        using Backbone backbone = TinyHeads.Backbone();
        Assert.Contains("holds no head", Assert.Throws<TensorFileException>(() => HeadLoader.Load(backbone, "tiny", path)).Message, StringComparison.Ordinal);
    }

    /// <summary>The golden files hold head and backbone together, under official names: both are found in them.</summary>
    [Theory]
    [InlineData("mask2former_full", HeadKind.Mask2Former)]
    [InlineData("detr_windows", HeadKind.Detr)]
    [InlineData("depther_full", HeadKind.DptDepth)]
    [InlineData("segmentation_inference", HeadKind.LinearSegmentation)]
    [InlineData("linear_classifier", HeadKind.LinearClassifier)]
    public void HeadsAreRecognisedInOfficialFiles(string name, HeadKind expected)
    {
        string path = Repository.Shared($"golden/{name}.weights.safetensors");
        using BackboneWeights backboneFile = BackboneWeights.Open(path);
        using Backbone backbone = backboneFile.CreateBackbone();
        using Head head = HeadLoader.Load(backbone, name, path, new HeadOptions { Input = TinyHeads.Input([.. Enumerable.Range(0, backbone.Config.LayerCount).TakeLast(expected == HeadKind.LinearClassifier ? 1 : 4)]) with { MultiplePixels = 32 }, Bins = DepthBins.SynthMix });
        Assert.Equal(expected, head.Kind);
        object answer = head.AnswerAlone(TinyHeads.Picture(), default);
        if (answer is Classification classification) Assert.Equal(11, classification.Ranked.Count);
    }

    [Fact]
    public void DinoTextIsRecognisedInAnOfficialFile()
    {
        string path = Repository.Shared("golden/dinotxt_vitl_like.weights.safetensors");
        using BackboneWeights backboneFile = BackboneWeights.Open(path);
        using Backbone backbone = backboneFile.CreateBackbone();
        using DinoText text = DinoText.Load(backbone, path, new DinoTextOptions { TextHeads = 4 });
        Assert.Equal(64, text.EmbedDim);
        Assert.Contains("DinoText.Load", Assert.Throws<DinoSharpException>(() => HeadLoader.Load(backbone, "b", path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheHuggingFaceCanopyHeadHasTheSameTensors()
    {
        using var folder = new TemporaryFolder();
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator head = TinyHeads.DptDepth(backbone);
        string path = WriteHuggingFace(head, folder.Path);
        using Head loaded = HeadLoader.Load(backbone, "b", path, new HeadOptions { Input = head.Input, Bins = head.Bins });
        Assert.Equal(head.Predict(TinyHeads.Picture()).Meters.ToArray(), ((DepthEstimator)loaded).Predict(TinyHeads.Picture()).Meters.ToArray());
    }

    [Fact]
    public void AHuggingFaceFolderSaysItsLayersAndDepths()
    {
        using var folder = new TemporaryFolder();
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator head = TinyHeads.DptDepth(backbone);
        string path = WriteHuggingFace(head, folder.Path);
        string unknown = Assert.Throws<DinoSharpException>(() => HeadLoader.Load(backbone, "b", path)).Message;
        Assert.Contains("neither of the published ones", unknown, StringComparison.Ordinal);
        Assert.Contains("config.json", unknown, StringComparison.Ordinal);
        string config = Path.Combine(folder.Path, "config.json");
        File.WriteAllText(config, """{"model_type": "chmv2", "min_depth": 0.01, "max_depth": 40.0, "bins_strategy": "log", "norm_strategy": "softmax", "backbone_config": {"out_indices": [1, 2, 3, 4]}}""");
        using (var loaded = (DepthEstimator)HeadLoader.Load(backbone, "b", path))
        {
            Assert.Equal([0, 1, 2, 3], loaded.Input.Layers);
            Assert.Equal(new DepthBins(0.01, 40, BinSpacing.Log, BinWeighting.Softmax), loaded.Bins);
            Assert.Equal(Normalization.Chmv2, loaded.Input.Preprocessing.Normalization);
        }

        File.WriteAllText(config, """{"model_type": "chmv2", "bins_strategy": "cubic"}""");
        Assert.Contains("'bins_strategy' is 'cubic'", Assert.Throws<TensorFileException>(() => HeadLoader.Load(backbone, "b", path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void PublishedDepthDecodersAreKnownByTheirShapeOnly()
    {
        Assert.True(DptConfig.Canopy.IsCanopy && DptConfig.SynthMix.IsSynthMix);
        Assert.False(DptConfig.Canopy.IsSynthMix || DptConfig.SynthMix.IsCanopy);
        Assert.True((DptConfig.Canopy with { InputChannels = [1024, 1024, 1024, 1024], LevelChannels = [128, 256, 512, 1024] }).IsCanopy); // lists are compared by what is in them
        Assert.False((DptConfig.Canopy with { HiddenChannels = 32 }).IsCanopy);
        Assert.False((DptConfig.SynthMix with { ProjectAfterFusion = false }).IsSynthMix);
    }

    /// <summary>The official linear probe keeps a classifier for each learning rate in one file.</summary>
    [Fact]
    public void OneOfSeveralClassifiersMustBeNamed()
    {
        using var folder = new TemporaryFolder();
        using Backbone backbone = TinyHeads.Backbone();
        string path = Path.Combine(folder.Path, "probe.safetensors");
        using var scope = NewDisposeScope();
        string[] names = ["classifier_1_blocks_avgpool_True_lr_0_00100", "classifier_1_blocks_avgpool_True_lr_0_01000"];
        SafetensorsWriter.Write(path, names.SelectMany((name, i) => new[] { KeyValuePair.Create($"classifiers_dict.{name}.linear.weight", full([5, 64], i)), KeyValuePair.Create($"classifiers_dict.{name}.linear.bias", full([5], i)) }));
        string message = Assert.Throws<TensorFileException>(() => HeadLoader.Load(backbone, "tiny", path)).Message;
        Assert.Contains("holds 2 classifiers", message, StringComparison.Ordinal);
        Assert.Contains(names[1], message, StringComparison.Ordinal);
        Assert.Contains("fits 2", Assert.Throws<TensorFileException>(() => HeadLoader.Load(backbone, "tiny", path, new HeadOptions { Classifier = "avgpool" })).Message, StringComparison.Ordinal);
        Assert.Contains("none that is named 'x'", Assert.Throws<TensorFileException>(() => HeadLoader.Load(backbone, "tiny", path, new HeadOptions { Classifier = "x" })).Message, StringComparison.Ordinal);
        foreach ((string wanted, float bias) in new[] { ("lr_0_01000", 1f), (names[0], 0f) })
        {
            using Head head = HeadLoader.Load(backbone, "tiny", path, new HeadOptions { Classifier = wanted });
            Assert.Equal(bias, head.Network.state_dict()["bias"][0].item<float>());
        }
    }

    [Fact]
    public void DinoTextWithoutBlocksLoads()
    {
        using var folder = new TemporaryFolder();
        using Backbone backbone = TinyHeads.Backbone();
        var config = new DinoTextConfig { EmbedDim = 64, VisionWidth = 32, VisionHeads = 2, VisionBlocks = 0, ContextLength = 16, TextWidth = 64, TextHeads = 1, TextLayers = 2 };
        using var made = new DinoText(backbone, TinyHeads.Filled(new DinoTextHead(config)), config);
        string path = Path.Combine(folder.Path, "text.safetensors");
        StateDict.Save(made.Network, path, []);
        using DinoText text = DinoText.Load(backbone, path);
        Assert.Equal(made.EncodeImage(TinyHeads.Picture()), text.EncodeImage(TinyHeads.Picture()));
        using Backbone wider = TinyHeads.Backbone(config: TinyHeads.Config with { Width = 64 });
        Assert.Contains("the backbone has 64", Assert.Throws<DinoSharpException>(() => DinoText.Load(wider, path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void HeadsOfAnUnusualTextTowerMustBeGiven()
    {
        using var folder = new TemporaryFolder();
        using Backbone backbone = TinyHeads.Backbone();
        var config = new DinoTextConfig { EmbedDim = 64, VisionWidth = 32, VisionHeads = 2, ContextLength = 16, TextWidth = 48, TextHeads = 4, TextLayers = 2 };
        using var made = new DinoText(backbone, TinyHeads.Filled(new DinoTextHead(config)), config);
        string path = Path.Combine(folder.Path, "text.safetensors");
        StateDict.Save(made.Network, path, []);
        Assert.Contains("TextHeads", Assert.Throws<DinoSharpException>(() => DinoText.Load(backbone, path)).Message, StringComparison.Ordinal);
        Assert.Contains("5 heads do not divide", Assert.Throws<DinoSharpException>(() => DinoText.Load(backbone, path, new DinoTextOptions { TextHeads = 5 })).Message, StringComparison.Ordinal);
        using DinoText text = DinoText.Load(backbone, path, new DinoTextOptions { TextHeads = 4 });
        Assert.Equal(made.EncodeText("a cat"), text.EncodeText("a cat"));
    }

    [Fact]
    public void DinoTextSeesPicturesAsItsModelDoesAndAtTheSizeAskedFor()
    {
        using var folder = new TemporaryFolder();
        using Backbone backbone = TinyHeads.Backbone();
        using DinoText made = TinyHeads.Text(backbone);
        string path = Path.Combine(folder.Path, "text.safetensors");
        StateDict.Save(made.Network, path, []);
        using DinoText text = DinoText.Load(backbone, path, new DinoTextOptions { ImageSizePixels = 64 }, Normalization.Sat);
        Preprocessing seen = text.ClassificationInput.Preprocessing;
        Assert.Equal((SizePolicy.ShorterSide(64), 64, Normalization.Sat), (seen.Size, seen.CenterCropPixels, seen.Normalization));
        Assert.Equal(Normalization.Sat, text.SegmentationInput.Preprocessing.Normalization);
        Assert.Equal(224, made.ClassificationInput.Preprocessing.CenterCropPixels);
        Assert.Contains("multiple such as 48", Assert.Throws<DinoSharpException>(() => DinoText.Load(backbone, path, new DinoTextOptions { ImageSizePixels = 50 })).Message, StringComparison.Ordinal);
    }

    private static string WriteHuggingFace(DepthEstimator head, string folder)
    {
        string path = Path.Combine(folder, "model.safetensors");
        SafetensorsWriter.Write(path, head.Network.state_dict().Select(e => KeyValuePair.Create("head." + HuggingFaceName(e.Key), e.Value)));
        return path;
    }

    private static string HuggingFaceName(string official) => official
        .Replace("reassemble_blocks.readout_projects", "reassemble_stage.readout_projects", StringComparison.Ordinal)
        .Replace("reassemble_blocks.projects.", "reassemble_stage.layers.", StringComparison.Ordinal)
        .Replace("reassemble_blocks.resize_layers.", "reassemble_stage.layers.", StringComparison.Ordinal) switch
    {
        { } name when official.StartsWith("reassemble_blocks.projects.", StringComparison.Ordinal) => name.Replace(".conv.", ".projection.", StringComparison.Ordinal),
        { } name when official.StartsWith("reassemble_blocks.resize_layers.", StringComparison.Ordinal) => name.Insert(name.LastIndexOf('.'), ".resize"),
        { } name when official.StartsWith("convs.", StringComparison.Ordinal) => name.Replace(".conv.", ".", StringComparison.Ordinal),
        { } name when official.StartsWith("fusion_blocks.", StringComparison.Ordinal) => name
            .Replace("fusion_blocks", "fusion_layers", StringComparison.Ordinal)
            .Replace("project.conv", "projection", StringComparison.Ordinal)
            .Replace("res_conv_unit", "residual_layer", StringComparison.Ordinal)
            .Replace("conv1.conv", "convolution1", StringComparison.Ordinal)
            .Replace("conv2.conv", "convolution2", StringComparison.Ordinal),
        { } name => name,
    };

    private static Head RoundTrip(TemporaryFolder folder, Backbone backbone, Head head)
    {
        string path = Path.Combine(folder.Path, $"{head.Kind}.safetensors");
        head.Save(path, new Dictionary<string, double> { ["accuracy"] = 0.75 });
        return HeadLoader.Load(backbone, "backbone", path);
    }
}
