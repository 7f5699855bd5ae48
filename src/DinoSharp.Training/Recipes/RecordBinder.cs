using System.Collections.Immutable;
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Training.Optimization;
using YamlDotNet.RepresentationModel;

namespace DinoSharp.Training.Recipes;

/// <summary>Between YAML and immutable records, by the names of their properties in camelCase. A key that no property has is an error that names the nearest one.</summary>
/// <param name="source">Where the YAML is from, for messages.</param>
internal sealed class RecordBinder(string source)
{
    private static readonly Dictionary<string, Normalization> KnownNormalizations = new() { ["lvd"] = Normalization.Lvd, ["sat"] = Normalization.Sat, ["chmv2"] = Normalization.Chmv2 };

    /// <summary>Keys of a record type.</summary>
    public static IEnumerable<string> KeysOf(Type type) => Properties(type).Select(Key);

    /// <summary>Makes a record; what is not given keeps its default.</summary>
    public T Bind<T>(YamlNode node, string path = "") => (T)Bind(node, typeof(T), path, null)!;

    /// <summary>The YAML of a value; reading it back gives an equal value.</summary>
    public static YamlNode Write(object? value)
    {
        switch (value)
        {
            case null: return new YamlScalarNode("null");
            case bool flag: return new YamlScalarNode(flag ? "true" : "false");
            case double or float: return new YamlScalarNode(((IFormattable)value).ToString("R", CultureInfo.InvariantCulture));
            case string text: return new YamlScalarNode(text) { Style = text.Contains('\n', StringComparison.Ordinal) ? YamlDotNet.Core.ScalarStyle.Literal : NeedsQuotes(text) ? YamlDotNet.Core.ScalarStyle.DoubleQuoted : YamlDotNet.Core.ScalarStyle.Any };
            case Enum word: return new YamlScalarNode(Camel(word.ToString()));
            case IFormattable number: return new YamlScalarNode(number.ToString(null, CultureInfo.InvariantCulture));
            case Schedule constant when constant == Schedule.Constant(constant.End): return Write(constant.End);
            case Normalization known when KnownNormalizations.FirstOrDefault(p => p.Value.Equals(known)) is { Key: { } name }: return new YamlScalarNode(name);
            case Normalization own: return Write(new ChannelValues { Mean = own.Mean, Std = own.Std });
            case ITuple tuple: return new YamlSequenceNode(Enumerable.Range(0, tuple.Length).Select(i => Write(tuple[i]))) { Style = YamlDotNet.Core.Events.SequenceStyle.Flow };
            case System.Collections.IEnumerable items: return List(items);
        }

        var mapping = new YamlMappingNode();
        if (value is BackboneConfig) mapping.Add("family", Camel(value is ConvNeXtConfig ? "ConvNeXt" : "VisionTransformer"));
        // Null is written where it is not the default.
        object? fresh = value.GetType().GetConstructor(Type.EmptyTypes)?.Invoke(null);
        foreach (PropertyInfo property in Properties(value.GetType()))
        {
            object? item = property.GetValue(value);
            if (item is not null || (fresh is not null && property.GetValue(fresh) is not null)) mapping.Add(Key(property), Write(item));
        }

        return mapping;
    }

    private static YamlSequenceNode List(System.Collections.IEnumerable items)
    {
        YamlNode[] nodes = [.. items.Cast<object?>().Select(Write)];
        return new YamlSequenceNode(nodes) { Style = nodes.All(n => n is YamlScalarNode) ? YamlDotNet.Core.Events.SequenceStyle.Flow : YamlDotNet.Core.Events.SequenceStyle.Block };
    }

    private static bool NeedsQuotes(string text) => text is "" or "null" or "true" or "false" or "~" || double.TryParse(text, CultureInfo.InvariantCulture, out _);

    private object? Bind(YamlNode node, Type type, string path, object? otherwise)
    {
        if (Nullable.GetUnderlyingType(type) is { } inner) return IsNull(node) ? null : Bind(node, inner, path, null);
        if (type == typeof(string)) return IsNull(node) ? null : Scalar(node, path, "a text");
        if (type == typeof(BackboneConfig)) return Backbone(node, path, otherwise as BackboneConfig);
        if (type == typeof(Schedule) && node is YamlScalarNode && !IsNull(node)) return Schedule.Constant((double)Number(node, typeof(double), path));
        if (type == typeof(Normalization)) return NormalizationOf(node, path);
        if (type.IsPrimitive || type.IsEnum) return type.IsEnum ? Word(node, type, path) : type == typeof(bool) ? Flag(node, path) : Number(node, type, path);
        if (typeof(ITuple).IsAssignableFrom(type)) return Tuple(node, type, path);
        if (ElementOf(type) is { } element) return Items(node, type, element, path);
        return IsNull(node) ? null : Record(node, type, path, otherwise);
    }

