"""Several devices: a mesh of them, and how arrays lie on it.

A batch is cut along its first axis into one share a device, whatever axes the mesh has; all else lies whole on each.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from jaxad._check import InputError


def make_mesh(*, count: int = 0) -> Mesh | None:
    """A mesh of the first `count` devices, those of all processes in order; 0 takes all of them, and 1 needs no mesh.

    Raises:
        InputError: there are not so many.
    """
    devices = jax.devices()
    if not 0 <= count <= len(devices):
        raise InputError(f"devices must be between 1 and the {len(devices)} there are, or 0 for all, got {count}")
    chosen = devices[: count or None]
    return Mesh(np.array(chosen), ("devices",)) if len(chosen) > 1 else None


def automatic(mesh: Mesh) -> Mesh:
    """The same devices and axes, with the compiler free to choose how results lie on them."""
    return Mesh(mesh.devices, mesh.axis_names)


def whole(mesh: Mesh) -> NamedSharding:
    """Every device has all of an array."""
    return NamedSharding(mesh, PartitionSpec())


def shares(mesh: Mesh) -> NamedSharding:
    """Every device has its share of an array's first axis."""
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names))


def put_whole(tree: PyTree, mesh: Mesh) -> PyTree:
    """Arrays `[...]` and keys, of which every process holds its own copy, whole on every device."""

    def put(leaf: Array) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        # From the host: only from there does an array reach the devices of other processes.
        return jax.device_put(np.asarray(leaf), whole(mesh))

    return jax.tree.map(put, tree)


def own_copy(tree: PyTree) -> PyTree:
    """Arrays `[...]` that lie whole on every device, as this process's first device has them."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def is_first(mesh: Mesh | None) -> bool:
    """Whether this process is the one that writes for all of the mesh."""
    return mesh is None or not mesh.is_multi_process or jax.process_index() == 0


def wait_for_all(mesh: Mesh | None) -> None:
    """Return when every process of the mesh has come here; at once where there is one."""
    if mesh is not None and mesh.is_multi_process:
        multihost_utils.sync_global_devices("jaxad")
