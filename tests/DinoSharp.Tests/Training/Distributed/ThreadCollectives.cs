using DinoSharp.Training.Distributed;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Distributed;

/// <summary>Several ranks as threads of the test: they exchange exactly when all of them have arrived.</summary>
internal sealed class ThreadCollectives : Collectives
{
    private readonly Meeting _meeting;

    private ThreadCollectives(int rank, Meeting meeting) => (Rank, _meeting) = (rank, meeting);

    public override int Rank { get; }

    public override int WorldSize => _meeting.Slots.Length;

    /// <summary>Runs the same work on every rank and returns what each gives; the tensors belong to the caller's scope.</summary>
    public static Tensor[][] Run(int world, Func<Collectives, Tensor[]> work)
    {
        using var meeting = new Meeting(world);
        var results = new Tensor[world][];
        var errors = new Exception?[world];
        Thread[] threads = [.. Enumerable.Range(0, world).Select(rank => new Thread(() =>
        {
            try
            {
                results[rank] = [.. work(new ThreadCollectives(rank, meeting)).Select(t => t.DetachFromDisposeScope())];
            }
            catch (Exception e)
            {
                errors[rank] = e;
                meeting.Barrier.RemoveParticipant();
            }
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        if (errors.FirstOrDefault(e => e is not null) is { } error) throw new InvalidOperationException(error.Message, error);
        return results;
    }

    public override void Sum(Tensor tensor)
    {
        Tensor[] all = Exchange(tensor);
        using Tensor sum = all.Aggregate(zeros_like(tensor), (a, b) => a + b);
        _meeting.Barrier.SignalAndWait(); // nobody overwrites what another still reads
        tensor.copy_(sum);
    }

    public override void Max(Tensor tensor)
    {
        Tensor[] all = Exchange(tensor);
        using Tensor highest = all.Aggregate(tensor.clone(), (a, b) => a.maximum(b));
        _meeting.Barrier.SignalAndWait();
        tensor.copy_(highest);
    }

    public override Tensor GatherRows(Tensor rows) => Gather.apply(rows, this);

    private Tensor[] Exchange(Tensor mine)
    {
        _meeting.Slots[Rank] = mine;
        _meeting.Barrier.SignalAndWait();
        Tensor[] all = [.. _meeting.Slots.Select(t => t!)];
        _meeting.Barrier.SignalAndWait();
        return all;
    }

    private sealed class Meeting(int world) : IDisposable
    {
        public Tensor?[] Slots { get; } = new Tensor?[world];

        public Barrier Barrier { get; } = new(world);

        public void Dispose() => Barrier.Dispose();
    }

    private sealed class Gather : autograd.SingleTensorFunction<Gather>
    {
        public override string Name => nameof(Gather);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            var (rows, group) = ((Tensor)vars[0], (ThreadCollectives)vars[1]);
            ctx.save_data("group", group);
            ctx.save_data("count", rows.shape[0]);
            Tensor all = cat(group.Exchange(rows), 0);
            group._meeting.Barrier.SignalAndWait();
            return all;
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor gradient)
        {
            var group = (ThreadCollectives)ctx.get_data("group");
            long count = (long)ctx.get_data("count");
            Tensor total = gradient.clone();
            group.Sum(total);
            return [total.narrow(0, group.Rank * count, count).clone(), null!];
        }
    }
}
