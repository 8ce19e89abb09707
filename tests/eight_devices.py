"""Run by test_sharding.py in a process of its own, where eight devices are forced: prints what it found as JSON."""

import json
import sys
from dataclasses import replace

import jax
import numpy as np

from jaxad import fit, fit_members, training
from jaxad.detector import detector as room
from jaxad.detector import example_of
from jaxad.extents import Batch
from jaxad.fitting import make_loss, start
from jaxad.methods import PATCH_VAE, RECIPES
from jaxad.sharding import make_mesh
from tests import fast_compilation, garbage, kept_context, one_platform

CONV = replace(RECIPES["conv-ae"], epochs=1, batch_size=12)
DENSE = replace(RECIPES["latent-ocsvm"], epochs=1, batch_size=12)
WINDOWS = replace(PATCH_VAE, window=(4, 4), filters=(4,), crops=64, epochs=2, batch_size=16)
DRAWS = np.random.default_rng(0)
GOOD, TEST = DRAWS.random((30, 12, 12, 1), np.float32), DRAWS.random((37, 12, 12, 1), np.float32)


def apart(first, second):
    """The largest difference in shares of the largest number."""
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(a))) for a, b in pairs)


def losses_apart(train, recipe, meshes, **more):
    """How far losses are from those of one device; 12 examples on 8 or 5 devices are no whole shares."""
    terms = [train(jax.random.key(0), recipe, GOOD, mesh=mesh, **more)[1].terms for mesh in (None, *meshes)]
    return [apart(terms[0], other) for other in terms[1:]]


def scores_apart(recipe, meshes):
    detector = fit(jax.random.key(0), recipe, GOOD)[0]
    one = detector.score(TEST)
    return [apart(one, detector.on_mesh(mesh).score(TEST)) for mesh in meshes]


def collectives(recipe, mesh):
    """The words by which the compiled epoch lets devices talk."""
    shape = GOOD.shape[1:]
    optimizer = recipe.optimizer(updates=2)
    state = training.make_state(start(jax.random.key(0), recipe, shape), optimizer)
    epoch = training.make_epoch(make_loss(recipe, shape), optimizer, steps=2, batch_size=8, mesh=mesh)
    examples = np.repeat(np.asarray(example_of(recipe, shape)), 16, axis=0)
    with jax.set_mesh(mesh):
        text = jax.jit(epoch).lower(jax.random.key(0), state, examples).compile().as_text()
    return {word: f" {word}(" in text or f" {word}-start(" in text for word in ("all-reduce", "all-gather")}


def devices_that_score(mesh):
    detector = fit(jax.random.key(0), RECIPES["pixel-components"], GOOD)[0].on_mesh(mesh).for_scoring
    scored = room._score_batch(detector, "float32", None, Batch(TEST[:16]))
    return [len({shard.device for shard in leaf.addressable_shards}) for leaf in jax.tree.leaves(scored)]


@fast_compilation.used()
def main():
    eight, five, square = make_mesh(), make_mesh(count=5), jax.make_mesh((2, 4), ("rows", "columns"))
    dense_extras = {"extra_batch": GOOD[:5], "watched": {"test": TEST}}
    autoencoder = fit(jax.random.key(0), CONV, GOOD)[0]
    found = {
        "losses": {
            "conv": losses_apart(fit, CONV, [five]),
            "windows": losses_apart(fit, WINDOWS, [eight]),
            "dense, watched, with an extra batch": losses_apart(fit, DENSE, [eight, square], **dense_extras),
            "members": losses_apart(fit_members, WINDOWS, [eight], count=2),
        },
        "scores": {
            name: scores_apart(recipe, [eight, five, square])
            for name, recipe in {
                "windows": WINDOWS,
                "svm": DENSE,
                "components": replace(RECIPES["pixel-components"], count=5),
                "neighbours": RECIPES["pixel-neighbours"],
            }.items()
        },
        "reconstructions": apart(autoencoder.reconstruct(TEST), autoencoder.on_mesh(eight).reconstruct(TEST)),
        "collectives": {"conv": collectives(CONV, eight), "windows": collectives(WINDOWS, eight)},
        "devices that score": devices_that_score(eight),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    garbage.collect_seldom()
    kept_context.keep()
    one_platform.trace_one()
    main()
