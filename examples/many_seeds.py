"""Five seeds trained in one compiled program by `vmap`, and how far they differ: `python many_seeds.py`."""

import dataclasses

import jax
import numpy as np

import jaxad

good = jaxad.datasets.textures("brick", "train", size=32, count=24).images
test = jaxad.datasets.textures("brick", "test", size=32, count=20)
recipe = dataclasses.replace(jaxad.RECIPES["patch-vae"], crops=1024, epochs=2)

members, history = jaxad.fit_members(jax.random.key(0), recipe, good, count=5)
scores = np.stack([member.score(test.images).score for member in members])
print("scores", scores.shape, "AUROC of each", [jaxad.metrics.auroc(test.labels, one) for one in scores])
print("AUROC of their mean", jaxad.metrics.auroc(test.labels, scores.mean(0)))