    private object Record(YamlNode node, Type type, string path, object? otherwise)
    {
        if (node is not YamlMappingNode mapping) throw Wrong(node, path, $"expected keys and values, found {Describe(node)}");
        Dictionary<string, PropertyInfo> properties = Properties(type).ToDictionary(Key);
        var values = new Dictionary<PropertyInfo, YamlNode>();
        foreach ((YamlNode key, YamlNode value) in mapping)
        {
            string name = Scalar(key, path, "a key");
            if (!properties.TryGetValue(name, out PropertyInfo? property)) throw Unknown(key, path, name, properties.Keys);
            values.Add(property, value);
        }

        if (type.GetConstructor(Type.EmptyTypes) is not { } constructor) return Positional(node, type, path, values);
        object record = otherwise is null ? constructor.Invoke(null) : Clone(otherwise);
        foreach ((PropertyInfo property, YamlNode value) in values)
        {
            object? bound = Bind(value, property.PropertyType, Join(path, Key(property)), property.GetValue(record));
            if (bound is null && !IsNullable(property)) throw Wrong(value, Join(path, Key(property)), "a value is needed here");
            property.SetValue(record, bound);
        }

        foreach (PropertyInfo property in properties.Values.Where(p => p.IsDefined(typeof(RequiredMemberAttribute)) && !values.ContainsKey(p) && otherwise is null))
        {
            throw Wrong(node, Join(path, Key(property)), "is missing; there is no default for it");
        }

        return record;
    }

    private object Positional(YamlNode node, Type type, string path, Dictionary<PropertyInfo, YamlNode> values)
    {
        ConstructorInfo constructor = type.GetConstructors().MaxBy(c => c.GetParameters().Length)!;
        object?[] arguments = [.. constructor.GetParameters().Select(parameter =>
        {
            PropertyInfo property = type.GetProperty(parameter.Name!, BindingFlags.IgnoreCase | BindingFlags.Public | BindingFlags.Instance)!;
            if (values.TryGetValue(property, out YamlNode? value)) return Bind(value, parameter.ParameterType, Join(path, Key(property)), null);
            return parameter.HasDefaultValue ? parameter.DefaultValue : throw Wrong(node, Join(path, Key(property)), "is missing; there is no default for it");
        })];
        try
        {
            return constructor.Invoke(arguments);
        }
        catch (TargetInvocationException error) when (error.InnerException is ArgumentException reason)
        {
            throw Wrong(node, path, reason.Message);
        }
    }

    // A preset by name, or a mapping: a preset and what differs from it, or a family and its options.
    private object Backbone(YamlNode node, string path, BackboneConfig? otherwise)
    {
        if (node is YamlScalarNode) return Preset(node, path);
        if (node is not YamlMappingNode mapping) throw Wrong(node, path, $"expected the name of a network or its options, found {Describe(node)}");
        var rest = new YamlMappingNode();
        foreach ((YamlNode key, YamlNode value) in mapping)
        {
            if (key is not YamlScalarNode { Value: "preset" or "family" }) rest.Add(key, value);
        }

        YamlNode? preset = YamlText.Find(mapping, "preset"), family = YamlText.Find(mapping, "family");
        if (preset is not null && family is not null) throw Wrong(family, path, "give either a preset or a family");
        BackboneConfig start = preset is not null ? Preset(preset, Join(path, "preset")) : Scalar(family ?? throw Wrong(node, path, "a preset or a family (visionTransformer, convNeXt) is needed"), path, "a word") switch
        {
            "visionTransformer" => new VisionTransformerConfig(),
            "convNeXt" => new ConvNeXtConfig(),
            string other => throw Wrong(family, path, $"there is no family '{other}'; known: visionTransformer, convNeXt"),
        };
        return Record(rest, start.GetType(), path, start);
    }

    // The name of a known one, or mean and std.
    private Normalization NormalizationOf(YamlNode node, string path)
    {
        if (node is not YamlScalarNode) return Bind<ChannelValues>(node, path).Normalization(problem => Wrong(node, path, problem));
        string name = Scalar(node, path, "a name");
        return KnownNormalizations.GetValueOrDefault(name.ToLowerInvariant()) ?? throw Wrong(node, path, $"there is no normalization '{name}'; known: {string.Join(", ", KnownNormalizations.Keys)}, or mean and std");
    }

    private BackboneConfig Preset(YamlNode node, string path)
    {
        try
        {
            return Presets.Find(Scalar(node, path, "a name")).Config;
        }
        catch (DinoSharpException error)
        {
            throw Wrong(node, path, error.Message);
        }
    }

    private object Tuple(YamlNode node, Type type, string path)
    {
        Type[] types = type.GetGenericArguments();
        if (node is not YamlSequenceNode list || list.Children.Count != types.Length) throw Wrong(node, path, $"expected a list of {types.Length} values, found {Describe(node)}");
        return Activator.CreateInstance(type, [.. list.Children.Select((child, i) => Bind(child, types[i], $"{path}[{i}]", null))])!;
    }

    private object Items(YamlNode node, Type type, Type element, string path)
    {
        if (node is not YamlSequenceNode list) throw Wrong(node, path, $"expected a list, found {Describe(node)}");
        Array items = Array.CreateInstance(element, list.Children.Count);
        for (int i = 0; i < items.Length; i++) items.SetValue(Bind(list.Children[i], element, $"{path}[{i}]", null) ?? throw Wrong(list.Children[i], $"{path}[{i}]", "a value is needed here"), i);
        if (!type.IsGenericType || type.GetGenericTypeDefinition() != typeof(ImmutableArray<>)) return items;
        return typeof(ImmutableArray).GetMethods().First(m => m.Name == nameof(ImmutableArray.Create) && m.GetParameters() is [{ ParameterType.IsArray: true }]).MakeGenericMethod(element).Invoke(null, [items])!;
    }

