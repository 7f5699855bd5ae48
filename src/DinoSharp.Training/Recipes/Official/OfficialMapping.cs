using DinoSharp.Training.Checkpoints;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using YamlDotNet.RepresentationModel;

namespace DinoSharp.Training.Recipes.Official;

/// <summary>From the keys of an official configuration to a recipe of one phase.</summary>
/// <param name="c">The configuration on top of the defaults.</param>
internal sealed class OfficialMapping(OfficialValues c)
{
    private const string Placeholder = "ignore";
    private readonly long _epoch = c.Long("train.OFFICIAL_EPOCH_LENGTH");

    public PretrainRecipe Recipe(string name)
    {
        if (c.Text("train.centering") != "sinkhorn_knopp") c.Refuse("train.centering", "the original knows sinkhorn_knopp alone");
        if (!c.Flag("ibot.separate_head")) c.Refuse("ibot.separate_head", "the original requires a head of its own for the patch-level loss");
        if (c.Flag("student.fp8_enabled")) c.Refuse("student.fp8_enabled", "there is no 8-bit training here; the recipe computes in bfloat16");
        string? output = c.Optional("train.output_dir");
        c.Note("train.seed", "the one seed of weights, views, masks and order");
        bool sharded = c.Flag("train.cache_dataset");
        c.Note("train.cache_dataset", sharded ? "chooses the order of the images (sampler); files are cached by the system" : "chooses the order of the images (sampler)");
        (bool distilled, DistillationRecipe? distillation) = Distillation();
        return new PretrainRecipe
        {
            Name = name,
            Seed = (ulong)Math.Max(0, c.Long("train.seed")),
            Output = output is null or "." or "" ? null : output,
            Data = c.Text("train.dataset_path"),
            Sampler = sharded ? SamplerKind.ShardedInfinite : SamplerKind.Infinite,
            Backbone = new OfficialBackbone(c).Read(),
            InitialWeights = InitialWeights(),
            Heads = Heads(),
            Distillation = distillation,
            Checkpoints = Checkpoints(),
            Phases = [Phase(distilled)],
        };
    }

    private PhaseRecipe Phase(bool distilled)
    {
        c.Note("train.batch_size_per_gpu", "images per step and process");
        string format = c.Text("compute_precision.param_dtype");
        if (format is not ("bf16" or "fp32")) c.Refuse("compute_precision.param_dtype", "known are bf16 and fp32");
        if (c.Text("compute_precision.reduce_dtype") != "fp32") c.Refuse("compute_precision.reduce_dtype", "gradients are always summed in float32");
        if (distilled && c.Flag("gram.use_loss")) c.Refuse("gram.use_loss", "a frozen teacher leaves Gram anchoring nothing to repair");
        var views = new OfficialViews(c);
        return new PhaseRecipe
        {
            Name = "train",
            Steps = c.Long("optim.epochs") * _epoch,
            BatchImages = c.WholeNumber("train.batch_size_per_gpu"),
            Compute = format == "fp32" ? TrainingComputeType.Float32 : TrainingComputeType.BFloat16,
            RecomputeActivations = c.Flag("train.checkpointing"),
            Views = views.Read(),
            Resolutions = views.Resolutions(),
            Masks = Masks(),
            Losses = Losses(),
            Optimizer = Optimizer(),
        };
    }

    private HeadsConfig Heads() => new() { Dino = Head("dino"), Ibot = Head("ibot") };

    private ProjectionHeadConfig Head(string section) => new()
    {
        Prototypes = c.WholeNumber(section + ".head_n_prototypes"),
        BottleneckDim = c.WholeNumber(section + ".head_bottleneck_dim"),
        HiddenDim = c.WholeNumber(section + ".head_hidden_dim"),
        Layers = Math.Max(1, c.WholeNumber(section + ".head_nlayers")),
    };

    private CheckpointConfig Checkpoints()
    {
        long keep = c.Long("checkpointing.keep_every");
        return new CheckpointConfig { EverySteps = c.Long("checkpointing.period"), KeepLast = c.WholeNumber("checkpointing.max_to_keep"), KeepEverySteps = keep > 1_000_000_000_000 ? null : keep };
    }

    private string? InitialWeights()
    {
        string? path = c.Optional("student.resume_from_teacher_chkpt");
        if (path is not (null or "" or Placeholder)) return path;
        if (path == Placeholder) c.Refuse("student.resume_from_teacher_chkpt", "a placeholder; give the file of the teacher to start from");
        return null;
    }

