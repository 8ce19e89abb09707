"""The published heatmap in plain loops: one call a window, then its score added to each pixel it covers."""

import numpy as np


def positions(length, size, stride, cover):
    """First pixels of the windows along one axis."""
    if cover == "seed":
        return [stride * step for step in range((length - size) // stride)]
    found, start = [], 0
    while start + size <= length:
        found.append(start)
        start += stride
    if found[-1] + size < length:
        found.append(length - size)
    return found


def heatmap(score_window, images, size, stride, cover, reduce):
    """`score_window` maps one window `[p, q, c]` to a number; gives float64 `[n, h, w]`, zero where nothing covers."""
    n, h, w, _ = images.shape
    total, count = np.zeros((n, h, w)), np.zeros((n, h, w))
    for i in range(n):
        for top in positions(h, size[0], stride[0], cover):
            for left in positions(w, size[1], stride[1], cover):
                score = float(score_window(images[i, top : top + size[0], left : left + size[1]]))
                for y in range(top, top + size[0]):
                    for x in range(left, left + size[1]):
                        total[i, y, x] += score
                        count[i, y, x] += 1
    return total if reduce == "sum" else total / np.maximum(count, 1)
