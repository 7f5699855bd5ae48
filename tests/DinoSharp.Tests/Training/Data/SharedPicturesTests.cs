using DinoSharp.Training.Data;
using Xunit;

namespace DinoSharp.Tests.Training.Data;

public sealed class SharedPicturesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void EqualContentIsFoundWhateverItsName()
    {
        byte[] small = [1, 2, 3], large = new byte[40_000], other = new byte[40_000];
        other[^1] = 1; // equal at the beginning, and as long
        string[] train = [Write("a", small), Write("b", large)];
        string[] val = [Write("c", other), Write("d", large), Write("e", [1, 2, 4]), Write("f", small), _folder.File("gone")];
        Assert.Equal([_folder.File("d"), _folder.File("f")], SharedPictures.Find(train, val));
        Assert.Empty(SharedPictures.Find([train[0], _folder.File("gone")], [val[0], val[2]]));
    }

    private string Write(string name, byte[] bytes)
    {
        File.WriteAllBytes(_folder.File(name), bytes);
        return _folder.File(name);
    }
}
