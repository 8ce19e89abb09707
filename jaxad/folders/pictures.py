"""One small picture a scored photograph, [image | heatmap | overlay], all on the pipeline's one colour scale.

Photographs are uint8, uint16 or float32 in [0, 1], `[h, w, c]`, maps float32 `[h, w]`.
"""

import functools
import io

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image

SIDE = 256
"""Height and width of each of the three panels at most, in pixels."""
OPACITY = 0.7
"""Of the hottest colour in the overlay; the coldest is clear."""


def picture(
    photograph: Shaped[np.ndarray, "h w c"], score_map: Float[np.ndarray, "h w"], limits: tuple[float, float]
) -> bytes:
    """A photograph `[h, w, c]`, its map `[h, w]` and both together, side by side, as JPEG.

    `limits` are the scores of the lowest and the highest colour; beyond them colours stay the same.
    """
    size = _fitted(photograph.shape[0], photograph.shape[1])
    panel = _small(_in_bytes(photograph), size)
    heat = np.asarray(Image.fromarray(score_map).resize(size[::-1], Image.Resampling.BOX))
    share = np.clip((heat - limits[0]) / ((limits[1] - limits[0]) or 1.0), 0, 1)
    colours = _colours()[np.rint(share * 255).astype(np.uint8)]
    opacity = Image.fromarray(np.rint(OPACITY * 255 * share).astype(np.uint8))
    overlay = Image.composite(Image.fromarray(colours), Image.fromarray(panel), opacity)
    stream = io.BytesIO()
    # WebP is 1.7 times smaller and takes ten times as long.
    Image.fromarray(np.concatenate([panel, colours, np.asarray(overlay)], axis=1)).save(stream, "jpeg", quality=80)
    return stream.getvalue()


def deep_png(score_map: Float[np.ndarray, "h w"], limits: tuple[float, float]) -> bytes:
    """A map `[h, w]` as 16-bit grey PNG: 0 is the lowest colour, 65535 the highest, beyond them it is clipped."""
    share = np.clip((score_map - limits[0]) / ((limits[1] - limits[0]) or 1.0), 0, 1)
    stream = io.BytesIO()
    Image.fromarray(np.rint(share * 65535).astype(np.uint16)).save(stream, "png")
    return stream.getvalue()


def _fitted(height: int, width: int) -> tuple[int, int]:
    factor = min(1.0, SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _in_bytes(photograph: Shaped[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    if photograph.dtype == np.uint8:
        return photograph
    white = 65535 if photograph.dtype == np.uint16 else 1
    return np.rint(photograph * np.float32(255 / white)).astype(np.uint8)


def _small(pixels: UInt8[np.ndarray, "h w c"], size: tuple[int, int]) -> UInt8[np.ndarray, "height width 3"]:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return np.asarray(image.resize(size[::-1], Image.Resampling.BOX).convert("RGB"))


@functools.cache
def _colours() -> UInt8[np.ndarray, "256 3"]:
    import matplotlib

    return matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