    private object Number(YamlNode node, Type type, string path)
    {
        string text = Scalar(node, path, "a number");
        try
        {
            if (type == typeof(float)) return (float)(double)Number(node, typeof(double), path);
            if (type == typeof(double)) return double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture) is var number && double.IsFinite(number) ? number : throw Wrong(node, path, $"'{text}' is not finite");
            return Convert.ChangeType(decimal.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture) is var whole && whole == decimal.Truncate(whole) ? whole : throw Wrong(node, path, $"expected a whole number, found '{text}'"), type, CultureInfo.InvariantCulture);
        }
        catch (Exception error) when (error is FormatException or OverflowException)
        {
            throw Wrong(node, path, $"expected a {(type == typeof(double) ? "number" : "whole number of type " + type.Name)}, found '{text}'");
        }
    }

    private object Flag(YamlNode node, string path) => Scalar(node, path, "true or false") switch
    {
        "true" => true,
        "false" => false,
        string other => throw Wrong(node, path, $"expected true or false, found '{other}'"),
    };

    private object Word(YamlNode node, Type type, string path)
    {
        string text = Scalar(node, path, "a word");
        string[] words = [.. Enum.GetNames(type).Select(Camel)];
        int i = Array.FindIndex(words, word => string.Equals(word, text, StringComparison.OrdinalIgnoreCase));
        if (i >= 0) return Enum.Parse(type, Enum.GetNames(type)[i]);
        string? nearest = NearestName.Find(text, words);
        throw Wrong(node, path, $"there is no choice '{text}'{(nearest is null ? $"; known: {string.Join(", ", words)}" : $"; did you mean '{nearest}'?")}");
    }

    private string Scalar(YamlNode node, string path, string expected) => node is YamlScalarNode { Value: { } text } ? text : throw Wrong(node, path, $"expected {expected}, found {Describe(node)}");

    private DinoSharpException Unknown(YamlNode node, string path, string name, IEnumerable<string> keys)
    {
        string? nearest = NearestName.Find(name, keys);
        return Wrong(node, path, $"unknown key '{name}'{(nearest is null ? $"; known: {string.Join(", ", keys)}" : $"; did you mean '{nearest}'?")}");
    }

    private DinoSharpException Wrong(YamlNode node, string path, string problem) => new($"{YamlText.Place(source, node)}: {(path.Length == 0 ? "" : path + ": ")}{problem}");

    private static bool IsNull(YamlNode node) => node is YamlScalarNode { Style: YamlDotNet.Core.ScalarStyle.Plain or YamlDotNet.Core.ScalarStyle.Any, Value: null or "" or "null" or "~" };

    private static string Describe(YamlNode node) => node switch
    {
        YamlMappingNode => "keys and values",
        YamlSequenceNode list => $"a list of {list.Children.Count}",
        _ => $"'{node}'",
    };

    private static bool IsNullable(PropertyInfo property) => Nullable.GetUnderlyingType(property.PropertyType) is not null
        || new NullabilityInfoContext().Create(property).WriteState == NullabilityState.Nullable;

    private static Type? ElementOf(Type type) => type.IsGenericType && (type.GetGenericTypeDefinition() == typeof(IReadOnlyList<>) || type.GetGenericTypeDefinition() == typeof(ImmutableArray<>)) ? type.GetGenericArguments()[0] : null;

    // Records copy themselves through this hidden method, which `with` calls too.
    private static object Clone(object record) => record.GetType().GetMethod("<Clone>$")!.Invoke(record, null)!;

    private static IEnumerable<PropertyInfo> Properties(Type type)
    {
        bool positional = type.GetConstructor(Type.EmptyTypes) is null;
        string[] parameters = positional ? [.. type.GetConstructors().MaxBy(c => c.GetParameters().Length)!.GetParameters().Select(p => p.Name!)] : [];
        return type.GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .Where(p => positional ? parameters.Contains(p.Name, StringComparer.OrdinalIgnoreCase) : p.CanWrite);
    }

    private static string Key(PropertyInfo property) => Camel(property.Name);

    private static string Camel(string name)
    {
        int capitals = name.TakeWhile(char.IsUpper).Count();
        return name[..capitals].ToLowerInvariant() + name[capitals..];
    }

    private static string Join(string path, string key) => path.Length == 0 ? key : path + "." + key;

    private sealed record ChannelValues
    {
        public IReadOnlyList<float> Mean { get; init; } = [];

        public IReadOnlyList<float> Std { get; init; } = [];

        public Normalization Normalization(Func<string, Exception> wrong)
        {
            try
            {
                return Images.Normalization.Of(Mean, Std);
            }
            catch (ArgumentException error)
            {
                throw wrong(error.Message);
            }
        }
    }
}
