"""Structural similarity (SSIM) of image pairs, as `tf.image.ssim` defines it.

Images are float32 [n, h, w, c] in [0, data_range]; SSIM has no unit, lies in [-1, 1], and is 1 for equal images.
Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment", IEEE Trans. Image Processing 13(4), 2004, eq. 13.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxad._check import InputError, need_at_least, need_images, raise_problems
from jaxad._types import Images


def gaussian_rows(length: int, *, window: int = 11, sigma: float = 1.5) -> Float[Array, "{length}-{window}+1 {length}"]:
    """The matrix whose row i weighs the pixels i to i + window - 1 of a line with a Gaussian centred among them.

    `sigma` is in pixels; each row sums to 1. A product with it is a VALID correlation along one axis.
    """
    offset = jnp.arange(length)[None, :] - jnp.arange(length - window + 1)[:, None]
    bell = jnp.exp(-0.5 * ((offset - (window - 1) / 2) / sigma) ** 2)
    rows = jnp.where((offset >= 0) & (offset < window), bell, 0.0)
    return rows / rows.sum(axis=1, keepdims=True)


def ssim_map(
    x: Images,
    y: Images,
    *,
    data_range: float = 1.0,
    window: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> Float[Array, "n h-{window}+1 w-{window}+1 c"]:
    """SSIM of every full window of `x` and `y`, for each channel alone; nothing is averaged.

    `window` and `sigma` (pixels) describe the normalised Gaussian weights; entry (i, j) belongs to the window whose
    upper left pixel is (i, j). `data_range` is the span of the pixel values; the constants are (k1 data_range)^2 and
    (k2 data_range)^2. Variances are the weighted ones, without the sample correction n / (n - 1).

    Raises InputError where the shapes differ, where an image is smaller than the window, and where an option is not
    positive. Formula: eq. 13 of Wang et al. 2004, with the luminance and the contrast-structure factors multiplied.
    """
    _need_pair(x, y, window=window)
    _need_positive(data_range=data_range, sigma=sigma, k1=k1, k2=k2)
    down = gaussian_rows(x.shape[1], window=window, sigma=sigma)
    along = gaussian_rows(x.shape[2], window=window, sigma=sigma)

    # Matrix products, because XLA's CPU convolutions lose their fast path inside lax.scan, and because the gradient
    # of shifted sums took 2 to 10 times as long (28 to 512 pixels, 2 cores). HIGHEST, because the variances below are
    # small differences of large numbers and would drown in an accelerator's reduced product.
    def blur(v: Float[Array, "n h w c"]) -> Float[Array, "n i j c"]:
        narrow = jnp.einsum("ih,nhwc->niwc", down, v, precision=jax.lax.Precision.HIGHEST)
        return jnp.einsum("jw,niwc->nijc", along, narrow, precision=jax.lax.Precision.HIGHEST)

    # SSIM does not change with the unit; in this one no square leaves float32.
    x, y = jnp.asarray(x) / data_range, jnp.asarray(y) / data_range
    # Variances do not depend on the origin; near the mean, bright and nearly flat images lose fewer digits.
    shift_x, shift_y = (jax.lax.stop_gradient(v.mean(axis=(1, 2), keepdims=True)) for v in (x, y))
    a, b = x - shift_x, y - shift_y
    # Four separate calls: stacking them for one large product was slower in almost every size measured.
    mean_a, mean_b, squares, product = blur(a), blur(b), blur(a * a + b * b), blur(a * b)
    variances = squares - mean_a * mean_a - mean_b * mean_b
    covariance = product - mean_a * mean_b
    mean_x, mean_y = mean_a + shift_x, mean_b + shift_y
    c1, c2 = k1**2, k2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    return luminance * (2 * covariance + c2) / (variances + c2)


def ssim(
    x: Images,
    y: Images,
    *,
    data_range: float = 1.0,
    window: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> Float[Array, " n"]:
    """SSIM of each image pair, [n]: the mean of `ssim_map` over positions and channels.

    Options, errors and source as for `ssim_map`; equals `tf.image.ssim` with its defaults. scikit-image agrees with
    `gaussian_weights=True, sigma=1.5, use_sample_covariance=False` once a border of 5 pixels is cropped from its map.
    """
    values = ssim_map(x, y, data_range=data_range, window=window, sigma=sigma, k1=k1, k2=k2)
    return values.mean(axis=(1, 2, 3))


def _need_pair(x: Images, y: Images, *, window: int) -> None:
    need_images(x, what="x")
    need_images(y, what="y")
    need_at_least(window, 1, what="window")
    if x.shape != y.shape:
        raise InputError(f"x and y must have one shape, got {tuple(x.shape)} and {tuple(y.shape)}; crop or resize one")
    if min(x.shape[1:3]) < window:
        raise InputError(
            f"images must be at least as large as the SSIM window of {window} x {window} pixels, because SSIM compares "
            f"statistics of whole windows; got {x.shape[1]} x {x.shape[2]}: use larger images or a smaller window"
        )


def _need_positive(**options: float) -> None:
    raise_problems(f"{name} must be positive, got {value}" for name, value in options.items() if not value > 0)
