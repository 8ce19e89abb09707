"""Windows that share what they begin with: the same scores as windows by themselves, for any grid."""

from functools import partial
from unittest import mock

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad import linear
from jaxad.extents import Extent
from jaxad.heatmaps import Sharing, chunks, heatmap, window_scores
from jaxad.heatmaps.tiles import scores_in_tiles
from jaxad.methods.patch_components import FLOOR, JUDGES, WindowJudge
from jaxad.methods.patch_vae import WindowScorer
from jaxad.models import PatchVAE
from jaxad.patches import extract, grid
from tests.drawn import examples
from tests.drawn_grids import grids, whole_numbers
from tests.drawn_variables import drawn_variables

pytestmark = pytest.mark.usefixtures("compile_fast")


@flax.struct.dataclass
class Weighted:
    """A whole number a window that says which it is, in two halves: one is shared, and one is not."""

    size: tuple[int, int] = flax.struct.field(pytree_node=False)
    weights: jax.Array

    def share(self, images, stride):
        kernel = jnp.broadcast_to(self.weights[..., None], (*self.size, images.shape[-1]))
        layout = ("NHWC", "HWIO", "NHWC")
        sums = jax.lax.conv_general_dilated(images, kernel[..., None], stride, "VALID", dimension_numbers=layout)
        return {"sum": sums[..., 0]}

    def __call__(self, windows, shared=None):
        sums = shared["sum"] if shared else jnp.sum(windows * self.weights[None, ..., None], (1, 2, 3))
        return sums + 3 * windows[:, 0, 0, 0]


def weighted(size):
    return Weighted(size, jnp.arange(size[0] * size[1], dtype=jnp.float32).reshape(size))


def alone(score):
    """The same score, which shares nothing."""
    return jax.tree_util.Partial(lambda score, windows: score(windows), score)


@pytest.mark.slow
@settings(max_examples=examples(15), deadline=None)
@given(grids(), st.sampled_from(["mean", "sum"]), st.sampled_from([None, 1, 7, 40]), st.sampled_from([1, 9, 2**18]))
def test_sharing_changes_nothing(case, reduce, chunk, tile):
    shape, options = case
    images, score = whole_numbers(shape), weighted(options["size"])
    assert isinstance(score, Sharing)
    jax.clear_caches()
    with mock.patch.object(chunks, "TILE", tile):
        maps = heatmap(score, images, **options, reduce=reduce, chunk=chunk)
    np.testing.assert_array_equal(maps, heatmap(alone(score), images, **options, reduce=reduce, chunk=chunk))


@pytest.mark.slow
@settings(max_examples=examples(15), deadline=None)
@given(grids(), st.integers(1, 60), st.booleans())
def test_tiles_score_what_chunks_score(case, most, shares):
    """What a TPU computes, computed here."""
    shape, options = case
    images, score = jnp.asarray(whole_numbers(shape)), weighted(options["size"])
    score = score if shares else alone(score)
    rows, columns = grid(shape[1:3], options["size"], options["stride"], cover=options["cover"])
    tiles = partial(scores_in_tiles, rows=rows, columns=columns, size=options["size"], stride=options["stride"])
    found = jax.jit(partial(tiles, most=most))(score, images)
    np.testing.assert_array_equal(found, window_scores(score, images, **options))


@pytest.mark.slow
@pytest.mark.parametrize("cover", ["full", "seed"])
def test_sharing_changes_nothing_on_canvases(cover):
    images, score = whole_numbers((4, 23, 20, 1)), weighted((6, 5))
    # Whole photographs, smaller ones, one that goes on beyond its canvas, and a canvas that shows none.
    extent = Extent(*(jnp.asarray(x) for x in ([0, 0, 6, 0], [0, 0, 0, 0], [23, 17, 60, 0], [20, 11, 20, 0])))
    options = {"size": (6, 5), "stride": (3, 2), "cover": cover, "extent": extent}
    np.testing.assert_array_equal(heatmap(score, images, **options), heatmap(alone(score), images, **options))


@pytest.mark.slow
def test_windows_are_scored_in_blocks_on_cpu():
    """More windows than are cut out at once, which are scored in blocks."""
    images, score = whole_numbers((3, 50, 47, 1)), weighted((4, 4))
    scores = window_scores(score, images, size=(4, 4), stride=(1, 1))
    assert scores.size > chunks.CPU_CHUNK.size > chunks.CPU_CHUNK.block
    one_by_one = score(extract(images, size=(4, 4), stride=(1, 1)).reshape(-1, 4, 4, 1))
    np.testing.assert_array_equal(scores.ravel(), one_by_one)


@pytest.mark.slow
@settings(max_examples=examples(12), deadline=None)
@given(
    seed=st.integers(0, 2**16),
    places=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    filters=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    stride=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    rest=st.tuples(st.integers(0, 11), st.integers(0, 11)),
    channels=st.sampled_from([1, 3]),
)
def test_the_encoder_of_a_patch_vae_runs_once_over_the_image(seed, places, filters, stride, rest, channels):
    size = tuple(n << len(filters) for n in places)
    stride = tuple(min(step, p) for step, p in zip(stride, size, strict=True))
    model = PatchVAE(size, tuple(filters), 2, channels, z_log_variance_range=(-1.0, 1.0))
    score = WindowScorer(model, jax.tree.map(jnp.asarray, drawn_variables(model, seed)))
    shape = (2, *(p + more for p, more in zip(size, rest, strict=True)), channels)
    images = jnp.asarray(np.random.default_rng(seed).uniform(size=shape), jnp.float32)
    codes = jax.jit(WindowScorer.share, static_argnums=2)(score, images, stride)
    windows = extract(images, size=size, stride=stride)
    rows, columns = codes.z_mean.shape[1:3]
    expected = model.apply(
        score.variables, windows[:, :rows, :columns].reshape(-1, *windows.shape[3:]), method="encode"
    )
    for ours, theirs in zip(codes, expected, strict=True):
        scale = 1e-5 * max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=1e-5, atol=scale)


@pytest.mark.parametrize(
    ("side", "count", "stride", "channels"), [(4, 8, (1, 1), 1), (8, 32, (2, 2), 1), (5, 30, (2, 3), 3)]
)
def test_components_of_windows_are_convolutions(side, count, stride, channels):
    rng, d = np.random.default_rng(side), side * side * channels
    crops = (0.5 + 0.1 * rng.normal(size=(3 * d, 1)) + 0.05 * rng.normal(size=(3 * d, d))).astype(np.float32)
    components = linear.fit_components(crops, count=count)
    judge = WindowJudge(components, {name: {"mean": 0.0, "deviation": 1.0} for name in JUDGES})
    images = rng.uniform(size=(2, side + 2 * stride[0], side + 3 * stride[1], channels)).astype(np.float32)
    windows = extract(images, size=(side, side), stride=stride).reshape(-1, side, side, channels)
    mean, directions, variances, noise = (np.asarray(x, np.float64) for x in components)
    centred = np.asarray(windows).reshape(len(windows), -1) - mean
    codes = centred @ directions
    residual = ((centred - codes @ directions.T) ** 2).sum(1)
    expected = {"residual": residual, "mahalanobis": (codes**2 / variances).sum(1) + residual / noise}
    shared, alone = (
        jax.jit(WindowJudge.share, static_argnums=2)(judge, images, stride),
        jax.jit(WindowJudge.__call__)(judge, windows),
    )
    for name, exact in expected.items():
        for found in (shared[name].ravel(), alone[name]):
            np.testing.assert_allclose(found, np.abs(np.log(exact + FLOOR)), rtol=1e-6, atol=1e-6)