    private (bool Enabled, DistillationRecipe? Recipe) Distillation()
    {
        if (!c.Flag("distillation.enabled") && !c.Flag("multidistillation.enabled"))
        {
            c.Ignore("distillation.full_cfg_path", "read only with distillation.enabled");
            c.Ignore("distillation.checkpoint_path", "read only with distillation.enabled");
            return (false, null);
        }

        string? teacher = c.Optional("distillation.checkpoint_path"), config = c.Optional("distillation.full_cfg_path");
        if (teacher is null or "" or Placeholder)
        {
            c.Refuse("distillation.checkpoint_path", "the original would distil from random weights, for tests; give the file of a teacher with its heads");
            teacher = null;
        }

        HeadsConfig? heads = null;
        if (config is null or "" || OfficialValues.Locate(config, c.Source) is not { } found)
        {
            c.Refuse("distillation.full_cfg_path", "the file is not there, so the sizes of the teacher's heads are unknown; expected a path relative to this file or to the working folder");
        }
        else
        {
            heads = new OfficialMapping(OfficialConfig.Over(found, YamlText.Read(found))).Heads();
            c.Note("distillation.full_cfg_path", "gives the sizes of the teacher's heads; its network is read from its weights");
        }

        return (true, new DistillationRecipe { Teacher = teacher ?? "", TeacherHeads = heads });
    }

    private MaskOptions Masks()
    {
        (double min, double max) = c.Pair("ibot.mask_ratio_min_max");
        return new MaskOptions { CropProbability = c.Number("ibot.mask_sample_probability"), MinRatio = min, MaxRatio = max, RandomCircularShift = c.Flag("ibot.mask_random_circular_shift") };
    }

    private LossConfig Losses()
    {
        bool reweight = c.Flag("dino.reweight_dino_local_loss"), across = c.Flag("dino.koleo_loss_distributed");
        if (!reweight) c.Ignore("dino.local_loss_weight_schedule", "read only with reweight_dino_local_loss");
        if (c.Long("dino.koleo_distributed_replicas") != 0) c.Refuse("dino.koleo_distributed_replicas", "the original requires 0");
        if (!across) c.Ignore("dino.koleo_distributed_loss_group_size", "read only with koleo_loss_distributed");
        if (!across && c.WholeNumber("dino.koleo_topk") != 1) c.Refuse("dino.koleo_topk", "without koleo_loss_distributed the original requires 1");
        return new LossConfig
        {
            DinoWeight = c.Number("dino.loss_weight"),
            IgnoreDiagonal = c.Flag("dino.global_ignore_diagonal"),
            LocalWeight = reweight ? Current("dino.local_loss_weight_schedule") : null,
            IbotWeight = c.Number("ibot.loss_weight"),
            KoLeoWeight = c.Number("dino.koleo_loss_weight"),
            KoLeoNeighbours = c.WholeNumber("dino.koleo_topk"),
            KoLeoGroupSize = across ? (int?)c.OptionalLong("dino.koleo_distributed_loss_group_size", int.MaxValue) : null,
            KoLeoAcrossProcesses = across,
            Gram = Gram(),
        };
    }

    private GramConfig? Gram()
    {
        if (!c.Flag("gram.use_loss"))
        {
            c.Ignore("gram", "read only with gram.use_loss");
            return null;
        }

        bool moving = c.Flag("gram.ema_teacher"), refreshed = c.Flag("gram.rep_update");
        string? checkpoint = c.Optional("gram.ckpt");
        if (checkpoint is null or "" or Placeholder)
        {
            if (checkpoint == Placeholder) c.Refuse("gram.ckpt", "a placeholder; give the file of the anchor's weights");
            else if (!moving) c.Refuse("gram.ckpt", "the original fails without a file; anchoring to the teacher at the start is the mode start of a recipe");
            checkpoint = null;
        }

        if (c.OptionalLong("gram.it_load_ema_teacher") is >= 0)
        {
            if (moving) c.Ignore("gram.it_load_ema_teacher", "there is no separate anchor to load");
            else c.Refuse("gram.it_load_ema_teacher", "replacing the anchor at a single step is not done here; use rep_update with max_updates: 1");
        }

        if (moving && refreshed) c.Refuse("gram.rep_update", "with ema_teacher the anchor moves at every step, there is nothing to refresh");
        if (moving && checkpoint is not null) c.Refuse("gram.ckpt", "with ema_teacher the anchor is the moving teacher and has no file");
        if (!moving && c.Node("crops.gram_teacher_crops_size") is null or YamlScalarNode { Value: null or "" or "null" or "~" }) c.Refuse("crops.gram_teacher_crops_size", "the original requires crops of their own for a separate Gram teacher");
        if (!moving) c.Note("gram.use_loss", "the original goes on from the checkpoint of the run before; set initialWeights to its teacher, or this starts from nothing");
        bool refreshes = refreshed && !moving;
        if (!refreshes) foreach (string key in (string[])["update_frequency", "it_first_update", "max_updates"]) c.Ignore("gram." + key, "read only with rep_update");
        bool scheduled = c.Has("gram.loss_weight_schedule");
        if (scheduled) c.Ignore("gram.loss_weight", "loss_weight_schedule counts instead");
        bool both = c.Flag("gram.remove_neg"), teacher = c.Flag("gram.remove_only_teacher_neg");
        if (both && teacher) c.Refuse("gram.remove_only_teacher_neg", "it and remove_neg exclude each other");
        return new GramConfig
        {
            Mode = moving ? GramMode.MovingTeacher : refreshes ? GramMode.Refreshed : checkpoint is null ? GramMode.Start : GramMode.Checkpoint,
            Checkpoint = moving ? null : checkpoint,
            RefreshEverySteps = refreshes ? c.Long("gram.update_frequency") : null,
            FirstRefreshStep = refreshes ? c.Long("gram.it_first_update") : 0,
            MaxRefreshes = refreshes ? c.OptionalLong("gram.max_updates") : null,
            Weight = scheduled ? Current("gram.loss_weight_schedule") : Schedule.Constant(c.Number("gram.loss_weight")),
            Loss = new GramLossOptions { Normalize = c.Flag("gram.normalized"), PerImage = c.Flag("gram.img_level"), Negatives = both ? GramNegatives.RemoveBoth : teacher ? GramNegatives.RemoveTeacher : GramNegatives.Keep },
            Tokens = c.Text("gram.tokens_used") switch { "all" => GramTokens.All, "masked" => GramTokens.Masked, "unmasked" => GramTokens.Unmasked, _ => throw c.Wrong("gram.tokens_used", "all, masked or unmasked") },
            Resize = c.Text("gram.global_teacher_resize_method") switch { "bicubic" => GramResize.Bicubic, "bilinear" => GramResize.Bilinear, _ => throw c.Wrong("gram.global_teacher_resize_method", "bicubic or bilinear") },
            ResizeAntialias = c.Flag("gram.global_teacher_resize_antialias"),
            ReportMaskedParts = c.Flag("gram.compute_stats"),
        };
    }

