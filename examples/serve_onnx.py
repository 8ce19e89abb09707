"""Score photographs with an exported pipeline, without jaxad and without JAX: onnxruntime, NumPy and Pillow do.

jaxad export parts.jaxad --to onnx -o exported
python serve_onnx.py exported PHOTOGRAPH...
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


class Pipeline:
    """What `jaxad export --to onnx` wrote into a folder."""

    def __init__(self, folder):
        self.facts = json.loads((Path(folder) / "model.onnx.json").read_text())
        self.model = onnxruntime.InferenceSession(Path(folder) / "model.onnx", providers=["CPUExecutionProvider"])

    def score(self, file):
        """Score, decision and the place of the highest pixel of one photograph."""
        _, height, width, channels = self.facts["input"]["shape"]
        photograph = Image.open(file).convert("L" if channels == 1 else "RGB")
        if photograph.size != (width, height):
            raise ValueError(f"the photograph must be {width} x {height} pixels, got {photograph.size}")
        images = np.asarray(photograph, np.uint8).reshape(1, height, width, channels)
        scores, maps = self.model.run(["image", "map"], {"images": images})
        row, column = np.unravel_index(maps[0].argmax(), maps[0].shape)
        score = float(scores[0])
        return {"score": score, "bad": score > self.facts["part"]["threshold"], "at": [int(row), int(column)]}


if __name__ == "__main__":
    pipeline = Pipeline(sys.argv[1])
    for name in sys.argv[2:]:
        print(json.dumps({"file": name, **pipeline.score(name)}))
    assert "jax" not in sys.modules
