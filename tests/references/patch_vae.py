"""The patch VAE of the published Keras code in plain NumPy, float64, one window at a time.

Weights are a dictionary in the layout of Keras: "encoder/conv2d_5/kernel", "decoder/dense_2/bias" and so on.
"""

import numpy as np

from tests.references.convolution import convolution, transposed_convolution


def encode(weights, window):
    """Mean and log-variance of the code of one window `[8, 8, c]`."""
    x = window
    for layer, norm in (("conv2d_5", "batch_normalization_10"), ("conv2d_6", "batch_normalization_11")):
        x = convolution(x, weights[f"encoder/{layer}/kernel"], (2, 2), "VALID") + weights[f"encoder/{layer}/bias"]
        x = np.maximum(batch_norm(weights, f"encoder/{norm}", x), 0)
    x = x.reshape(-1)
    return dense(weights, "encoder/z_mean", x), dense(weights, "encoder/z_log_var", x)


def decode(weights, z):
    """Mean and variance of every pixel for one code `[z]`."""
    x = batch_norm(weights, "decoder/batch_normalization_12", dense(weights, "decoder/dense_2", z))
    x = np.maximum(x, 0).reshape(2, 2, 1)
    for layer, norm in (("conv2d_transpose_7", 13), ("conv2d_transpose_8", 14)):
        x = transposed_layer(weights, f"decoder/{layer}", x, (2, 2))
        x = np.maximum(batch_norm(weights, f"decoder/batch_normalization_{norm}", x), 0)
    heads = (("conv2d_transpose_9", 15), ("conv2d_transpose_10", 16))
    mean, variance = (
        batch_norm(weights, f"decoder/batch_normalization_{norm}", transposed_layer(weights, f"decoder/{head}", x))
        for head, norm in heads
    )
    return 1 / (1 + np.exp(-mean)), 1 / (1 + np.exp(-variance))


def scores(weights, window):
    """The three terms D, A and M of the negative ELBO of one window, z at its mean."""
    z_mean, z_log_variance = encode(weights, window)
    mean, variance = decode(weights, z_mean)
    d = sum(0.5 * (m**2 + np.exp(v) - 1 - v) for m, v in zip(z_mean, z_log_variance, strict=True))
    a = sum(0.5 * np.log(2 * np.pi * v) for v in variance.ravel())
    m = sum(0.5 * (x - m) ** 2 / v for x, m, v in zip(window.ravel(), mean.ravel(), variance.ravel(), strict=True))
    return {"D": d, "A": a, "M": m}


def dense(weights, name, x):
    return x @ np.float64(weights[f"{name}/kernel"]) + weights[f"{name}/bias"]


def transposed_layer(weights, name, x, strides=(1, 1)):
    return transposed_convolution(x, weights[f"{name}/kernel"], strides, "SAME") + weights[f"{name}/bias"]


def batch_norm(weights, name, x):
    mean, variance, gamma, beta = (
        np.float64(weights[f"{name}/{part}"]) for part in ("moving_mean", "moving_variance", "gamma", "beta")
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
