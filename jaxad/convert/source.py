"""Reading a file of weights: which reader it needs, and one sentence where it cannot be read."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from jaxad._check import InputError
from jaxad.convert.keras import read_hdf5, read_keras
from jaxad.convert.layer import Layer, NamedArrays
from jaxad.convert.torch import layers_of_state, read_safetensors


def read_layers(source: str | os.PathLike[str] | NamedArrays) -> list[Layer]:
    """The layers of a weight file that hold arrays, in forward order, encoder before decoder.

    `source` is a Keras `.h5`, `.weights.h5` or `.keras` file, a PyTorch `.safetensors` file, or a PyTorch state
    dictionary of arrays. A model kept in two files is `read_layers(encoder) + read_layers(decoder)`. Where a Keras
    file carries no model configuration, only the order within one kind of layer is known, which is all that
    `to_variables` asks for. A state dictionary keeps its own order. A file of PyTorch and one of Keras without
    configuration do not: their layers are sorted by name, numbers counted. Integers and scalars (step counters,
    metrics, generator states) are not weights.
    Raises InputError on other or damaged files, on PyTorch convolutions, and where two layers could be exchanged and
    only letters of their names tell them apart.
    """
    if isinstance(source, Mapping):
        return layers_of_state(source)
    path = Path(source)
    if path.suffix in (".pt", ".pth"):
        target = str(path.with_suffix(".safetensors"))
        raise InputError(
            f"{str(path)!r} is a pickle, which can run any code while it is loaded. If you trust it, convert it where "
            'PyTorch is installed:\npython -c "import torch, safetensors.torch as s; '
            f's.save_file(torch.load({str(path)!r}, weights_only=True), {target!r})"'
        )
    if path.suffix not in (".h5", ".hdf5", ".keras", ".safetensors"):
        raise InputError(f"{str(path)!r} must end in .h5, .keras or .safetensors; save the weights as one of these")
    try:
        if path.suffix == ".safetensors":
            return read_safetensors(path)
        return read_keras(path) if path.suffix == ".keras" else read_hdf5(path)
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error}") from None
    except (
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        LookupError,
        RuntimeError,
        TypeError,
        AttributeError,
    ) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}; save the weights again") from None
