"""Keras's Conv2DTranspose as a scatter in plain loops: the gradient of the convolution it undoes."""

import numpy as np


def conv_transpose_slow(x: np.ndarray, kernel: np.ndarray, stride: int, padding: str) -> np.ndarray:
    """x [n, h, w, in], kernel [kh, kw, out, in] as Keras stores it -> [n, h', w', out]."""
    n, h, w, _ = x.shape
    kh, kw, features, _ = kernel.shape
    full = np.zeros((n, (h - 1) * stride + max(kh, stride), (w - 1) * stride + max(kw, stride), features))
    for i in range(h):
        for j in range(w):
            for a in range(kh):
                for b in range(kw):
                    full[:, i * stride + a, j * stride + b] += x[:, i, j] @ kernel[a, b].T
    if padding == "VALID":
        return full
    # What a "same" convolution of the output would have padded is cut off again: less before than after.
    top, left = max(kh - stride, 0) // 2, max(kw - stride, 0) // 2
    return full[:, top : top + h * stride, left : left + w * stride]
