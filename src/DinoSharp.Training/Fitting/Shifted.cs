namespace DinoSharp.Training.Fitting;

/// <summary>Progress of a part of the work, told as progress of the whole.</summary>
/// <param name="whole">Is told.</param>
/// <param name="before">What was done before this part.</param>
internal sealed class Shifted(IProgress<long> whole, long before) : IProgress<long>
{
    public void Report(long value) => whole.Report(before + value);
}
