"""Per-region overlap in plain loops: every threshold, every region, every pixel. Slow and obvious."""

import itertools


def regions_of(mask):
    """Lists of the pixels of each 8-connected region, found by flooding from every unvisited defect pixel."""
    height, width = len(mask), len(mask[0])
    seen, regions = set(), []
    for row in range(height):
        for column in range(width):
            if not mask[row][column] or (row, column) in seen:
                continue
            region, waiting = [], [(row, column)]
            seen.add((row, column))
            while waiting:
                y, x = waiting.pop()
                region.append((y, x))
                for near in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                    inside = 0 <= near[0] < height and 0 <= near[1] < width
                    if inside and mask[near[0]][near[1]] and near not in seen:
                        seen.add(near)
                        waiting.append(near)
            regions.append(region)
    return regions


def pro_curve(masks, maps, inside):
    """Points (false-positive rate, mean overlap, threshold), from the highest threshold down, of the pixels inside."""
    counted = {
        (i, y, x)
        for i, mask in enumerate(inside)
        for y, row in enumerate(mask)
        for x, counts in enumerate(row)
        if counts
    }
    good = [(i, y, x) for i, y, x in counted if not masks[i][y][x]]
    regions = [
        [(i, y, x) for y, x in region if (i, y, x) in counted]
        for i, mask in enumerate(masks)
        for region in regions_of(mask)
    ]
    regions = [region for region in regions if region]
    scores = {float(maps[i][y][x]) for i, y, x in counted}
    points = [(0.0, 0.0, float("inf"))]
    for threshold in sorted(scores, reverse=True):
        rate = sum(maps[i][y][x] >= threshold for i, y, x in good) / len(good)
        shares = [sum(maps[i][y][x] >= threshold for i, y, x in region) / len(region) for region in regions]
        points.append((float(rate), float(sum(shares) / len(shares)), threshold))
    return points


def aupro(masks, maps, inside, limit):
    """Trapezoid by trapezoid up to the limit; the one that crosses it is cut there."""
    points = pro_curve(masks, maps, inside)
    area = 0.0
    for (rate, overlap, _), (next_rate, next_overlap, _) in itertools.pairwise(points):
        if rate >= limit or next_rate == rate:
            continue
        end = min(next_rate, limit)
        at_end = overlap + (next_overlap - overlap) * (end - rate) / (next_rate - rate)
        area += (end - rate) * (overlap + at_end) / 2
    return area / limit
