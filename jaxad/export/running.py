"""Runs an exported file in a process of its own, as another program would; so it imports nothing of jaxad.

Called by path: the format, the file, an array of images [n, h, w, c] and the .npz to write.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np


def _run(kind: str, model: str, images: str, out: str) -> None:
    if kind == "safetensors":
        import safetensors.numpy

        arrays: Any = safetensors.numpy.load_file(model)
        np.savez(out, **arrays)
        return
    pixels = np.load(images)
    score: Any
    if kind == "stablehlo":
        from jax import export

        score = export.deserialize(bytearray(Path(model).read_bytes())).call
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

        def score(batch: np.ndarray) -> Any:
            return session.run(["image", "map"], {"images": batch})

    # Twice, since a model for one number of images alone is no model for any number.
    (image, score_map), (first, _) = score(pixels), score(pixels[:1])
    np.savez(out, image=image, map=score_map, first=first)


if __name__ == "__main__":
    _run(*sys.argv[1:])
