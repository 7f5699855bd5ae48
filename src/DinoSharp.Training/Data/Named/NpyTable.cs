using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace DinoSharp.Training.Data.Named;

/// <summary>
/// A table of NumPy: a one-dimensional structured array in a .npy file, of 32-bit unsigned numbers and fixed-length strings, or a plain array of strings (one nameless column).
/// </summary>
internal sealed partial class NpyTable
{
    private static ReadOnlySpan<byte> Magic => [0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y'];

    private readonly string _path;
    private readonly byte[] _data;
    private readonly int _start;
    private readonly int _rowBytes;
    private readonly IReadOnlyList<NpyColumn> _columns;

    private NpyTable(string path, byte[] data, int start, IReadOnlyList<NpyColumn> columns, int rows)
    {
        (_path, _data, _start, _columns, Rows) = (path, data, start, columns, rows);
        _rowBytes = columns.Sum(c => c.Bytes);
    }

    public int Rows { get; }

    /// <exception cref="DinoSharpException">The file is missing or is no such table.</exception>
    public static NpyTable Read(string path)
    {
        byte[] data;
        try
        {
            data = File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"the table {path} cannot be read: {error.Message}", error);
        }

        if (data.Length < 12 || !data.AsSpan(0, 6).SequenceEqual(Magic))
            throw new DinoSharpException($"{path} is no .npy file");
        int lengthBytes = data[6] == 1 ? 2 : 4;
        long headerLength = lengthBytes == 2 ? BinaryPrimitives.ReadUInt16LittleEndian(data.AsSpan(8)) : BinaryPrimitives.ReadUInt32LittleEndian(data.AsSpan(8));
        int start = checked((int)Math.Min(8 + lengthBytes + headerLength, int.MaxValue));
        if (start > data.Length) throw new DinoSharpException($"{path} is truncated: its header ends behind the file");
        string header = Encoding.UTF8.GetString(data, 8 + lengthBytes, (int)headerLength);
        Match shape = Shape().Match(header);
        if (!shape.Success || !int.TryParse(shape.Groups[1].Value, NumberStyles.None, CultureInfo.InvariantCulture, out int rows))
            throw new DinoSharpException($"{path} holds no one-dimensional array (header: {header.Trim()})");
        List<NpyColumn> columns = [.. Field().Matches(header).Select(m => NpyColumn.Parse(path, m.Groups[1].Value, m.Groups[2].Value))];
        if (columns.Count == 0 && Plain().Match(header) is { Success: true } plain) columns.Add(NpyColumn.Parse(path, "", plain.Groups[1].Value));
        if (columns.Count == 0) throw new DinoSharpException($"{path} holds no table of numbers and strings (header: {header.Trim()})");
        var table = new NpyTable(path, data, start, columns, rows);
        if (data.Length - start < (long)rows * table._rowBytes) throw new DinoSharpException($"{path} is truncated: {rows} rows of {table._rowBytes} bytes do not fit into it");
        return table;
    }

    /// <summary>Writes a table; numbers as unsigned 32-bit, strings as long as the longest one.</summary>
    public static void Write(string path, IReadOnlyList<(string Name, IReadOnlyList<object> Values)> columns)
    {
        int rows = columns[0].Values.Count;
        NpyColumn[] types = [.. columns.Select(c => new NpyColumn(c.Name, c.Values.FirstOrDefault() is string ? Math.Max(1, c.Values.Max(v => ((string)v).EnumerateRunes().Count())) : null))];
        string fields = string.Join(", ", types.Select(t => $"('{t.Name}', '{t.Code}')"));
        string header = $"{{'descr': {(types is [{ Name: "" } only] ? $"'{only.Code}'" : $"[{fields}]")}, 'fortran_order': False, 'shape': ({rows},), }}";
        header = header.PadRight((header.Length + 11 + 63) / 64 * 64 - 11) + "\n";
        using var file = new MemoryStream();
        file.Write([.. Magic, 1, 0, (byte)header.Length, (byte)(header.Length >> 8)]);
        file.Write(Encoding.ASCII.GetBytes(header));
        byte[] cell = new byte[types.Max(t => t.Bytes)];
        for (int row = 0; row < rows; row++)
        {
            for (int c = 0; c < types.Length; c++)
            {
                Array.Clear(cell);
                if (columns[c].Values[row] is string text) Encoding.UTF32.GetBytes(text, cell);
                else BinaryPrimitives.WriteUInt32LittleEndian(cell, (uint)columns[c].Values[row]);
                file.Write(cell, 0, types[c].Bytes);
            }
        }

        string partial = path + ".partial";
        File.WriteAllBytes(partial, file.ToArray());
        File.Move(partial, path, overwrite: true);
    }

    public uint Number(string column, int row)
    {
        (NpyColumn type, int offset) = Find(column, text: false);
        return BinaryPrimitives.ReadUInt32LittleEndian(Cell(row, offset, type.Bytes));
    }

    public string Text(string column, int row)
    {
        (NpyColumn type, int offset) = Find(column, text: true);
        return Encoding.UTF32.GetString(Cell(row, offset, type.Bytes)).TrimEnd('\0');
    }

    private ReadOnlySpan<byte> Cell(int row, int offset, int bytes) => _data.AsSpan(checked(_start + row * _rowBytes + offset), bytes);

    private (NpyColumn Column, int Offset) Find(string name, bool text)
    {
        int offset = 0;
        foreach (NpyColumn column in _columns)
        {
            if (column.Name == name)
                return column.IsText == text ? (column, offset) : throw new DinoSharpException($"{_path}: the column {name} is of type {column.Code}");
            offset += column.Bytes;
        }

        throw new DinoSharpException($"{_path} has no column {name}; it has {string.Join(", ", _columns.Select(c => c.Name))}");
    }

    [GeneratedRegex(@"'shape':\s*\((\d+),\s*\)")]
    private static partial Regex Shape();

    [GeneratedRegex(@"\('(\w+)',\s*'([^']+)'\)")]
    private static partial Regex Field();

    [GeneratedRegex(@"'descr':\s*'([^']+)'")]
    private static partial Regex Plain();
}

/// <summary>A column: strings of so many UCS-4 characters, or 32-bit unsigned numbers.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Characters">Length of the strings; null for numbers.</param>
internal readonly record struct NpyColumn(string Name, int? Characters)
{
    public bool IsText => Characters is not null;

    public int Bytes => 4 * (Characters ?? 1);

    public string Code => Characters is int n ? $"<U{n}" : "<u4";

    public static NpyColumn Parse(string path, string name, string code)
    {
        if (code == "<u4") return new NpyColumn(name, null);
        if (code.StartsWith("<U", StringComparison.Ordinal) && int.TryParse(code[2..], NumberStyles.None, CultureInfo.InvariantCulture, out int n) && n < 1 << 20) return new NpyColumn(name, n);
        throw new DinoSharpException($"{path}: the column {name} has the type {code}; <u4 and <U… are supported");
    }
}
