using DinoSharp.Weights;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace DinoSharp.Training.Recipes;

/// <summary>YAML as a tree: reading with limits, laying one tree over another, changing single keys, writing.</summary>
internal static class YamlText
{
    private const int MaxBytes = 1 << 20, MaxDepth = 32;

    /// <summary>Reads a file.</summary>
    /// <exception cref="DinoSharpException">There is no such file, or it is no YAML mapping.</exception>
    public static YamlMappingNode Read(string path)
    {
        if (Directory.Exists(path)) throw new DinoSharpException($"{path} is a folder; name a recipe file (.yaml)");
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > MaxBytes }) throw new DinoSharpException($"{path}: more than {MaxBytes >> 20} MiB are no recipe");
            return Parse(path, File.ReadAllText(path));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{path} cannot be read: {error.Message}", error);
        }
    }

    /// <summary>Reads a text that must be one mapping.</summary>
    /// <param name="source">Where it is from, for messages.</param>
    /// <param name="text">YAML.</param>
    public static YamlMappingNode Parse(string source, string text)
    {
        try
        {
            var stream = new YamlStream();
            stream.Load(new StringReader(text));
            if (stream.Documents is not [{ RootNode: YamlMappingNode root }]) throw new DinoSharpException($"{source}: expected one YAML mapping (key: value)");
            CheckDepth(source, root, 0);
            return root;
        }
        catch (YamlException error)
        {
            throw new DinoSharpException($"{source}, line {error.Start.Line}: no valid YAML: {(error.InnerException ?? error).Message}", error);
        }
        catch (Exception error) when (error is InvalidOperationException or ArgumentException)
        {
            throw new DinoSharpException($"{source}: no valid YAML: {error.Message}", error); // how the reader fails at some unfinished texts
        }
    }

    /// <summary>A new tree with the keys of both; where both have a mapping these are merged, else the upper one counts.</summary>
    public static YamlMappingNode Merge(YamlMappingNode lower, YamlMappingNode upper)
    {
        var merged = new YamlMappingNode();
        foreach ((YamlNode key, YamlNode value) in lower) merged.Add(key, value);
        foreach ((YamlNode key, YamlNode value) in upper)
        {
            merged.Children[key] = merged.Children.TryGetValue(key, out YamlNode? below) && below is YamlMappingNode a && value is YamlMappingNode b ? Merge(a, b) : value;
        }

        return merged;
    }

    /// <summary>Sets one value by its path, as in <c>optimizer.learningRate.peak=1e-3</c>; numbers select entries of lists, and lists of mappings may be entered by the <c>name</c> of an entry.</summary>
    /// <param name="root">The tree; changed.</param>
    /// <param name="assignment">Path, equals sign, YAML value.</param>
    /// <exception cref="DinoSharpException">It is no assignment, or its path leads through something that is no mapping or list.</exception>
    public static void Set(YamlMappingNode root, string assignment)
    {
        int equals = assignment.IndexOf('=', StringComparison.Ordinal);
        if (equals < 1) throw new DinoSharpException($"'{assignment}' is no change of a recipe; write key=value, for example batchImages=16 or optimizer.clipNorm=1");
        string[] path = assignment[..equals].Split('.');
        // 'data=Synthetic:' is a text, though YAML takes a colon at the end for a key.
        string text = assignment[(equals + 1)..];
        YamlNode value = text.EndsWith(':') ? new YamlScalarNode(text) : ((YamlMappingNode)Parse(assignment, "value: " + text))[new YamlScalarNode("value")];
        YamlNode node = root;
        for (int i = 0; i < path.Length - 1; i++) node = Enter(node, path[i], assignment);
        if (node is YamlMappingNode mapping) mapping.Children[new YamlScalarNode(path[^1])] = value;
        else if (node is YamlSequenceNode list) list.Children[IndexOf(list, path[^1], assignment)] = value;
        else throw new DinoSharpException($"'{assignment}': '{string.Join('.', path[..^1])}' is a single value and has no keys");
    }

    /// <summary>Whether a path of keys exists.</summary>
    public static YamlNode? Find(YamlNode node, params ReadOnlySpan<string> path)
    {
        foreach (string key in path)
        {
            if (node is not YamlMappingNode mapping || !mapping.Children.TryGetValue(new YamlScalarNode(key), out YamlNode? next)) return null;
            node = next;
        }

        return node;
    }

    /// <summary>The tree as text.</summary>
    public static string Write(YamlNode root)
    {
        var writer = new StringWriter { NewLine = "\n" };
        new YamlStream(new YamlDocument(root)).Save(writer, assignAnchors: false);
        string text = writer.ToString();
        return text.EndsWith("...\n", StringComparison.Ordinal) ? text[..^4] : text;
    }

    /// <summary>Writes a text beside its final name and renames it.</summary>
    public static void Save(string path, string text)
    {
        byte[] bytes = System.Text.Encoding.UTF8.GetBytes(text);
        SafetensorsWriter.WriteBeside(path, bytes.Length, stream => stream.Write(bytes));
    }

    /// <summary>Where a node stands, for messages.</summary>
    public static string Place(string source, YamlNode node) => node.Start.Line > 0 ? $"{source}, line {node.Start.Line}" : source;

    // What is entered becomes a copy: phases share the nodes that stand at the top of a recipe, and a change of one phase must not reach the others.
    private static YamlNode Enter(YamlNode node, string key, string assignment)
    {
        if (node is YamlSequenceNode list)
        {
            int index = IndexOf(list, key, assignment);
            return list.Children[index] = Copy(list.Children[index]);
        }

        if (node is not YamlMappingNode mapping) throw new DinoSharpException($"'{assignment}': there is nothing to enter at '{key}'");
        var name = new YamlScalarNode(key);
        if (mapping.Children.TryGetValue(name, out YamlNode? next) && next is not YamlScalarNode) return mapping.Children[name] = Copy(next);
        if (next is YamlScalarNode { Value: not (null or "" or "null" or "~") } single) throw new DinoSharpException($"'{assignment}': '{key}' is the single value {single.Value}; write the whole, for example '{key}={{start: {single.Value}, peak: {single.Value}, end: …}}'");
        mapping.Children[name] = new YamlMappingNode();
        return mapping.Children[name];
    }

    private static YamlNode Copy(YamlNode node) => node switch
    {
        YamlMappingNode mapping => new YamlMappingNode(mapping.Children),
        YamlSequenceNode list => new YamlSequenceNode(list.Children),
        _ => node,
    };

    private static int IndexOf(YamlSequenceNode list, string key, string assignment)
    {
        if (int.TryParse(key, out int index) && index >= 0 && index < list.Children.Count) return index;
        string?[] names = [.. list.Children.Select(child => (Find(child, "name") as YamlScalarNode)?.Value)];
        index = Array.IndexOf(names, key);
        string known = names.All(n => n is null) ? $"0 to {list.Children.Count - 1}" : string.Join(", ", names);
        return index >= 0 ? index : throw new DinoSharpException($"'{assignment}': there is no entry '{key}'; known: {known}");
    }

    private static void CheckDepth(string source, YamlNode node, int depth)
    {
        if (depth > MaxDepth) throw new DinoSharpException($"{Place(source, node)}: nested too deeply");
        IEnumerable<YamlNode> children = node switch
        {
            YamlMappingNode mapping => mapping.Children.Values,
            YamlSequenceNode list => list.Children,
            _ => [],
        };
        foreach (YamlNode child in children) CheckDepth(source, child, depth + 1);
    }
}
