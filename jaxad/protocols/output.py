"""What every run writes, and what it says of the machine."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxad._files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PACKAGES = ("jaxad", "jax", "jaxlib", "flax", "optax", "numpy")


def environment() -> dict[str, Any]:
    """Versions, device and machine that a figure was measured with."""
    device = jax.devices()[0]
    return {
        **{package: _version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": f"{device.platform}: {device.device_kind}",
        "cores": os.cpu_count(),
    }


def _processor() -> str:
    """Its model, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"  # a checkout on Python's path


def save_figure(folder: Path, name: str, figure: "Figure") -> None:
    """Write a figure as PNG."""
    with replacing(folder / name) as path:
        figure.savefig(path)


def save_arrays(folder: Path, name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays `[...]` as one `.npz` file."""
    with replacing(folder / name) as path, path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def save_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Write `results.json`; it is written last, so where it lies the run is complete."""
    with replacing(folder / "results.json") as path:
        path.write_text(json.dumps(results, indent=2, allow_nan=False) + "\n")


def read_recipe(folder: Path) -> str:
    """The recipe whose results a folder holds; empty where it holds none."""
    try:
        found = json.loads((folder / "results.json").read_text())
    except (OSError, ValueError):
        return ""
    return str(found.get("recipe", "")) if isinstance(found, dict) else ""
