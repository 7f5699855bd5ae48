using System.Text.Json;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using DinoSharp.Layers;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>ssl_train_step</c>: consecutive training steps, from crops to updated weights, with and without Gram anchoring and distillation.</summary>
internal static class TrainStepCases
{
    public static void Run(GoldenCase golden)
    {
        Run(golden, onTiles: false);
        if (Kernels.Has(ComputeType.Float32, out _)) Run(golden, onTiles: true);
    }

    private static void Run(GoldenCase golden, bool onTiles)
    {
        JsonElement files = golden.Values.GetProperty("initial_weights");
        using FrozenTeacher? frozen = files.TryGetProperty("distillation_teacher", out JsonElement teacherFile) ? Teacher(golden, golden.File(teacherFile.GetString()!)) : null;
        using var learner = new StudentTeacher(TrainStepConfig.Read(golden, golden.File(files.GetProperty("student").GetString()!)), frozen);
        BackboneCalls.Load(learner.StudentNetwork, golden.File(files.GetProperty("student").GetString()!));
        BackboneCalls.Load(learner.TeacherNetwork, golden.File(files.GetProperty("ema_teacher").GetString()!));
        if (files.TryGetProperty("gram_teacher", out JsonElement gram)) LoadBackbone(learner.Gram!.Backbone!, golden.File(gram.GetString()!));
        foreach (nn.Module network in new nn.Module?[] { learner.StudentNetwork, learner.TeacherNetwork, learner.Gram?.Backbone, frozen?.Network }.OfType<nn.Module>()) TrainedLinear.Use(network, onTiles ? Products.Own : Products.Libtorch);
        foreach (GoldenCall call in golden.Calls) Step(call, learner);
    }

    private static void Step(GoldenCall call, StudentTeacher learner)
    {
        using var scope = NewDisposeScope();
        long step = call.Int("iteration");
        var values = new StepValues(
            call.Arg("lr").GetDouble(), call.Arg("last_layer_lr").GetDouble(), call.Arg("wd").GetDouble(), call.Arg("momentum").GetDouble(), call.Arg("teacher_temp").GetDouble());
        using var batch = new PretrainBatch(
            call.Input("collated_global_crops")!.alias(),
            call.Input("collated_local_crops")!.alias(),
            call.Input("collated_gram_teacher_crops")?.alias(),
            call.Input("collated_masks")!.alias(),
            call.Input("mask_indices_list")!.alias(),
            call.Input("masks_weight")!.alias());
        PretrainBatch[] parts = learner.Prepare(batch);
        StepReport report = learner.ForwardBackward(parts, learner.Teach(parts, values.TeacherTemperature), step, values);
        if (report.NonFinite is not null) throw new InvalidOperationException(report.NonFinite);
        Dictionary<string, Tensor> gradients = learner.StudentNetwork.named_parameters().ToDictionary(p => "grad:" + p.name, p => p.parameter.grad!);
        foreach ((string key, _) in call.Outputs.Where(o => o.Key.StartsWith("grad:", StringComparison.Ordinal)).ToList()) call.Check(key, gradients[key]);
        learner.Clip(report);
        learner.Update(step, values);

        CheckNumbers(call, report, batch.Images);
        CheckState(call, "student_after:", learner.StudentNetwork);
        CheckState(call, "ema_after:", learner.TeacherNetwork);
        if (learner.Gram?.Backbone is { } anchor) CheckState(call, "gram_teacher_after:backbone.", anchor);
    }

    private static void CheckNumbers(GoldenCall call, StepReport report, int images)
    {
        LossTerms losses = report.Losses;
        foreach ((string key, string name) in call.Outputs.ToList())
        {
            double? actual = key switch
            {
                "total_loss" => losses.Total,
                "metric:dino_local_crops_loss" => losses.DinoLocal,
                "metric:dino_local_loss_weight" => losses.LocalWeight,
                "metric:dino_global_crops_loss" => losses.DinoGlobal,
                "metric:koleo_loss" => losses.KoLeo,
                "metric:ibot_loss" => losses.Ibot,
                "metric:gram_loss" => losses.Gram,
                "metric:gram_loss_weight" => losses.GramWeight,
                "metric:stats_only/masked_gram_loss" => losses.GramMasked,
                "metric:stats_only/unmasked_gram_loss" => losses.GramUnmasked,
                "metric:local_batch_size" or "metric:global_batch_size" or "metric:batch_size" => images,
                "grad_norm:backbone" => report.GradientNorms.Backbone,
                "grad_norm:dino_head" => report.GradientNorms.DinoHead,
                "grad_norm:ibot_head" => report.GradientNorms.IbotHead,
                _ => null,
            };
            if (actual is double value) call.Check(key, full(call.Case.Tensor(name).shape, value, dtype: ScalarType.Float64));
        }
    }

