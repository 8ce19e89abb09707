"""Transposed convolutions as plain ones, for GPU and TPU."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxad.models.plain_convolution import Pads, Pair, outputs_along, turned


def transposed(x: Array, kernel: Array, *, pads: Pads, dilation: Pair, convolution: Callable[..., Array]) -> Array:
    """A transposed convolution of `[n, h, w, c]` by `phases`; its gradients by the plain one that it transposes."""
    rows, columns = (
        (
            size - 1 - before,
            (length - 1) * step + 1 + before - outputs_along(length, size, (before, after), dilation=step),
        )
        for length, size, (before, after), step in zip(x.shape[1:3], kernel.shape[:2], pads, dilation, strict=True)
    )

    def back(g: Array, kernel: Array) -> Array:
        return convolution(g, kernel, pads=(rows, columns), strides=dilation, spacing=(1, 1))

    def backward(kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
        for_x, pull = jax.vjp(partial(back, g), turned(kept[1]))
        return for_x, turned(pull(kept[0])[0])

    forward = partial(phases, pads=pads, dilation=dilation, convolution=convolution)
    chosen = jax.custom_vjp(forward)
    chosen.defvjp(lambda x, kernel: (forward(x, kernel), (x, kernel)), backward)
    return chosen(x, kernel)


def phases(x: Array, kernel: Array, *, pads: Pads, dilation: Pair, convolution: Callable[..., Array]) -> Array:
    """A transposed convolution of `[n, h, w, c]` as one plain one, whose channels are the outputs between two inputs.

    No zeros stand between the inputs. Where the stride does not divide the kernel some taps are zero; that costs less
    than a convolution for each of the phases of the stride.
    """
    n, h, w, c = x.shape
    p, q, _, f = kernel.shape
    rows, columns = _Phases(h, p, pads[0], dilation[0]), _Phases(w, q, pads[1], dilation[1])
    zero = jnp.zeros((), kernel.dtype)
    taps = jax.lax.pad(kernel, zero, [(*rows.margins, 0), (*columns.margins, 0), (0, 0, 0), (0, 0, 0)])
    taps = taps.reshape(rows.window, dilation[0], columns.window, dilation[1], c, f)[:, ::-1, :, ::-1]
    taps = taps.transpose(0, 2, 4, 1, 3, 5).reshape(rows.window, columns.window, c, -1)
    y = convolution(x, taps, pads=(rows.pads, columns.pads), strides=(1, 1), spacing=(1, 1))
    y = y.reshape(n, rows.most, columns.most, *dilation, f).transpose(0, 1, 3, 2, 4, 5)
    whole = y.reshape(n, rows.most * dilation[0], columns.most * dilation[1], f)
    return whole[:, : rows.outputs, : columns.outputs]


@dataclass(frozen=True)
class _Phases:
    """A transposed convolution along one axis: output `dilation k + phase` meets input `k + i` at one tap.

    The tap is `dilation i + padding[0] - phase`.
    """

    length: int
    size: int
    padding: Pair
    dilation: int

    @property
    def outputs(self) -> int:
        return outputs_along(self.length, self.size, self.padding, dilation=self.dilation)

    @property
    def most(self) -> int:
        """Outputs of a phase; some have one less."""
        return -(-self.outputs // self.dilation)

    @property
    def first(self) -> int:
        """The least `i` at which some phase has a tap."""
        return -(self.padding[0] // self.dilation)

    @property
    def window(self) -> int:
        """How many `i` there are."""
        return (self.size + self.dilation - 2 - self.padding[0]) // self.dilation - self.first + 1

    @property
    def margins(self) -> Pair:
        """Zeros before and after the taps: they begin with the last phase at `first`, and each phase has `window`."""
        before = self.dilation - 1 - self.padding[0] - self.dilation * self.first
        return before, self.dilation * self.window - before - self.size

    @property
    def pads(self) -> Pair:
        """Zeros before and after the inputs, or below zero how many of them are left out."""
        return -self.first, self.most + self.window - 1 - self.length + self.first
