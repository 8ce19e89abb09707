"""The same script on CPU, GPU and TPU, on one device or all of them: `python devices.py`."""

import dataclasses
import time

import jax

import jaxad

print(jax.devices())
mesh = jax.make_mesh((jax.device_count(),), ("devices",))
good = jaxad.datasets.textures("brick", "train", size=32, count=32).images
recipe = dataclasses.replace(jaxad.RECIPES["patch-vae"], crops=1024, epochs=1)

detector, history = jaxad.fit(jax.random.key(0), recipe, good, mesh=mesh)
detector = detector.on_mesh(mesh)
for dtype in ("float32", "bfloat16"):
    detector.score(good, dtype=dtype)  # compiles
    began = time.perf_counter()
    scores = detector.score(good, dtype=dtype).score
    print(dtype, f"{len(good) / (time.perf_counter() - began):.0f} images/s", scores[:3])
