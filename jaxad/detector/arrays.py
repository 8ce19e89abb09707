"""The arrays of a detector by name, as they lie in a file."""

import os
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree


def misfits(arrays: dict[str, np.ndarray], wanted: dict[str, Any], path: str | os.PathLike[str]) -> list[str]:
    """What of the arrays `[...]` read from `path` is not as the model wants it, as one sentence, or none."""
    lines = [f"{name}: bundle has nothing" for name in wanted if name not in arrays]
    lines += [f"{name}: model has nothing" for name in arrays if name not in wanted]
    for name, leaf in wanted.items():
        if name in arrays and arrays[name].shape != leaf.shape:
            lines.append(f"{name}: model has {list(leaf.shape)}, bundle has {list(arrays[name].shape)}")
    return ["\n  ".join([f"bundle {str(path)!r} does not fit its model:", *sorted(lines)])] if lines else []


def flat(tree: PyTree, *, shapes: bool = False) -> dict[str, Any]:
    """The leaves `[...]` of a tree by their paths in it, as NumPy arrays, or as they are where only `shapes` matter."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {path_of(keys): leaf if shapes else np.asarray(leaf) for keys, leaf in leaves}


def path_of(keys: tuple[Any, ...]) -> str:
    """The keys of a path as one name."""
    return "/".join(str(getattr(key, "key", key)) for key in keys)
