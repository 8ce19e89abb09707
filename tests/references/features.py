"""Oriented gradients pixel by pixel, in float64."""

import math

import numpy as np


def blurred(image, deviation):
    """Gaussian over the pixels there are, each mean taken with weights that sum to 1; axis by axis."""
    for axis in (0, 1):
        lines = np.moveaxis(image, axis, 0)
        out = np.empty_like(lines)
        for i in range(len(lines)):
            weights = [math.exp(-0.5 * ((j - i) / deviation) ** 2) for j in range(len(lines))]
            out[i] = sum(weight * line for weight, line in zip(weights, lines, strict=True)) / sum(weights)
        image = np.moveaxis(out, 0, axis)
    return image


def cell_means(image, *, blur, orientations, spread, step, period, margin):
    """Mean brightness `[rows, columns, c]` and mean strengths `[rows, columns, c, orientations]` of `[h, w, c]`."""
    h, w, c = image.shape
    soft = blurred(image.astype(np.float64), blur)
    rows, columns = -(-h // step), -(-w // step)
    tops, lefts = (
        [min(max((length - 1) / 2 + step * (i - (count - 1) / 2), border), length - 1 - border) for i in range(count)]
        for length, count in ((h, rows), (w, columns))
        for border in [min(margin, (length - 1) / 2)]
    )
    cells = np.zeros((rows, columns, c, orientations))
    brightness = np.zeros((rows, columns, c))
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            total = 0.0
            for y in range(h):
                for x in range(w):
                    weight = math.exp(-0.5 * ((y - top) ** 2 + (x - left) ** 2) / spread**2)
                    total += weight
                    for k in range(c):
                        brightness[i, j, k] += weight * image[y, x, k]
                        down = (soft[min(y + 1, h - 1), x, k] - soft[max(y - 1, 0), x, k]) / 2
                        across = (soft[y, min(x + 1, w - 1), k] - soft[y, max(x - 1, 0), k]) / 2
                        place = math.atan2(down, across) % period / period * orientations
                        low, part = int(place) % orientations, place - int(place)
                        strength = weight * math.hypot(down, across)
                        cells[i, j, k, low] += (1 - part) * strength
                        cells[i, j, k, (low + 1) % orientations] += part * strength
            cells[i, j] /= total
            brightness[i, j] /= total
    return brightness, cells


def oriented_gradients(image, *, power, **options):
    """One image `[h, w, c]` to `[rows, columns, c orientations]`."""
    _, cells = cell_means(image, period=2 * math.pi, margin=0.0, **options)
    raised = (cells.reshape(*cells.shape[:2], -1) + 1e-8) ** power
    return raised / np.sqrt((raised**2).sum())


def gradient_energies(image, *, blurs, floor, spread, **options):
    """One image `[h, w, c]` to `[rows, columns, c (1 + blurs x orientations)]`."""
    parts = []
    for blur in blurs:
        brightness, cells = cell_means(image, blur=blur, spread=spread, period=math.pi, margin=spread, **options)
        parts.append(np.log(cells.reshape(*cells.shape[:2], -1) + floor))
    return np.concatenate([brightness, *parts], axis=-1)
