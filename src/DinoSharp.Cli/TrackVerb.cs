using System.CommandLine;
using System.Diagnostics;
using DinoSharp.Cli.Pictures;
using DinoSharp.Cli.Video;
using DinoSharp.Evaluation;
using DinoSharp.Features;
using DinoSharp.Features.Propagation;
using DinoSharp.Images;

namespace DinoSharp.Cli;

/// <summary><c>dino track</c>: follow the objects of a first mask through a video.</summary>
internal sealed class TrackVerb : Verb
{
    // Overlays are for looking; the masks are the result.
    private const int OverlaySide = 640, MostOverlayFrames = 300;

    private static readonly string[] Animations = [".gif", ".webp"];
    private static readonly PropagationOptions Published = new();

    private readonly Argument<string> _frames = new("frames") { Description = "A folder of frames, an animated GIF or WebP, or a video file (needs ffmpeg)" };
    private readonly Option<string> _mask = new("--mask") { Description = "Objects of the first frame: a palette PNG or gray picture whose values are object ids, 0 background", HelpName = "FILE", Required = true };
    private readonly Option<string?> _out = new("--out", "-o") { Description = "Folder for the masks, named as the frames, and overlay.gif [default: NAME.track here]", HelpName = "FOLDER" };
    private readonly Option<string?> _overlay = new("--overlay") { Description = "Where to write the overlay: .gif, .webp, or .mp4 (needs ffmpeg) [default: overlay.gif in the folder]", HelpName = "FILE" };
    private readonly Option<string?> _truth = new("--truth") { Description = "Folder of true masks, one per frame, to score the result with J and F (DAVIS protocol)", HelpName = "FOLDER" };
    private readonly Option<PictureSize> _size = PictureSize.Option("Shorter side at which the network sees the frames, or 'native' for their own. Time grows with the square and more", VideoTracking.DefaultShorterSidePixels);
    private readonly Option<int> _context = new("--context") { Description = "Recent frames that vote, besides the first", HelpName = "N", DefaultValueFactory = _ => Published.ContextLength };
    private readonly Option<double> _radius = new("--radius") { Description = "How far an object may move between frames, in patches", HelpName = "PATCHES", DefaultValueFactory = _ => Published.Radius!.Value };
    private readonly Option<int> _top = new("--top") { Description = "How many of the most similar patches vote", HelpName = "N", DefaultValueFactory = _ => Published.TopK };
    private readonly Option<double> _temperature = new("--temperature") { Description = "Temperature of the votes", HelpName = "T", DefaultValueFactory = _ => Published.Temperature };
    private readonly Option<MaskUpsampling> _upsampling = new("--upsampling") { Description = "From patches to pixels: NearestStretched as in the original's example, or Bilinear as in the paper, which also rounds the sides to the nearest patch instead of up", DefaultValueFactory = _ => Published.Upsampling };
    private readonly Option<string> _model = SharedOptions.Model();
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly Option<long?> _maxMemory = ResolutionOptions.MaxMemory("Most memory to use, for example 4GB: frames that would take more are computed in the largest tiles that fit");

    public TrackVerb()
        : base(
            "track",
            "Follow objects through a video from a mask of the first frame",
            "dino track frames/ --mask first.png --model dinov3-vits16",
            "dino track clip.mp4 --mask first.png --size 480 --out masks --overlay overlay.mp4 --model dinov3-vits16")
    {
        Add(_frames);
        Add(_mask);
        Add(_out);
        Add(_overlay);
        Add(_truth);
        Add(_size);
        Add(_context);
        Add(_radius);
        Add(_top);
        Add(_temperature);
        Add(_upsampling);
        Add(_model);
        Add(_compute);
        Add(_maxMemory);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string path = arguments.GetValue(_frames)!, folder = arguments.GetValue(_out) ?? new OutputNames().For(path.TrimEnd('/', '\\'), "track"), overlay = arguments.GetValue(_overlay) ?? Path.Combine(folder, "overlay.gif");
        LabelMap first = LabelMap.Read(arguments.GetValue(_mask)!);
        if (first.Ids.All(id => id == 0)) throw new DinoSharpException($"{arguments.GetValue(_mask)} shows no object: every pixel is 0, which is background");
        var options = new PropagationOptions
        {
            ContextLength = arguments.GetValue(_context),
            Radius = arguments.GetValue(_radius),
            TopK = arguments.GetValue(_top),
            Temperature = arguments.GetValue(_temperature),
            Upsampling = arguments.GetValue(_upsampling),
            Rounding = arguments.GetValue(_upsampling) == MaskUpsampling.Bilinear ? PropagationOptions.Paper.Rounding : Published.Rounding,
        };
        using FrameSource source = await FrameSource.OpenAsync(path, cancel);
        ImageBuffer start = source.Frames[0].Read();
        int size = arguments.GetValue(_size)!.Pixels ?? Math.Min(start.Width, start.Height);
        PatchGeometry.Whole(start.Width, start.Height).RequireShape(arguments.GetValue(_mask)!, first.Width, first.Height);
        string[] truthFiles = arguments.GetValue(_truth) is { } truths ? TrueMasks(truths, source) : [], inputs = [.. source.Files, arguments.GetValue(_mask)!, .. truthFiles];
        if (truthFiles.Length > 0) CheckTruth(truthFiles, start);
        using DinoModel model = DinoModel.Load(arguments.GetValue(_model)!, new DinoModelOptions { Compute = arguments.GetValue(_compute), Device = SharedOptions.Device(arguments) }, cancel);
        var memory = new MemoryNotes(output);
        var limit = new ExtractOptions { MaxMemoryBytes = arguments.GetValue(_maxMemory) };
        memory.Announce(VideoTracking.Plan(model, start.Width, start.Height, size, options, limit.MaxMemoryBytes), limit);
        OutputNames.PrepareFolder(folder, source.Frames.Select(frame => Path.Combine(folder, frame.Name + ".png")), inputs, "--out");
        OutputNames.Require(overlay, [.. Animations, .. Ffmpeg.Extensions], inputs, "--overlay");
        if (!IsAnimation(overlay)) await Ffmpeg.RequireAsync(overlay, cancel);
        var time = Stopwatch.StartNew();
        TrackingEvaluation? evaluation = truthFiles.Length > 0 ? new(start.Width) : null;
        List<ImageBuffer> pictures = await output.WithProgressAsync(
            "tracking", source.Frames.Count, progress => Task.Run(() => Run(source, model, first, size, options, limit.MaxMemoryBytes, folder, truthFiles, evaluation, progress, cancel), CancellationToken.None));
        double seconds = time.Elapsed.TotalSeconds;
        if (IsAnimation(overlay)) AnimationWriter.Save(overlay, pictures, source.FramesPerSecond / OverlayStep(source));
        else await Ffmpeg.WriteAsync(overlay, pictures, source.FramesPerSecond / OverlayStep(source), cancel);
        TrackingScores? scores = evaluation?.Score();
        output.Show(
            new
            {
                output = folder,
                overlay,
                masks = source.Frames.Select(frame => Path.Combine(folder, frame.Name + ".png")),
                objects = first.Ids.Where(id => id != 0).Select(id => (int)id),
                seconds = Math.Round(seconds, 3),
                memory = memory.ToJson(),
                scores = scores is null ? null : new { j = scores.J, f = scores.F, jAndF = scores.JAndF, objects = scores.Objects.Select(o => new { id = (int)o.Id, j = o.J, f = o.F }) },
            },
            [
                $"{source.Frames.Count} masks in {folder} ({source.Frames.Count / seconds:0.00} frames/s)",
                overlay,
                .. scores is null ? [] : (string[])[$"J&F {100 * scores.JAndF:0.0}  J {100 * scores.J:0.0}  F {100 * scores.F:0.0}", .. scores.Objects.Select(o => $"  object {o.Id}: J {100 * o.J:0.0}  F {100 * o.F:0.0}")],
            ]);
        return ExitCode.Ok;
    }