    private OptimizerConfig Optimizer()
    {
        bool current = c.Has("schedules");
        if (current)
        {
            foreach (string key in (string[])["optim.lr", "optim.warmup_epochs", "optim.min_lr", "optim.schedule_trunc_extra", "optim.weight_decay", "optim.weight_decay_end", "optim.freeze_last_layer_epochs",
                "teacher.momentum_teacher", "teacher.final_momentum_teacher", "teacher.warmup_teacher_temp", "teacher.teacher_temp", "teacher.warmup_teacher_temp_epochs"]) c.Ignore(key, "schedules counts instead");
        }

        double clip = c.OptionalNumber("optim.clip_grad") ?? 0;
        return new OptimizerConfig
        {
            LearningRate = current ? Current("schedules.lr") : First("optim.lr", "optim.min_lr", Steps("optim.warmup_epochs")),
            Scaling = c.Text("optim.scaling_rule") switch { "sqrt_wrt_1024" => LearningRateScaling.SquareRootOf1024, "linear_wrt_256" => LearningRateScaling.LinearOf256, _ => LearningRateScaling.None },
            WeightDecay = current ? Current("schedules.weight_decay") : First("optim.weight_decay", "optim.weight_decay_end", 0),
            Momentum = current ? Current("schedules.momentum") : First("teacher.momentum_teacher", "teacher.final_momentum_teacher", 0),
            TeacherTemperature = current ? Current("schedules.teacher_temp") : new Schedule
            {
                Form = ScheduleForm.InclusiveWarmupCosine,
                Start = c.Number("teacher.warmup_teacher_temp"),
                Peak = c.Number("teacher.teacher_temp"),
                End = c.Number("teacher.teacher_temp"),
                WarmupSteps = Steps("teacher.warmup_teacher_temp_epochs"),
            },
            FreezeLastLayerSteps = Steps(current ? "schedules.lr.freeze_last_layer_epochs" : "optim.freeze_last_layer_epochs"),
            LayerwiseDecay = c.Number("optim.layerwise_decay"),
            PatchEmbeddingMultiplier = c.Number("optim.patch_embed_lr_mult"),
            ClipNorm = clip == 0 ? null : clip,
            Beta1 = c.Number("optim.adamw_beta1"),
            Beta2 = c.Number("optim.adamw_beta2"),
        };
    }

    // A schedule of the second generation.
    private Schedule Current(string path) => new()
    {
        Start = c.Number(path + ".start"),
        Peak = c.Number(path + ".peak"),
        End = c.Number(path + ".end"),
        WarmupSteps = Steps(path + ".warmup_epochs"),
        CosineSteps = c.Has(path + ".cosine_epochs") ? Steps(path + ".cosine_epochs") : null,
    };

    // A schedule of the first generation.
    private Schedule First(string peak, string end, long warmup) => new()
    {
        Form = ScheduleForm.InclusiveWarmupCosine,
        Peak = c.Number(peak),
        End = c.Number(end),
        WarmupSteps = warmup,
        TruncateExtra = c.Number("optim.schedule_trunc_extra"),
    };

    private long Steps(string epochs) => (long)(c.Number(epochs) * _epoch);
}
