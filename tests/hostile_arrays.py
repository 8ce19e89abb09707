"""Arrays as users have them: odd strides, dtypes, shapes and values; drawn by hypothesis for tests/test_hostile.py."""

import sys
from typing import Any, NamedTuple

import jax
import numpy as np
from hypothesis import strategies as st

from jaxad import InputError

FLOATS = ("float32", "float64", "float16", ">f4", "longdouble")
OTHERS = ("int64", "uint8", "uint16", ">u2", "bool", "complex128", "object", "S1", "datetime64[s]")
SHAPES = ((), (0,), (1,), (3,), (3, 4), (0, 3), (2, 5, 4), (1, 1, 1), (2, 9, 7, 1), (2, 3, 0, 1), (1, 1, 1, 1, 1))


def _unaligned(x):
    data = np.frombuffer(b"-" + x.tobytes(), np.uint8)[1:]
    return data.view(x.dtype).reshape(x.shape) if x.size and x.dtype != object else x


def _read_only(x):
    x.setflags(write=False)
    return x


LAYOUTS = {
    "as it is": lambda x: x,
    "Fortran": np.asfortranarray,
    "reversed": lambda x: x[::-1].copy()[::-1],
    "last axis reversed": lambda x: x[..., ::-1].copy()[..., ::-1],
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "transposed": lambda x: x.T.copy().T,
    "part of a larger one": lambda x: np.pad(x, 1)[(slice(1, -1),) * x.ndim],
    "read-only": _read_only,
    "unaligned": _unaligned,
}
"""Equal arrays that lie otherwise in memory."""

WITHIN = {
    "random": (0.0, 0.25, 0.3, 0.7, 0.9999, 1.0),
    "edges": (0.0, 1.0),
    "one": (0.5,),
    "nothing": (0.0,),
    "denormal": (0.0, 1e-45, 1e-40, 5e-324),
    "mixed": (0.0, 1e-40, 1e-30, 1e-7, 1.0),
}
UNIT = {**WITHIN, "just outside": (0.0, 1.0, np.nextafter(np.float32(1), np.float32(2)), -1e-6)}
NUMBERS = {
    **UNIT,
    "large": (-1e9, 1e9, 0.0, 3.0),
    "one large": (1e9,),
    "small": (1e-20, -1e-20, 3e-20),
    "signs": (-1.0, 1.0),
}
WIDE = {
    **NUMBERS,
    "huge": (sys.float_info.max, -sys.float_info.max, 0.0),
    "huge single": (float(np.finfo(np.float32).max), float(np.finfo(np.float32).min)),
    "huge half": (65504.0, -65504.0),
}
POSITIVE = {"positive": (1e-6, 1e-3, 0.25, 1.0, 1e6), "least": (1e-6,)}
LABELS = {"edges": (0.0, 1.0)}
OTHER = {**WIDE, "NaN": (0.5, np.nan), "infinite": (0.5, np.inf, -np.inf)}


class Case(NamedTuple):
    """One array; `plain` holds the same in C order."""

    array: np.ndarray
    plain: np.ndarray
    documented: bool
    """Whether its values are finite and those that the function documents to take."""
    ordinary: bool
    """Whether there is no reason to refuse it: such values, float32 or float64, the shape that the function wants."""
    words: str

    def __repr__(self) -> str:
        return f"{self.words}: {self.plain.dtype}{list(self.plain.shape)}"


@st.composite
def cases(draw: Any, shape: tuple[int, ...], values: dict[str, tuple[float, ...]]) -> Case:
    """Arrays of this shape and with these values as a rule, else of any."""
    near = *shape[:-1], shape[-1] + 1
    fits, others = draw(st.integers(0, 2)) > 0, draw(st.sampled_from(((near,), SHAPES)))
    kinds = values if values and draw(st.integers(0, 3)) > 0 else OTHER
    kind = draw(st.sampled_from(sorted(kinds)))
    dtype = draw(st.one_of(st.sampled_from(("float32", "float64")), st.sampled_from(FLOATS + OTHERS)))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    numbers = generator.choice(kinds[kind], shape if fits else draw(st.sampled_from(others)))
    with np.errstate(all="ignore"):
        if np.dtype(dtype).kind not in "fcOS":
            numbers = np.clip(np.nan_to_num(numbers), 0, 255).astype(np.int64)
        plain = np.asarray(numbers).astype(dtype)
    layout = draw(st.sampled_from(sorted(LAYOUTS))) if plain.ndim else "as it is"
    documented = kind in values and (plain.dtype.kind not in "fc" or bool(np.isfinite(plain).all()))
    ordinary = fits and documented and dtype in ("float32", "float64")
    return Case(LAYOUTS[layout](plain.copy()), plain, documented, ordinary, f"{kind}, {layout}")


def answer(call, array):
    """What a call gives, as arrays; None where it refuses with a sentence."""
    try:
        return [np.asarray(leaf) for leaf in jax.tree.leaves(call(array))]
    except InputError:
        return None


def need_same(found, expected):
    assert (found is None) == (expected is None)
    for one, other in zip(found or (), expected or (), strict=True):
        np.testing.assert_array_equal(one, other)
