using DinoSharp.Training.Distributed;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kinds <c>dino_loss</c>, <c>ibot_loss</c>, <c>koleo_loss</c>, <c>gram_loss</c>, <c>clip_loss</c>: values and gradients.</summary>
internal static class LossCases
{
    public static void Dino(GoldenCase golden) => ForEach(golden, call =>
    {
        Tensor student = Leaf(call, "student_logits");
        Tensor loss = DinoLoss.Compute(student, call.Input("teacher_probs")!, call.Flag("ignore_diagonal"), call.Arg("student_temp").GetDouble());
        Finish(call, loss, ("grad_student_logits", student));
    });

    public static void Ibot(GoldenCase golden) => ForEach(golden, call =>
    {
        double temperature = golden.Config.GetProperty("student_temp").GetDouble();
        Tensor masks = call.Input("student_masks_flat")!;
        using var batch = PretrainBatch.Create(zeros(masks.shape[0], 1, 1, 1), zeros(masks.shape[0], 1, 1, 1), null, masks.clone());
        if (call.Op == "ibot_forward")
        {
            Tensor all = Leaf(call, "student_patch_tokens");
            Finish(call, IbotLoss.Compute(all[masks], call.Input("teacher_patch_tokens")![masks], batch.MaskWeights, masks.shape[0], temperature), ("grad_student", all));
            return;
        }

        Tensor student = Leaf(call, "student_patch_tokens_masked"), targets = call.Input("teacher_patch_tokens_masked")!;
        long count = batch.MaskedIndices.shape[0];
        Tensor weights = call.Input("masks_weight") ?? batch.MaskWeights;
        Tensor loss = IbotLoss.Compute(student.narrow(0, 0, count), targets.narrow(0, 0, count), weights, masks.shape[0], temperature);
        Finish(call, loss, ("grad_student", student));
        if (!call.Outputs.Any(o => o.Key == "mask_indices_list")) return;
        call.Check("mask_indices_list", batch.MaskedIndices);
        call.Check("masks_weight_computed", batch.MaskWeights);
    });

    public static void KoLeo(GoldenCase golden) => ForEach(golden, call =>
    {
        Tensor x = Leaf(call, "student_output");
        bool plain = call.Op == "koleo";
        int neighbours = plain ? 1 : call.Int("topk");
        int? group = plain ? null : (int?)ConfigReader.Number(call.Args, "loss_group_size");
        Finish(call, KoLeoLoss.Compute(x, neighbours, group, Collectives.Single), ("grad", x));
        if (call.Outputs.Any(o => o.Key == "nn_indices")) call.Check("nn_indices", KoLeoLoss.NearestRows(x, 1, null, Collectives.Single).squeeze(1));
    });

    public static void Gram(GoldenCase golden) => ForEach(golden, call =>
    {
        Tensor student = Leaf(call, "output_feats");
        var options = new GramLossOptions
        {
            Normalize = call.Flag("apply_norm"),
            PerImage = call.Flag("img_level"),
            Negatives = call.Flag("remove_neg") ? GramNegatives.RemoveBoth : call.Flag("remove_only_teacher_neg") ? GramNegatives.RemoveTeacher : GramNegatives.Keep,
        };
        Finish(call, GramLoss.Compute(student, call.Input("target_feats")!, options), ("grad", student));
    });

    public static void Contrastive(GoldenCase golden) => ForEach(golden, call =>
    {
        if (call.Op == "clip_loss")
        {
            Tensor images = Leaf(call, "image_features"), texts = Leaf(call, "text_features"), scale = Leaf(call, "logit_scale");
            Finish(call, ContrastiveLoss.Compute(images, texts, scale, Collectives.Single), ("grad_image", images), ("grad_text", texts), ("grad_scale", scale));
            return;
        }

        Tensor patches = Leaf(call, "patch_tokens"), kept = call.Input("kept_indices")!;
        var options = new GramLossOptions { Normalize = call.Flag("normalize") };
        Tensor loss = GramLoss.Compute(patches.index_select(1, kept), call.Input("backbone_patch_tokens")!.index_select(1, kept), options);
        Finish(call, loss, ("grad_patch_tokens", patches));
    });

    private static void ForEach(GoldenCase golden, Action<GoldenCall> run)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            run(call);
        }
    }

    private static Tensor Leaf(GoldenCall call, string name) => call.Input(name)!.clone().requires_grad_(true);

    private static void Finish(GoldenCall call, Tensor loss, params (string Output, Tensor Leaf)[] gradients)
    {
        loss.backward();
        call.Check("loss", loss);
        foreach ((string output, Tensor leaf) in gradients) call.Check(output, leaf.grad!);
    }
}

/// <summary>Kind <c>teacher_centering</c>. The softmax calls form two sequences, each with a centre that starts at zero.</summary>
internal static class CenteringCases
{
    public static void Run(GoldenCase golden)
    {
        double momentum = golden.Config.GetProperty("center_momentum").GetDouble();
        Tensor? dinoCenter = null, ibotCenter = null;
        foreach (GoldenCall call in golden.Calls)
        {
            switch (call.Op)
            {
                case "dino_sinkhorn" or "ibot_sinkhorn":
                    call.Check("probs", TeacherTargets.SinkhornKnopp(call.Input("teacher_output")!, call.Arg("teacher_temp").GetDouble(), Collectives.Single, call.Int("n_iterations")));
                    break;
                case "dino_softmax_center":
                    Softmax(call, call.Input("teacher_output")!, momentum, ref dinoCenter);
                    break;
                case "ibot_softmax_center":
                    Softmax(call, call.Input("teacher_patch_tokens")!, momentum, ref ibotCenter);
                    break;
                case "dino_center" or "ibot_center":
                    string name = call.Outputs.Single().TensorName;
                    call.Check("center", (call.Op == "dino_center" ? dinoCenter! : ibotCenter!).reshape(golden.Tensor(name).shape));
                    break;
                default:
                    throw new InvalidOperationException($"no handler for {call.Op}");
            }
        }
    }

    private static void Softmax(GoldenCall call, Tensor logits, double momentum, ref Tensor? center)
    {
        Tensor rows = logits.flatten(0, -2);
        center ??= zeros(1, rows.shape[^1]);
        Tensor used = call.Case.Tensor(call.Outputs.Single(o => o.Key == "center_used").TensorName);
        call.Check("center_used", center.reshape(used.shape));
        call.Check("probs", TeacherTargets.CenteredSoftmax(rows, center, call.Arg("teacher_temp").GetDouble()).reshape(logits.shape));
        center = TeacherTargets.UpdateCenter(center, rows, momentum, Collectives.Single);
    }
}
