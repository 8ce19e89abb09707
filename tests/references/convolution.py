"""Convolutions from their definitions, in float64: one product of matrices for every place of the kernel."""

import numpy as np


def pads(length, size, stride, padding):
    """Zeros before and after an axis, as TensorFlow defines "SAME" and "VALID"."""
    if padding == "VALID":
        return 0, 0
    outputs = -(-length // stride)
    total = max((outputs - 1) * stride + size - length, 0)
    return total // 2, total - total // 2


def convolution(image, kernel, strides, padding):
    """Correlate one image `[h, w, c]` with a kernel `[p, q, c, f]`."""
    (h, w, _), (p, q, _, f) = image.shape, kernel.shape
    (top, bottom), (left, right) = pads(h, p, strides[0], padding), pads(w, q, strides[1], padding)
    padded = np.pad(np.asarray(image, np.float64), [(top, bottom), (left, right), (0, 0)])
    rows = (h + top + bottom - p) // strides[0] + 1
    columns = (w + left + right - q) // strides[1] + 1
    result = np.zeros((rows, columns, f))
    for a in range(p):
        for b in range(q):
            seen = padded[a :: strides[0], b :: strides[1]][:rows, :columns]
            result += seen @ np.float64(kernel[a, b])
    return result


def transposed_convolution(image, kernel, strides, padding):
    """Scatter one image `[h, w, c]` with a kernel `[p, q, f, c]`, the layout and definition of Keras.

    Every input pixel adds the kernel times itself to the outputs it touches; "SAME" then cuts off what the
    convolution from the larger to the smaller image would have padded.
    """
    (h, w, _), (p, q, f, _) = image.shape, kernel.shape
    size = [(n - 1) * s + max(k, s) for n, s, k in zip((h, w), strides, (p, q), strict=True)]
    result = np.zeros((*size, f))
    for a in range(p):
        for b in range(q):
            touched = result[a :: strides[0], b :: strides[1]][:h, :w]
            touched += image @ np.float64(kernel[a, b]).T
    if padding == "VALID":
        return result
    top, left = (pads(n * s, k, s, "SAME")[0] for n, s, k in zip((h, w), strides, (p, q), strict=True))
    return result[top : top + h * strides[0], left : left + w * strides[1]]
