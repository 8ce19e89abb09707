"""Canvases that show the last part of a photograph and reach beyond it."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxad import features
from jaxad.extents import Extent

pytestmark = pytest.mark.usefixtures("compile_fast")

SIZE = (30, 460)
REACH = features.ENERGIES_REACH


@pytest.mark.slow
@pytest.mark.parametrize("left", [200, 240, 296])
def test_a_canvas_that_reaches_beyond_the_photograph_shows_what_the_whole_has(left):
    """As far from the canvas's border as pixels count, where that is not the photograph's own."""
    image = np.random.default_rng(left).random((1, *SIZE, 1), np.float32)
    canvas = np.zeros((1, 48, 320, 1), np.float32)
    shown = image[:, :, left : left + 320]
    canvas[:, : shown.shape[1], : shown.shape[2]] = shown
    place = Extent(*(jnp.int32(number) for number in (0, left, *SIZE)))
    cells = features.gradient_energies(image), features.gradient_energies(canvas, extent=place)
    assert all(np.isfinite(some).all() for some in cells)
    for number in range(cells[0].shape[-1]):
        whole = features.spread_cells(cells[0][..., number], SIZE)[:, :, left : left + 320]
        part = features.spread_cells(cells[1][..., number], (48, 320), extent=place)[:, : SIZE[0]]
        inside = np.s_[:, :, REACH : min(320 - REACH if left + 320 < SIZE[1] else 320, SIZE[1] - left)]
        np.testing.assert_allclose(part[inside], whole[inside], rtol=1e-4, atol=1e-5)
