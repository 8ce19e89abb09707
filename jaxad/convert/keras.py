"""Keras files: `.keras`, `.weights.h5` and whole-model `.h5`, read with h5py alone.

Each layer is known by (name of the outermost layer around it, its own name): Keras keeps names unique only inside one
model, and an autoencoder is often a model of two models.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxad._check import InputError, needing
from jaxad.convert.layer import Kind, Layer, NamedArrays, in_name_order, is_weight, part_order

if TYPE_CHECKING:
    import h5py

Names = tuple[str, str]
KINDS: dict[str, Kind] = {
    "Dense": "Dense",
    "Conv2D": "Conv",
    "Conv2DTranspose": "ConvTranspose",
    "BatchNormalization": "BatchNorm",
}
SNAKE_NAMES = {
    "dense": "Dense",
    "conv2d": "Conv2D",
    "conv2d_transpose": "Conv2DTranspose",
    "batch_normalization": "BatchNormalization",
}
ORDER: dict[str, tuple[str, ...]] = {
    "Dense": ("kernel", "bias"),
    "Conv": ("kernel", "bias"),
    "ConvTranspose": ("kernel", "bias"),
    "BatchNorm": ("gamma", "beta", "moving_mean", "moving_variance"),
}
FLAX_NAMES = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
MAX_BYTES = 4 << 30


@dataclass(frozen=True)
class _Stored:
    """One layer as the file holds it; `class_name` is None where the file does not tell."""

    path: str
    names: Names
    class_name: str | None
    arrays: NamedArrays
    epsilon: float | None = None


def read_keras(path: Path) -> list[Layer]:
    """The layers of a `.keras` archive, in the order of its configuration."""
    with zipfile.ZipFile(path) as archive:
        config, weights = archive.getinfo("config.json"), archive.getinfo("model.weights.h5")
        _need_moderate(config.file_size + weights.file_size)
        return read_hdf5(io.BytesIO(archive.read(weights)), config=json.loads(archive.read(config)))


def read_hdf5(file: Path | io.BytesIO, *, config: Mapping[str, Any] | None = None) -> list[Layer]:
    """The layers of an HDF5 weight file, in the order of `config` or, without one, of the file's own lists or names."""
    with needing("keras", what="reading weights of Keras"):
        import h5py

    with h5py.File(file, "r") as root:
        legacy = "model_weights" in root or "layer_names" in root.attrs
        if config is None and "model_config" in root.attrs:
            config = json.loads(root.attrs["model_config"])
        weights = root.get("model_weights", root)
        stored = _legacy_layers(weights) if legacy else _modern_layers(root)
        known = dict(_walk(config, ())) if config else {}
        order = list(known) or (list(_legacy_order(weights)) if legacy else [])
    stored = [replace(s, **known.get(s.names, {})) for s in stored]
    place = {names: i for i, names in enumerate(order)}
    if all(s.names in place for s in stored):
        return [_layer(s) for s in sorted(stored, key=lambda s: place[s.names])]
    return in_name_order(
        {s.path: _layer(s) for s in stored},
        {s.path: part_order(s.path) or part_order(s.names[0]) for s in stored},
        mend="save the model with its configuration, or number these layers",
    )


def _grouped(root: "h5py.Group") -> dict[str, dict[str, Any]]:
    """All weight arrays, by the path of the group they lie in."""
    import h5py

    found: list[tuple[str, h5py.Dataset]] = []
    root.visititems(lambda path, item: found.append((path, item)) if isinstance(item, h5py.Dataset) else None)
    _need_moderate(sum(item.nbytes for _, item in found))
    groups: dict[str, dict[str, Any]] = {}
    for path, item in found:
        if is_weight(item) and not path.startswith("optimizer"):
            group, _, name = path.rpartition("/")
            groups.setdefault(group, {})[name.removesuffix(":0")] = item[()]
    return groups


def _legacy_layers(root: "h5py.Group") -> list[_Stored]:
    found = []
    for path, arrays in _grouped(root).items():
        parts = path.split("/")
        found.append(_Stored(path, (parts[0], parts[-1]), None, arrays))
    return found


def _legacy_order(root: "h5py.Group") -> Iterator[Names]:
    for top in root.attrs["layer_names"]:
        for weight in root[_text(top)].attrs["weight_names"]:
            yield _text(top), _text(weight).split("/")[-2]


def _modern_layers(root: "h5py.Group") -> list[_Stored]:
    # Here a path counts the layers of one class inside each container; the layer's own name is an attribute.
    def own_name(parts: list[str]) -> str:
        group = root.get("/".join([*parts, "vars"]))
        return parts[-1] if group is None else _text(group.attrs.get("name", parts[-1]))

    found = []
    for path, arrays in _grouped(root).items():
        parts = [part for part in path.split("/") if part != "vars"]
        top = parts[:2] if parts[0] in ("layers", "_layer_checkpoint_dependencies") else parts[:1]
        # Keras 2.13 wrote some of these slashes the other way round, inside a name.
        counted = re.split(r"[\\/]", path.removesuffix("/vars"))[-1]
        snake = re.sub(r"_\d+$", "", counted)
        found.append(_Stored(path, (own_name(top), own_name(parts)), SNAKE_NAMES.get(snake), arrays))
    return found


def _walk(config: Mapping[str, Any], outer: tuple[str, ...]) -> Iterator[tuple[Names, dict[str, Any]]]:
    """Names of each layer of a configuration, which Keras writes in topological order, and fields of its `_Stored`."""
    for layer in config.get("config", {}).get("layers", ()):
        names = (*outer, layer["config"]["name"])
        if "layers" in layer["config"]:
            yield from _walk(layer, names)
        else:
            fields = {"class_name": layer["class_name"], "epsilon": layer["config"].get("epsilon")}
            yield (names[0], names[-1]), fields


def _layer(stored: _Stored) -> Layer:
    name, arrays = stored.names[1], stored.arrays
    kind = KINDS.get(stored.class_name, stored.class_name) if stored.class_name else _guess(name, arrays)
    if kind not in ORDER:
        return Layer(name, kind, arrays)
    if "0" in arrays:
        order = ORDER[kind]
        if len(arrays) > len(order) or (kind == "BatchNorm" and len(arrays) < len(order)):
            raise InputError(f"{kind} layer {name} holds {len(arrays)} arrays, wanted {len(order)}: {', '.join(order)}")
        arrays = {order[int(i)]: value for i, value in arrays.items()}
    found = {FLAX_NAMES.get(key, key): value for key, value in arrays.items()}
    if kind == "ConvTranspose":
        if "kernel" not in found:
            raise InputError(f"{kind} layer {name} has no kernel of floats; save the weights again")
        # Keras stores the kernel of the convolution whose gradient this layer is: half a turn, and in and out swapped.
        found["kernel"] = found["kernel"][::-1, ::-1].swapaxes(2, 3)
    return Layer(name, kind, found, stored.epsilon)


def _guess(name: str, arrays: NamedArrays) -> str:
    if "moving_mean" in arrays:
        return "BatchNorm"
    axes = arrays["kernel"].ndim if "kernel" in arrays else 0
    return {2: "Dense", 4: "ConvTranspose" if "transpose" in name else "Conv"}.get(axes, "layer of unknown kind")


def _need_moderate(size: int) -> None:
    # A declared size costs nothing to write, so a small file could ask for all the memory there is.
    if size > MAX_BYTES:
        raise InputError(f"declares {size} bytes of weights, more than {MAX_BYTES}; split the model")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
