"""Make `patch_vae.npz`: what the published Keras patch VAE computes, with its weights in the layout of Keras.

python -m tests.data.make_patch_vae FOLDER        # FOLDER holds patch_vae.h5 and patch_vae.npz
"""

import sys
from pathlib import Path

import numpy as np

WINDOWS = 16
"""Windows kept of the 64 in the folder."""


def read_weights(path):
    """Every array of a Keras `.h5` by its path: "encoder/conv2d_5/kernel" and so on."""
    import h5py

    weights = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset):
            weights[name] = np.asarray(item)

    with h5py.File(path) as file:
        file["model_weights"].visititems(keep)
    return weights


def read(folder):
    """Weights, windows, images and what Keras made of them, by name."""
    with np.load(Path(folder) / "patch_vae.npz") as outputs:
        arrays = {name: outputs[name] for name in outputs}
    for name in ("x", "z_mean", "z_log_var", "mean", "variance"):
        arrays[name] = arrays[name][:WINDOWS]
    return arrays | read_weights(Path(folder) / "patch_vae.h5")


if __name__ == "__main__":
    np.savez_compressed(Path(__file__).with_name("patch_vae.npz"), **read(sys.argv[1]))