    private static void CheckState(GoldenCall call, string prefix, nn.Module network)
    {
        Dictionary<string, Tensor> state = network.state_dict();
        foreach ((string key, _) in call.Outputs.Where(o => o.Key.StartsWith(prefix, StringComparison.Ordinal)).ToList())
        {
            call.Check(key, state[key[prefix.Length..].Replace("norms.3.", "norm.", StringComparison.Ordinal)]);
        }
    }

    private static FrozenTeacher Teacher(GoldenCase golden, string file)
    {
        JsonElement config = golden.Config.GetProperty("distillation_teacher");
        var teacher = new FrozenTeacher(TrainStepConfig.Backbone(config, file), TrainStepConfig.Heads(config));
        BackboneCalls.Load(teacher.Network!, file);
        return teacher;
    }

    private static void LoadBackbone(Backbone backbone, string file)
    {
        using TensorFile weights = TensorFile.Open(file);
        foreach ((string name, Tensor target) in backbone.state_dict()) weights.CopyTo("backbone." + name, target);
    }
}

/// <summary>Turns the official configuration of a training step into ours.</summary>
internal static class TrainStepConfig
{
    public static StudentTeacherConfig Read(GoldenCase golden, string studentFile)
    {
        JsonElement c = golden.Config, dino = c.GetProperty("dino"), ibot = c.GetProperty("ibot"), optimizer = c.GetProperty("optim");
        long epoch = c.GetProperty("train").GetProperty("OFFICIAL_EPOCH_LENGTH").GetInt64(), steps = epoch * optimizer.GetProperty("epochs").GetInt64();
        return new StudentTeacherConfig
        {
            Backbone = Backbone(c.GetProperty("student"), studentFile),
            Heads = Heads(c),
            Steps = steps,
            BatchImages = (int)(golden.Tensor("in/step0/collated_global_crops").shape[0] / 2),
            Losses = new LossConfig
            {
                DinoWeight = dino.GetProperty("loss_weight").GetDouble(),
                IgnoreDiagonal = dino.GetProperty("global_ignore_diagonal").GetBoolean(),
                LocalWeight = dino.GetProperty("reweight_dino_local_loss").GetBoolean() ? Schedule(dino.GetProperty("local_loss_weight_schedule"), epoch) : null,
                IbotWeight = ibot.GetProperty("loss_weight").GetDouble(),
                KoLeoWeight = dino.GetProperty("koleo_loss_weight").GetDouble(),
                KoLeoNeighbours = dino.GetProperty("koleo_topk").GetInt32(),
                KoLeoGroupSize = (int?)ConfigReader.Number(dino, "koleo_distributed_loss_group_size"),
                KoLeoAcrossProcesses = dino.GetProperty("koleo_loss_distributed").GetBoolean(),
                Gram = Gram(c.GetProperty("gram"), epoch),
            },
            Optimizer = new OptimizerConfig
            {
                ClipNorm = ConfigReader.Number(optimizer, "clip_grad"),
                LayerwiseDecay = optimizer.GetProperty("layerwise_decay").GetDouble(),
                PatchEmbeddingMultiplier = optimizer.GetProperty("patch_embed_lr_mult").GetDouble(),
                Beta1 = optimizer.GetProperty("adamw_beta1").GetDouble(),
                Beta2 = optimizer.GetProperty("adamw_beta2").GetDouble(),
            },
        };
    }

    public static HeadsConfig Heads(JsonElement c)
    {
        return new HeadsConfig { Dino = Head(c.GetProperty("dino")), Ibot = Head(c.GetProperty("ibot")) };
        static ProjectionHeadConfig Head(JsonElement head) => new()
        {
            Prototypes = head.GetProperty("head_n_prototypes").GetInt32(),
            BottleneckDim = head.GetProperty("head_bottleneck_dim").GetInt32(),
            HiddenDim = head.GetProperty("head_hidden_dim").GetInt32(),
            Layers = head.GetProperty("head_nlayers").GetInt32(),
        };
    }

