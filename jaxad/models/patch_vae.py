"""The patch VAE: a small convolutional VAE whose decoder gives a mean and a variance for every pixel."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxad._barriers import apart
from jaxad._types import Images, PRNGKey, Windows
from jaxad.models.convolution import convolve
from jaxad.models.decoder_products import DecoderProducts, make_decoder_products
from jaxad.models.decoder_table import DecoderTable, make_decoder_table
from jaxad.models.layers import BatchNorm, Conv, ConvTranspose

TABLE, PRODUCTS = ("tables", "decoder"), ("tables", "products")
"""Collection and name of the variables that hold a `DecoderTable` and `DecoderProducts`."""


class PatchVAEOutput(NamedTuple):
    """What the model says of windows `[k, p, q, c]`."""

    mean: Float[Array, "k p q c"]
    """Expected pixel, in [0, 1]."""
    variance: Float[Array, "k p q c"]
    """Variance of the pixel, in (0, 1)."""
    z_mean: Float[Array, "k z"]
    """Mean of the posterior of the code."""
    z_log_variance: Float[Array, "k z"]
    """Logarithm of its variance."""


class PatchVAE(nn.Module):
    """VAE with a Gaussian decoder on windows, after Matsubara et al., arXiv:1807.05800.

    Each of the `filters` halves the window with a 2x2 convolution, so window height and width must be
    multiples of `2 ** len(filters)`. The two heads of the decoder, mean and variance, are one layer of
    `2 channels` features: means first.

    Attributes:
        window: height and width of a window, in pixels.
        filters: channels after each halving; the decoder uses them in reverse.
        latent_dim: size of the code z.
        channels: channels of the windows.
        variance_range: least and greatest variance of a pixel, between which the head moves on a logarithmic scale;
            None is the published sigmoid, whose variance can come near zero and its likelihood near infinity.
        z_log_variance_range: where the log-variance of the code is clipped; None leaves it free.
    """

    window: tuple[int, int] = (8, 8)
    filters: Sequence[int] = (16, 32)
    latent_dim: int = 2
    channels: int = 1
    variance_range: tuple[float, float] | None = None
    z_log_variance_range: tuple[float, float] | None = None

    def setup(self) -> None:
        """Build the layers; their names are the paths of the parameters."""
        self.encoder = [Conv(f, (2, 2), (2, 2), "VALID") for f in self.filters]
        self.encoder_norm = [BatchNorm(nn.relu) for _ in self.filters]
        self.z_mean = nn.Dense(self.latent_dim, kernel_init=nn.initializers.glorot_uniform())
        self.z_log_variance = nn.Dense(self.latent_dim, kernel_init=nn.initializers.glorot_uniform())
        rows, columns = (n >> len(self.filters) for n in self.window)
        self.decoder_dense = nn.Dense(rows * columns, kernel_init=nn.initializers.glorot_uniform())
        self.decoder_dense_norm = BatchNorm(nn.relu)
        self.decoder = [ConvTranspose(f, (2, 2), (2, 2)) for f in reversed(self.filters)]
        self.decoder_norm = [BatchNorm(nn.relu) for _ in self.filters]
        self.heads = ConvTranspose(2 * self.channels, (4, 4), kernel_init=_two_heads_init)
        self.heads_norm = BatchNorm(nn.sigmoid)

    def __call__(self, x: Windows, *, key: PRNGKey | None = None, train: bool = False) -> PatchVAEOutput:
        """Encode and decode windows `[k, p, q, c]`.

        Args:
            x: the windows.
            key: draws z from the posterior; without a key z is the posterior mean.
            train: use, and update, the batch's own statistics in BatchNorm.
        """
        z_mean, z_log_variance = self.encode(x, train=train)
        z = z_mean
        if key is not None:
            z = z_mean + jnp.exp(0.5 * z_log_variance) * jax.random.normal(key, z_mean.shape, z_mean.dtype)
        return PatchVAEOutput(*self.decode(z, train=train), z_mean, z_log_variance)

    def encode(self, x: Windows, *, train: bool = False) -> tuple[Float[Array, "k z"], Float[Array, "k z"]]:
        """Mean and log-variance of the code of windows `[k, p, q, c]`, each `[k, z]`."""
        x = jnp.asarray(x)
        for convolution, norm in zip(self.encoder, self.encoder_norm, strict=True):
            x = norm(convolution(x), train=train)
        x = x.reshape(x.shape[0], -1)
        return self.z_mean(x), self._clipped(self.z_log_variance(x))

    def encode_grid(
        self, images: Images, *, stride: tuple[int, int]
    ) -> tuple[Float[Array, "n rows columns z"], Float[Array, "n rows columns z"]]:
        """What `encode` gives for every window of images `[n, h, w, c]` at multiples of the stride, to rounding.

        Neighbouring windows share most of their layers' outputs, and these are computed once an image: a layer is
        applied at every place that lies in some window, with its taps as far apart as they lie in one (Bailer et al.,
        "Fast feature extraction with CNNs with pooling layers", BMVC 2017; Long et al., arXiv:1411.4038). Exact,
        because the layers pad nothing and BatchNorm uses its running statistics.

        Args:
            images: at least as large as a window.
            stride: pixels from one window to the next, down and across.

        Returns:
            Mean and log-variance of the codes, each `[n, rows, columns, z]`.
        """
        x = jnp.asarray(images)
        step = (1, 1)
        for i, (convolution, norm) in enumerate(zip(self.encoder, self.encoder_norm, strict=True)):
            wanted = (math.gcd(stride[0], 2 << i), math.gcd(stride[1], 2 << i))
            spacing = (2**i // step[0], 2**i // step[1])
            x = convolution(x, strides=(wanted[0] // step[0], wanted[1] // step[1]), spacing=spacing)
            x = norm(x, train=False)
            step = wanted
        halvings = len(self.filters)
        dense = [layer.variables["params"] for layer in (self.z_mean, self.z_log_variance)]
        kernel = jnp.concatenate([layer["kernel"] for layer in dense], -1)
        z_mean, z_log_variance = jnp.split(
            convolve(
                x,
                kernel.reshape(*(n >> halvings for n in self.window), x.shape[-1], -1),
                jnp.concatenate([layer["bias"] for layer in dense]),
                pads=((0, 0), (0, 0)),
                strides=(stride[0] // step[0], stride[1] // step[1]),
                spacing=(2**halvings // step[0], 2**halvings // step[1]),
            ),
            2,
            -1,
        )
        return z_mean, self._clipped(z_log_variance)

    def decode(
        self, z: Float[Array, "k z"], *, train: bool = False
    ) -> tuple[Float[Array, "k p q c"], Float[Array, "k p q c"]]:
        """Mean and variance of every pixel for codes `[k, z]`, each `[k, p, q, c]`.

        Where the variables hold a `DecoderTable`, all but the first layer is looked up there on CPU and GPU, and is a
        few matrix products on other devices.
        """
        looked_up = self.has_variable(*TABLE)
        if looked_up:
            # XLA would join the product with the slice that its rows come from, and finds no tiles for both on an A100.
            z = apart(z)
        x = self.decoder_dense_norm(self.decoder_dense(z), train=train)
        if looked_up:
            heads = self._from_first_image(self.get_variable(*TABLE), x)
            mean, variance = (nn.sigmoid(head).reshape(-1, *self.window, self.channels) for head in heads)
        else:
            x = x.reshape(-1, *(n >> len(self.filters) for n in self.window), 1)
            for convolution, norm in zip(self.decoder, self.decoder_norm, strict=True):
                x = norm(convolution(x), train=train)
            mean, variance = jnp.split(self.heads_norm(self.heads(x), train=train), 2, -1)
        if self.variance_range is not None:
            low, high = self.variance_range
            variance = low * jnp.exp(math.log(high / low) * variance)
        return mean, variance

    def _from_first_image(self, table: DecoderTable, x: Float[Array, "k s"]) -> list[Float[Array, "k o"]]:
        """The inputs of the two heads' sigmoids, as the device likes it best."""

        def by_products(table: DecoderTable, x: Array) -> list[Array]:
            products: DecoderProducts = self.get_variable(*PRODUCTS)
            return [head.astype(table.knots.dtype) for head in products.multiply(x)]

        on_cpu = DecoderTable.look_up
        on_gpu = partial(DecoderTable.look_up, method="scan_unrolled")
        elsewhere = by_products if self.has_variable(*PRODUCTS) else on_gpu
        return jax.lax.platform_dependent(table, x, cpu=on_cpu, cuda=on_gpu, rocm=on_gpu, default=elsewhere)

    def _clipped(self, z_log_variance: Array) -> Array:
        if self.z_log_variance_range is None:
            return z_log_variance
        return jnp.clip(z_log_variance, *self.z_log_variance_range)


def with_decoder_table(model: PatchVAE, variables: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """The variables with a `DecoderTable` and `DecoderProducts` beside them, where they are small enough; on the host.

    With them the model looks up, or multiplies, what its decoder would compute: the same to rounding, and several times
    faster.
    """
    table, products = (
        make(variables, window=model.window, depth=len(model.filters))
        for make in (make_decoder_table, make_decoder_products)
    )
    if not table:
        return dict(variables)
    (collection, looked_up), (_, multiplied) = TABLE, PRODUCTS
    return {**variables, collection: {looked_up: table, **({multiplied: products} if products else {})}}


def _two_heads_init(key: PRNGKey, shape: Sequence[int], dtype: jnp.dtype = jnp.float32) -> Array:
    """Glorot-uniform for each head by itself, as two separate layers would draw it."""
    one = (*shape[:-1], shape[-1] // 2)
    init = nn.initializers.glorot_uniform()
    return jnp.concatenate([init(k, one, dtype) for k in jax.random.split(key)], -1)
