using YamlDotNet.RepresentationModel;

namespace DinoSharp.Training.Recipes.Official;

/// <summary>What an official configuration says where it says nothing, and the keys that change nothing.</summary>
internal static class OfficialDefaults
{
    private const string Dead = "the original reads it nowhere";
    private const string Speed = "about speed alone";
    private const string Files = "about its own files alone";

    // Keys that decide something, with the defaults of the original.
    private const string Yaml = """
        MODEL: {META_ARCHITECTURE: SSLMetaArch}
        compute_precision: {param_dtype: bf16, reduce_dtype: fp32}
        dino:
          {loss_weight: 1, global_ignore_diagonal: true, head_n_prototypes: 65536, head_bottleneck_dim: 256, head_nlayers: 3, head_hidden_dim: 2048,
           koleo_loss_weight: 0.1, koleo_loss_distributed: false, koleo_topk: 1, koleo_distributed_loss_group_size: null, koleo_distributed_replicas: 0,
           reweight_dino_local_loss: false, local_loss_weight_schedule: {start: 0.5, peak: 0.5, end: 0.5, warmup_epochs: 0}}
        ibot:
          {loss_weight: 1, mask_sample_probability: 0.5, mask_ratio_min_max: [0.1, 0.5], mask_random_circular_shift: false, separate_head: true,
           head_n_prototypes: 65536, head_bottleneck_dim: 256, head_nlayers: 3, head_hidden_dim: 2048}
        gram:
          {use_loss: false, compute_stats: false, loss_weight: 1, ema_teacher: false, ckpt: null, it_load_ema_teacher: -1, rep_update: true, update_frequency: 50000,
           it_first_update: 0, max_updates: null, tokens_used: all, global_teacher_resize_method: bicubic, global_teacher_resize_antialias: false, loss_weight_schedule: null,
           normalized: true, img_level: false, remove_neg: false, remove_only_teacher_neg: false}
        train:
          {batch_size_per_gpu: 64, dataset_path: "ImageNet:split=TRAIN", output_dir: ".", seed: 0, OFFICIAL_EPOCH_LENGTH: 1250, centering: sinkhorn_knopp, checkpointing: false, cache_dataset: false}
        student:
          {arch: vit_large, patch_size: 16, drop_path_rate: 0.3, layerscale: 1.0e-5, resume_from_teacher_chkpt: '', ffn_layer: mlp, qkv_bias: true, proj_bias: true, ffn_bias: true,
           norm_layer: layernorm, n_storage_tokens: 0, mask_k_bias: false, untie_cls_and_patch_norms: false, untie_global_and_local_cls_norm: false,
           pos_embed_rope_base: 100, pos_embed_rope_min_period: null, pos_embed_rope_max_period: null, pos_embed_rope_normalize_coords: separate,
           pos_embed_rope_shift_coords: null, pos_embed_rope_jitter_coords: null, pos_embed_rope_rescale_coords: null, fp8_enabled: false}
        teacher: {momentum_teacher: 0.992, final_momentum_teacher: 1, warmup_teacher_temp: 0.04, teacher_temp: 0.07, warmup_teacher_temp_epochs: 30}
        distillation: {enabled: false, full_cfg_path: '', checkpoint_path: ''}
        multidistillation: {enabled: false}
        optim:
          {epochs: 100, weight_decay: 0.04, weight_decay_end: 0.4, lr: 1.0e-3, warmup_epochs: 10, min_lr: 1.0e-6, schedule_trunc_extra: 0, clip_grad: 3, freeze_last_layer_epochs: 1,
           scaling_rule: sqrt_wrt_1024, patch_embed_lr_mult: 0.2, layerwise_decay: 0.9, adamw_beta1: 0.9, adamw_beta2: 0.999}
        crops:
          {global_crops_scale: [0.32, 1], local_crops_scale: [0.05, 0.32], local_crops_number: 8, global_crops_size: 224, local_crops_size: 96, global_local_crop_pairs_ratios: 1,
           gram_teacher_crops_size: null, gram_teacher_no_distortions: false, localcrops_subset_of_globalcrops: false, share_color_jitter: false, horizontal_flips: true,
           rgb_mean: [0.485, 0.456, 0.406], rgb_std: [0.229, 0.224, 0.225], teacher_to_student_resolution_scale: 1}
        checkpointing: {period: 3750, max_to_keep: 3, keep_every: 99999999999999999}
        """;

    /// <summary>Keys, or groups of keys, that change no weight, with the reason.</summary>
    public static IReadOnlyDictionary<string, string> WithoutEffect { get; } = new Dictionary<string, string>
    {
        ["MODEL.DEVICE"] = Dead,
        ["MODEL.DTYPE"] = Dead,
        ["MODEL.WEIGHTS"] = "only its evaluations read it",
        ["compute_precision.sharding_strategy"] = "a label that the original only compares",
        ["dino.head_norm_last_layer"] = "the original only logs it",
        ["ibot.head_norm_last_layer"] = "the original only logs it",
        ["dino.koleo_distributed_loss_group_data"] = Dead,
        ["dino.force_weight_norm"] = Dead,
        ["ibot.force_masking_even_with_zero_weight"] = Dead,
        ["train.data_config"] = Dead,
        ["train.saveckp_freq"] = Dead,
        ["train.monitor_gradient_norm"] = Dead,
        ["train.chunk_schedule"] = Dead,
        ["train.use_teacher_head"] = Dead,
        ["train.learn_from_teacher_tokens"] = Dead,
        ["train.checkpointing_full"] = "what is recomputed changes no number",
        ["train.compile"] = Speed,
        ["train.cudagraphs"] = Speed,
        ["train.num_workers"] = Speed + "; loaderThreads of the recipe is the number of processors unless set",
        ["train.sharded_eval_checkpoint"] = Files,
        ["student.ffn_ratio"] = "the original builds each network with its own ratio, whatever this says",
        ["student.in_chans"] = "the original always builds three channels",
        ["student.pretrained_weights"] = Dead,
        ["student.pos_embed_type"] = Dead,
        ["student.pos_embed_rope_dtype"] = "the original always trains with bfloat16 tables",
        ["student.fp8_filter"] = "read only with fp8_enabled",
        ["student.patch_drop"] = Dead,
        ["student.block_chunks"] = Dead,
        ["teacher.in_chans"] = Dead,
        ["hrft"] = Dead,
        ["coding_rate_loss"] = Dead,
        ["optim.optimizer"] = "it is always AdamW",
        ["optim.dino_head_wd_multiplier"] = "the original never finds a parameter that it belongs to",
        ["optim.multi_tensor_optim"] = Speed,
        ["optim.dump_fsdp_weights_path"] = Dead,
        ["evaluation"] = "evaluations are verbs of their own; each checkpoint holds the teacher",
    };

    public static YamlMappingNode Tree() => YamlText.Parse("defaults of the original", Yaml);
}