    /// <param name="c">Constructor arguments under their official names; what is not given has the builder's default.</param>
    /// <param name="file">The dtype of its stored periods is that of the rotary tables.</param>
    public static BackboneConfig Backbone(JsonElement c, string file)
    {
        if (c.TryGetProperty("depths", out JsonElement depthList))
        {
            int[] depths = [.. depthList.EnumerateArray().Select(d => d.GetInt32())], dims = [.. c.GetProperty("dims").EnumerateArray().Select(d => d.GetInt32())];
            return new ConvNeXtConfig { Depths = (depths[0], depths[1], depths[2], depths[3]), Dims = (dims[0], dims[1], dims[2], dims[3]), LayerScale = 1e-6 };
        }

        using TensorFile weights = TensorFile.Open(file);
        int width = c.GetProperty("embed_dim").GetInt32();
        string ffn = c.GetProperty("ffn_layer").GetString()!, norm = c.GetProperty("norm_layer").GetString()!;
        return new VisionTransformerConfig
        {
            PatchSize = c.GetProperty("patch_size").GetInt32(),
            Width = width,
            Depth = c.GetProperty("depth").GetInt32(),
            Heads = c.GetProperty("num_heads").GetInt32(),
            FeedForward = ffn == "mlp" ? FeedForwardKind.Mlp : FeedForwardKind.SwiGlu,
            FeedForwardWidth = ConfigReader.FeedForwardWidth(ffn, width, c.GetProperty("ffn_ratio").GetDouble()),
            Registers = c.GetProperty("n_storage_tokens").GetInt32(),
            QkvBias = Flag("qkv_bias", true),
            MaskKeyBias = Flag("mask_k_bias", false),
            ProjectionBias = Flag("proj_bias", true),
            FeedForwardBias = Flag("ffn_bias", true),
            LayerScale = ConfigReader.Number(c, "layerscale"),
            Norm = norm == "rmsnorm" ? NormKind.RmsNorm : NormKind.LayerNorm,
            NormEpsilon = norm == "layernorm" ? 1e-6 : 1e-5,
            UntieClassAndPatchNorms = Flag("untie_cls_and_patch_norms", false),
            UntieGlobalAndLocalClassNorm = Flag("untie_global_and_local_cls_norm", false),
            DropPathRate = ConfigReader.Number(c, "drop_path_rate") ?? 0,
            Rotary = ConfigReader.Rotary(c, "pos_embed_rope_") with
            {
                Base = c.TryGetProperty("pos_embed_rope_base", out _) ? ConfigReader.Number(c, "pos_embed_rope_base") : 100,
                Precision = weights.Entries["backbone.rope_embed.periods"].Type == ElementType.BFloat16 ? RotaryPrecision.BFloat16 : RotaryPrecision.Float32,
            },
        };

        bool Flag(string name, bool otherwise) => c.TryGetProperty(name, out JsonElement value) ? value.GetBoolean() : otherwise;
    }

    private static GramConfig? Gram(JsonElement c, long epoch)
    {
        if (!c.GetProperty("use_loss").GetBoolean()) return null;
        bool moving = c.GetProperty("ema_teacher").GetBoolean(), refreshed = !moving && c.GetProperty("rep_update").GetBoolean();
        return new GramConfig
        {
            Mode = moving ? GramMode.MovingTeacher : refreshed ? GramMode.Refreshed : GramMode.Start,
            RefreshEverySteps = refreshed ? c.GetProperty("update_frequency").GetInt64() : null,
            FirstRefreshStep = refreshed ? c.GetProperty("it_first_update").GetInt64() : 0,
            MaxRefreshes = refreshed ? (long?)ConfigReader.Number(c, "max_updates") : null,
            Weight = c.GetProperty("loss_weight_schedule") is { ValueKind: JsonValueKind.Object } schedule ? Schedule(schedule, epoch) : DinoSharp.Training.Optimization.Schedule.Constant(c.GetProperty("loss_weight").GetDouble()),
            Loss = new GramLossOptions
            {
                Normalize = c.GetProperty("normalized").GetBoolean(),
                PerImage = c.GetProperty("img_level").GetBoolean(),
                Negatives = c.GetProperty("remove_neg").GetBoolean() ? GramNegatives.RemoveBoth : c.GetProperty("remove_only_teacher_neg").GetBoolean() ? GramNegatives.RemoveTeacher : GramNegatives.Keep,
            },
            Tokens = c.GetProperty("tokens_used").GetString() switch { "masked" => GramTokens.Masked, "unmasked" => GramTokens.Unmasked, _ => GramTokens.All },
            Resize = c.GetProperty("global_teacher_resize_method").GetString() == "bilinear" ? GramResize.Bilinear : GramResize.Bicubic,
            ResizeAntialias = c.GetProperty("global_teacher_resize_antialias").GetBoolean(),
            ReportMaskedParts = c.GetProperty("compute_stats").GetBoolean(),
        };
    }

    private static Schedule Schedule(JsonElement c, long epoch) => new()
    {
        Start = c.GetProperty("start").GetDouble(),
        Peak = c.GetProperty("peak").GetDouble(),
        End = c.GetProperty("end").GetDouble(),
        WarmupSteps = (long)(c.GetProperty("warmup_epochs").GetDouble() * epoch),
        CosineSteps = ConfigReader.Number(c, "cosine_epochs") is double cosine ? (long)(cosine * epoch) : null,
    };
}
