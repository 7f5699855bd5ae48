namespace DinoSharp.Images;

/// <summary>Prepares images ahead of their consumer: in parallel, in order, with bounded memory.</summary>
internal static class ImageLoader
{
    public static IEnumerable<LoadedImage> Run(
        Preprocessing how, IEnumerable<ImageSource> sources, ImageReadOptions? options, int parallelism, int ahead, CancellationToken cancellationToken)
    {
        var underWay = new Queue<Task<LoadedImage>>();
        using var gate = new SemaphoreSlim(parallelism);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using IEnumerator<ImageSource> next = sources.GetEnumerator();
        try
        {
            int index = 0;
            bool more = true;
            while (true)
            {
                while (more && underWay.Count < ahead && (more = next.MoveNext()))
                {
                    (int at, ImageSource source) = (index++, next.Current);
                    underWay.Enqueue(Task.Run(() => LoadAsync(how, at, source, options, gate, stop.Token), stop.Token));
                }

                if (underWay.Count == 0) yield break;
                LoadedImage loaded = underWay.Peek().GetAwaiter().GetResult();
                underWay.Dequeue();
                yield return loaded;
                cancellationToken.ThrowIfCancellationRequested();
            }
        }
        finally
        {
            stop.Cancel();
            foreach (Task<LoadedImage> task in underWay)
            {
                try
                {
                    task.GetAwaiter().GetResult().Dispose();
                }
                catch (Exception error) when (error is OperationCanceledException or IOException or OutOfMemoryException)
                {
                    // Nobody waits for this image any more.
                }
            }
        }
    }

    private static async Task<LoadedImage> LoadAsync(
        Preprocessing how, int index, ImageSource source, ImageReadOptions? options, SemaphoreSlim gate, CancellationToken stop)
    {
        await gate.WaitAsync(stop).ConfigureAwait(false);
        try
        {
            stop.ThrowIfCancellationRequested();
            return new LoadedImage(index, source, how.Load(source, options), null);
        }
        catch (DinoSharpException error)
        {
            return new LoadedImage(index, source, null, error);
        }
        finally
        {
            gate.Release();
        }
    }
}
