"""The kernel on a thousand real images against the published double loop, in plain NumPy, on three of them."""

from pathlib import Path

import jax
import numpy as np
import pytest

from jaxad.convert import to_detector
from jaxad.datasets import tfds
from jaxad.methods import PATCH_VAE
from jaxad.protocols import as_published
from tests.references import heatmap as slow_heatmap
from tests.references import patch_vae as slow_patch_vae

CHOSEN = (0, 499, 999)


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.parametrize("recipe", [PATCH_VAE, as_published(PATCH_VAE)], ids=["full", "published"])
def test_thousand_images_agree_with_the_double_loop(recipe, tfds_dir, parity_dir, tmp_path):
    images = tfds("mnist", "test", data_dir=tfds_dir, cache_dir=tmp_path).images[:1000]
    detector = to_detector(Path(parity_dir) / "patch_vae.h5", recipe, shape=(28, 28, 1))
    maps = {name: scores.map for name, scores in detector.score_all(images).items()}
    weights = dict(np.load(Path(__file__).parent / "data" / "patch_vae.npz"))

    def score(window):
        terms = slow_patch_vae.scores(weights, window)
        mean, _ = slow_patch_vae.decode(weights, slow_patch_vae.encode(weights, window)[0])
        return {
            "unregularised": terms["M"],
            "regularised": sum(terms.values()),
            "likelihood": terms["A"] + terms["M"],
            "squared_error": np.mean((window - mean) ** 2),
        }

    for name, found in maps.items():
        loop = slow_heatmap.heatmap(
            lambda window, name=name: score(window)[name],
            images[list(CHOSEN)],
            recipe.window,
            recipe.stride,
            recipe.cover,
            recipe.reduce,
        )
        np.testing.assert_allclose(found[list(CHOSEN)], loop, rtol=0, atol=1e-5 * np.abs(loop).max())
    assert jax.tree.all(jax.tree.map(lambda score_map: score_map.shape == (1000, 28, 28), maps))
