"""SSIM in float64, window by window and in plain loops, after eq. 13 of Wang et al. 2004."""

import math

import numpy as np


def ssim_map_slow(
    x: np.ndarray, y: np.ndarray, data_range: float = 1.0, window: int = 11, sigma: float = 1.5
) -> np.ndarray:
    weights = np.empty((window, window))
    for i in range(window):
        for j in range(window):
            squared = (i - (window - 1) / 2) ** 2 + (j - (window - 1) / 2) ** 2
            weights[i, j] = math.exp(-squared / (2 * sigma**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    n, h, w, c = x.shape
    out = np.empty((n, h - window + 1, w - window + 1, c))
    for k in range(n):
        for i in range(h - window + 1):
            for j in range(w - window + 1):
                for channel in range(c):
                    a = x[k, i : i + window, j : j + window, channel].astype(np.float64)
                    b = y[k, i : i + window, j : j + window, channel].astype(np.float64)
                    mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
                    var_a = (weights * (a - mean_a) ** 2).sum()
                    var_b = (weights * (b - mean_b) ** 2).sum()
                    covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
                    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
                    out[k, i, j, channel] = numerator / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return out