    private static List<ImageBuffer> Run(
        FrameSource source, DinoModel model, LabelMap first, int size, PropagationOptions options, long? maxMemory, string folder, string[] truth, TrackingEvaluation? evaluation, IProgress<long> progress, CancellationToken cancel)
    {
        var overlays = new List<ImageBuffer>();
        ImageBuffer? current = null;
        using IEnumerator<LabelMap> masks = VideoTracking.Track(model, source.Frames.Select(frame => current = frame.Read()), first, size, options, maxMemory, cancel).GetEnumerator();
        for (int i = 0; i < source.Frames.Count; i++)
        {
            LabelMap mask;
            if (i == 0)
            {
                ImageBuffer start = source.Frames[0].Read();
                mask = first.ResizeNearestExact(start.Width, start.Height);
                current = start;
            }
            else if (masks.MoveNext())
            {
                mask = masks.Current;
            }
            else
            {
                break;
            }

            mask.Save(Path.Combine(folder, source.Frames[i].Name + ".png"));
            if (i % OverlayStep(source) == 0) overlays.Add(Overlay(current!, mask));
            evaluation?.Add(mask.Array, LabelMap.Read(truth[i]).Array);
            progress.Report(i + 1);
        }

        return overlays;
    }

    // A long video would fill the memory.
    private static int OverlayStep(FrameSource source) => (source.Frames.Count + MostOverlayFrames - 1) / MostOverlayFrames;

    private static ImageBuffer Overlay(ImageBuffer frame, LabelMap mask)
    {
        double scale = Math.Min(1, OverlaySide / (double)Math.Max(frame.Width, frame.Height));
        (int width, int height) = ((int)Math.Max(1, frame.Width * scale), (int)Math.Max(1, frame.Height * scale));
        byte[] pixels = new byte[width * height * 3];
        Resize.UInt8(frame.Samples<byte>(), frame.Width, frame.Height, 3, new PixelWindow(0, 0, frame.Width, frame.Height), pixels, width, height, Interpolation.Bilinear, ResizeArithmetic.Pillow);
        return mask.ResizeNearestExact(width, height).Overlay(ImageBuffer.FromSamples<byte>(width, height, 3, pixels));
    }

    private static bool IsAnimation(string path) => Animations.Contains(Path.GetExtension(path).ToLowerInvariant());

    // Before anything is computed: what cannot be scored is told first, and no result can take the place of the truth.
    private static void CheckTruth(string[] files, ImageBuffer start)
    {
        if (files.Length < 3) throw new DinoSharpException($"--truth: a video of {files.Length} frames cannot be scored: the first and the last frame do not count");
        foreach (string file in files)
        {
            LabelMap mask = LabelMap.Read(file);
            if ((mask.Width, mask.Height) != (start.Width, start.Height))
                throw new DinoSharpException($"{file} has {mask.Width}x{mask.Height} pixels, the frames {start.Width}x{start.Height}; true masks have the size of the frames");
            if (file == files[0] && mask.Ids.All(id => id == 0)) throw new DinoSharpException($"{file}: the first true mask shows no object");
        }
    }

    private static string[] TrueMasks(string folder, FrameSource source) =>
    [
        .. source.Frames.Select(frame => Path.Combine(folder, frame.Name + ".png")).Select(file => File.Exists(file) ? file
            : throw new DinoSharpException($"{file}: there is no true mask of this name; --truth needs one palette PNG for each frame, named as the frame")),
    ];
}
