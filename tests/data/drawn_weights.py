"""Weights and images drawn by name, the same wherever they are drawn: nothing large need be stored."""

import math
import zlib

import numpy as np


def draw_weights(shapes):
    """Float32 arrays of these shapes by name, such that the outputs of every layer stay of one size."""
    return {name: _draw(name, tuple(shape)) for name, shape in shapes.items() if not name.endswith("tracked")}


def draw_images(height, width):
    """Two images `[2, h, w, 3]` in uint8: noise upon a ramp."""
    noise = np.random.RandomState(height * 1000 + width).random_sample((2, height, width, 3))
    ramp = np.linspace(0, 1, width).reshape(1, 1, width, 1)
    return (255 * (0.5 * noise + 0.5 * ramp)).astype(np.uint8)


def thin(output):
    """What is kept of an output `[n, ..., c]`: sixteen or so of its channels."""
    return output[..., :: max(1, output.shape[-1] // 16)]


def _draw(name, shape):
    # RandomState gives the same numbers in every version of NumPy.
    drawn = np.random.RandomState(zlib.crc32(name.encode())).random_sample(shape).astype(np.float32)
    fan = math.prod(shape[1:])
    if name.endswith(("running_var", "gamma")) or (len(shape) == 1 and name.endswith("weight")):
        return drawn + np.float32(0.5)
    if name.endswith("weight"):
        return (2 * drawn - 1) * np.float32(math.sqrt((6 if len(shape) == 4 else 3) / fan))
    return (2 * drawn - 1) * np.float32(0.3)
