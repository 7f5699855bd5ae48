namespace DinoSharp.Features.Matching;

/// <summary>Thins out points until none has another one nearby.</summary>
internal sealed class PointSpacing
{
    private readonly IReadOnlyList<ImagePoint> _points;
    private readonly double _distance;

    // Squares of side `distance`: neighbours lie in the same or an adjacent one. Neighbours are looked up again when needed, because lists of
    // them would take n² memory where the distance is large.
    private readonly Dictionary<(long, long), int[]> _cells;

    private PointSpacing(IReadOnlyList<ImagePoint> points, double distance)
    {
        (_points, _distance) = (points, distance);
        _cells = Enumerable.Range(0, points.Count).GroupBy(Cell).ToDictionary(g => g.Key, g => g.ToArray());
    }

    /// <summary>Removes, again and again, the point with the most neighbours (the first of equals) until no two points are neighbours.</summary>
    /// <param name="points">Places.</param>
    /// <param name="distance">Points up to this far apart are neighbours.</param>
    /// <returns>Indices of the points that stay, ascending.</returns>
    public static int[] Select(IReadOnlyList<ImagePoint> points, double distance) => new PointSpacing(points, distance).Select();

    private int[] Select()
    {
        int[] counts = new int[_points.Count]; // neighbours; 0 for a point that is removed
        bool[] removed = new bool[counts.Length];
        for (int i = 0; i < counts.Length; i++) ForEachNeighbor(i, _ => counts[i]++);

        // Looking through all counts is one pass of vectors; a queue would hold an entry for every count that ever was, n² of them.
        while (counts.Length > 0 && counts.Max() is > 0 and var most)
        {
            int worst = Array.IndexOf(counts, most);
            (counts[worst], removed[worst]) = (0, true);
            ForEachNeighbor(worst, neighbor =>
            {
                if (!removed[neighbor]) counts[neighbor]--;
            });
        }

        return [.. Enumerable.Range(0, counts.Length).Where(i => !removed[i])];
    }

    private void ForEachNeighbor(int i, Action<int> action)
    {
        (long x, long y) = Cell(i);
        for (long cellY = y - 1; cellY <= y + 1; cellY++)
        {
            for (long cellX = x - 1; cellX <= x + 1; cellX++)
            {
                if (!_cells.TryGetValue((cellX, cellY), out int[]? members)) continue;
                foreach (int j in members) if (j != i && _points[i].DistanceTo(_points[j]) <= _distance) action(j);
            }
        }
    }

    private (long X, long Y) Cell(int i) => ((long)Math.Floor(_points[i].X / _distance), (long)Math.Floor(_points[i].Y / _distance));
}
