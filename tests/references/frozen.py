"""What is made of features, number by number, in float64."""

import math

import numpy as np


def average_neighbours(maps, size):
    n, rows, columns, c = maps.shape
    out, reach = np.zeros(maps.shape), size // 2
    for i in range(n):
        for y in range(rows):
            for x in range(columns):
                for k in range(c):
                    there = [
                        float(maps[i, p, q, k])
                        for p in range(max(0, y - reach), min(rows, y + reach + 1))
                        for q in range(max(0, x - reach), min(columns, x + reach + 1))
                    ]
                    out[i, y, x, k] = sum(there) / len(there)
    return out


def take_out_light(maps, softening, tiny):
    out = np.zeros(maps.shape)
    for i, image in enumerate(maps.astype(np.float64)):
        deviations = [math.sqrt(np.mean((plane - plane.mean()) ** 2)) for plane in np.moveaxis(image, -1, 0)]
        added = softening * sum(deviations) / len(deviations) + tiny
        for k, deviation in enumerate(deviations):
            out[i, ..., k] = (image[..., k] - image[..., k].mean()) / (deviation + added)
    return out


def bell_means(cells, blur):
    """Gaussian means of a map `[rows, columns]` over the cells that there are."""
    rows, columns = cells.shape
    out = np.zeros(cells.shape)
    for y in range(rows):
        for x in range(columns):
            total = weights = 0.0
            for p in range(rows):
                for q in range(columns):
                    weight = math.exp(-0.5 * ((p - y) ** 2 + (q - x) ** 2) / blur**2)
                    total, weights = total + weight * float(cells[p, q]), weights + weight
            out[y, x] = total / weights
    return out


def choose_spread(rows, count, first):
    chosen = [first]
    while len(chosen) < count:
        furthest, place = -1.0, 0
        for i, row in enumerate(rows):
            near = min(math.dist(row, rows[j]) for j in chosen)
            if i not in chosen and near > furthest:
                furthest, place = near, i
        chosen.append(place)
    return chosen


def reweigh(row, memory, count):
    """Equation 7 of arXiv:2106.08265 for one row, with its authors' scaling of distances in the exponents."""
    distances = [math.dist(row, each) for each in memory]
    nearest = distances.index(min(distances))
    around = sorted(range(len(memory)), key=lambda j: math.dist(memory[nearest], memory[j]))[:count]
    scale = math.sqrt(len(row))
    others = sum(math.exp(distances[j] / scale) for j in around)
    return (1 - math.exp(distances[nearest] / scale) / others) * distances[nearest]


def ledoit_wolf(rows):
    """Mean and shrunk covariance of rows `[n, d]`, by the sums of Ledoit & Wolf, 2004, section 3.2."""
    n, d = rows.shape
    mean = rows.mean(axis=0)
    covariance = sum(np.outer(row - mean, row - mean) for row in rows) / n
    level = np.trace(covariance) / d
    target = level * np.eye(d)
    apart = np.sum((covariance - target) ** 2) / d
    error = sum(np.sum((np.outer(row - mean, row - mean) - covariance) ** 2) for row in rows) / d / n**2
    share = min(error, apart) / apart
    return mean, share * target + (1 - share) * covariance
