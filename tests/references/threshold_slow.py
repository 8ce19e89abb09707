"""Thresholds and their intervals by trying everything."""

import math

import numpy as np


def smallest_score_within_rate(scores: np.ndarray, rate: float) -> float:
    good = []
    for candidate in scores:
        above = sum(1 for score in scores if score > candidate)
        if above <= rate * len(scores) + 1e-9:
            good.append(candidate)
    return float(min(good))


def binomial_tail(successes: int, trials: int, p: float) -> float:
    """P(X >= successes) of a binomial, term by term."""
    return sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(successes, trials + 1))


def best_f1_slow(labels: np.ndarray, scores: np.ndarray) -> float:
    best = 0.0
    for cut in [-math.inf, *scores]:
        hits = sum(1 for t, s in zip(labels, scores, strict=True) if t and s > cut)
        false = sum(1 for t, s in zip(labels, scores, strict=True) if not t and s > cut)
        missed = sum(1 for t, s in zip(labels, scores, strict=True) if t and not s > cut)
        best = max(best, 2 * hits / (2 * hits + false + missed))
    return best
