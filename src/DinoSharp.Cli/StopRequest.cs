using System.Runtime.InteropServices;

namespace DinoSharp.Cli;

/// <summary>Ctrl-C and termination requests as a cancellation token. The first asks the verb to stop and clean up; a second one ends the process at once.</summary>
internal sealed class StopRequest : IDisposable
{
    private readonly CancellationTokenSource _source;
    private readonly PosixSignalRegistration[] _registrations;

    public StopRequest(TextWriter error, CancellationToken cancel)
    {
        _source = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        _registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => Stop(signal, ExitCode.Interrupted)),
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal => Stop(signal, ExitCode.Terminated)),
        ];

        void Stop(PosixSignalContext signal, ExitCode code)
        {
            if (_source.IsCancellationRequested) return;
            signal.Cancel = true;
            ExitCode = code;
            if (error == Console.Error && !Console.IsErrorRedirected) error.WriteLine("stopping (again to stop at once)");
            _source.Cancel();
        }
    }

    public CancellationToken Token => _source.Token;

    /// <summary>What to exit with once stopped.</summary>
    public ExitCode ExitCode { get; private set; } = ExitCode.Interrupted;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations) registration.Dispose();
        _source.Dispose();
    }
}
