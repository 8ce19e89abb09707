"""What held-out images make of a detector: one unit for photographs of every size that is taken."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxad import canvases, datasets, fit, thresholds
from jaxad._check import InputError
from jaxad.folders.held_out import HeldOut, judge_held_out
from jaxad.pipeline import Pipeline, load_pipeline
from jaxad.preparation import Preparation
from tests.photograph_folder import AT_ONCE, save

pytestmark = pytest.mark.usefixtures("compile_fast")

SIZE = (24, 40)
SCALES = replace(AT_ONCE, scales=((8, 2, 8),), pool="max")


def aligned(index: int, times: int = 1) -> np.ndarray:
    """The same view every time but for soft clouds, so many times as large, grey [h, w]; half of it varies more."""
    draws = np.random.default_rng(index)
    clouds = draws.normal(0, [[0.01] * 3 + [0.08] * 3] * 4).astype(np.float32)
    size = SIZE[1] * times, SIZE[0] * times
    soft = np.asarray(Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC))
    rows, columns = (np.mgrid[: size[1], : size[0]] + 0.5) / times
    view = 0.5 + 0.2 * np.sin(columns / 4) + 0.1 * np.cos(rows / 3) + soft
    return np.rint(65535 * np.clip(view, 0, 1)).astype(np.uint16)


def surface(index: int) -> np.ndarray:
    """Bricks, each image another crop."""
    crops = datasets.textures("brick", "train", count=60, size=40).images
    return np.rint(255 * crops[index % 60, : SIZE[0], :, 0]).astype(np.uint8)


def made_part(look: Callable[[int], np.ndarray], folder: Path) -> tuple[Pipeline, HeldOut]:
    images = np.stack([look(index)[..., None] for index in range(20)])
    detector, _ = fit(jax.random.key(0), SCALES, images)
    sizes = {save(folder / f"{index}.png", look(index)): SIZE for index in range(20, 50)}
    held = judge_held_out(detector, Preparation(1), None, sizes, known={}, on_step=lambda *_: None)
    made = Pipeline(
        detector=detector,
        preparation=held.preparation,
        threshold=thresholds.for_false_positive_rate(held.scores, rate=0.05),
        rate=0.05,
        normal_scores=held.scores,
        colour_limits=held.colour_limits,
        pixel_limit=held.pixel_limit,
        golden=held.golden,
        golden_scores=held.golden_scores,
        provenance={},
        usual=held.usual,
    )
    return made, held


@pytest.fixture(scope="module")
def placed(compile_fast: None, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Of aligned photographs."""
    return made_part(aligned, tmp_path_factory.mktemp("aligned"))[0]


@pytest.fixture(scope="module")
def anywhere(compile_fast: None, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Of a surface."""
    return made_part(surface, tmp_path_factory.mktemp("surface"))[0]


@pytest.mark.slow
def test_positions_that_count_bring_every_photograph_to_their_size(placed: Pipeline) -> None:
    assert placed.usual is not None
    assert placed.usual.mean.shape == SIZE
    assert placed.preparation == Preparation(1, "letterbox", box=SIZE)


@pytest.mark.slow
def test_a_surface_is_judged_alike_everywhere_and_at_any_size(anywhere: Pipeline) -> None:
    assert anywhere.usual is not None
    assert anywhere.usual.mean.shape == (1, 1)
    assert anywhere.preparation == Preparation(1)
    (score_map,) = anywhere.score(surface(50)[:, :21]).map
    assert score_map.shape == (24, 21)


@pytest.mark.slow
@pytest.mark.parametrize(
    "seen",
    [np.s_[:], np.s_[:, :-1], np.s_[1:]],
    ids=["as trained", "a column less", "a row less"],
)
def test_good_photographs_of_nearly_the_same_view_are_good(placed: Pipeline, seen: slice | tuple[slice, slice]) -> None:
    found = placed.score([aligned(index)[seen] for index in range(50, 90)])
    assert np.count_nonzero(found.score > placed.threshold.value) <= 6


@pytest.mark.slow
@pytest.mark.parametrize("times", [2, 3])
def test_photographs_of_another_scale_are_refused_by_name(placed: Pipeline, times: int) -> None:
    good, large = placed.score_batch([aligned(50)[..., None], aligned(51, times)[..., None]])
    assert not isinstance(good, InputError)
    assert isinstance(large, InputError)
    assert f"{SIZE[0] * times} x {SIZE[1] * times} pixels" in str(large)
    assert "about 24 x 40" in str(large)


@pytest.mark.slow
def test_good_surfaces_of_any_size_are_in_one_unit(anywhere: Pipeline) -> None:
    """Maps are as far from what is usual on crops as on whole photographs."""
    whole = np.concatenate([one.ravel() for one in anywhere.score([surface(index) for index in range(20, 60)]).map])
    crops = [surface(index)[: 12 + index % 9, index % 5 :] for index in range(20, 60)]
    some = np.concatenate([one.ravel() for one in anywhere.score(crops).map])
    assert abs(whole.mean() - some.mean()) < 0.1
    assert 0.9 < whole.std() / some.std() < 1.1


@pytest.mark.slow
def test_parts_verify_after_they_were_saved(placed: Pipeline, anywhere: Pipeline, tmp_path: Path) -> None:
    for made in (placed, anywhere):
        assert made.golden
        assert made.verify() == []
        made.save(tmp_path / "one.jaxad")
        assert load_pipeline(tmp_path / "one.jaxad").verify() == []


@pytest.mark.slow
def test_positions_of_photographs_larger_than_any_canvas_are_judged_as_they_are(
    placed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [aligned(60), aligned(61)[:, :-1]]
    expected = placed.score(pictures)
    monkeypatch.setattr(canvases, "SIDE", 32)
    found = replace(placed, detector=replace(placed.detector)).score(pictures)
    np.testing.assert_array_equal(found.score, expected.score)
    jax.tree.map(np.testing.assert_array_equal, found.map, expected.map)
