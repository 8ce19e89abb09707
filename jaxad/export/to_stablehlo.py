"""StableHLO by `jax.export`: one artefact for CPU, CUDA and TPU."""

import jax
import jax.numpy as jnp
from jax import export

from jaxad._check import InputError
from jaxad.export.computation import Computation

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(computation: Computation) -> bytes:
    """The serialised computation, of one image or more.

    Raises:
        InputError: flatbuffers, in which jax serialises, is not installed.
    """
    try:
        import flatbuffers  # noqa: F401  (jax imports it itself, with a traceback where it is missing)
    except ImportError:
        raise InputError(
            "StableHLO is serialised with flatbuffers, which is not installed: pip install 'jaxad[export]'"
        ) from None
    return bytes(lower_for_all(computation).serialize())


def lower_for_all(computation: Computation) -> export.Exported:
    """The computation of one image or more, lowered for every one of `PLATFORMS`."""
    # The windows of one image fill a device, and those of many its memory; whole images are scored side by side.
    one_by_one = computation.detector.recipe.sees_windows

    @jax.jit
    def score(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.lax.map(computation.score, images) if one_by_one else jax.vmap(computation.score)(images)

    (count,) = export.symbolic_shape("n")
    images = jax.ShapeDtypeStruct((count, *computation.shape), jnp.uint8)
    return export.export(score, platforms=PLATFORMS)(images)
