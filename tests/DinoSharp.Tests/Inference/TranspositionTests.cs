using System.Runtime.Intrinsics.X86;
using DinoSharp.Inference;
using Xunit;

namespace DinoSharp.Tests.Inference;

public sealed unsafe class TranspositionTests
{
    [Theory]
    [InlineData(8, 8)]
    [InlineData(11, 9)]
    [InlineData(48, 64)]
    public void RowsBecomeColumns(int fromStep, int toStep)
    {
        Assert.SkipUnless(Avx.IsSupported, "this processor has no AVX");
        for (int columns = 1; columns <= 8; columns++)
        {
            float[] source = [.. Enumerable.Range(0, 8 * fromStep).Select(i => (float)i)], target = [.. Enumerable.Repeat(-1f, 8 * toStep)];
            source[fromStep] = BitConverter.UInt32BitsToSingle(0x7F80_1234); // a NaN of a kind that arithmetic would change
            fixed (float* from = source, to = target) Transposition.Copy(from, fromStep, to, toStep, columns);
            for (int row = 0; row < 8; row++)
            {
                for (int column = 0; column < toStep; column++)
                {
                    float expected = row < columns && column < 8 ? source[(column * fromStep) + row] : -1;
                    Assert.Equal(BitConverter.SingleToUInt32Bits(expected), BitConverter.SingleToUInt32Bits(target[(row * toStep) + column]));
                }
            }
        }
    }
}
