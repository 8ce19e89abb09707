"""The part: what it takes, that it comes back from its file as it was, and that it notices when it scores otherwise."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxad
from jaxad import bundle
from jaxad._check import InputError
from jaxad.calibration import Usual, unusualness
from jaxad.images import batches, photographs
from jaxad.methods import SURFACE
from jaxad.pipeline import Pipeline, Seen, load_pipeline, look, looked_at, region_at
from jaxad.preparation import Preparation, fill, restore
from tests.photograph_folder import AT_ONCE, QUICK, SPOT, WHOLE, photograph, save
from tests.small_pipelines import make_part, with_usual

pytestmark = pytest.mark.usefixtures("compile_fast")


@pytest.fixture(scope="module")
def made(compile_fast: None) -> Pipeline:
    """A part of windows, grey, sizes as they are."""
    return make_part(QUICK, Preparation(1))


@pytest.mark.slow
def test_every_source_scores_alike(made: Pipeline, tmp_path: Path) -> None:
    pixels = photograph(3)
    path = save(tmp_path / "a.png", pixels)
    shares = pixels / np.float32(255)
    expected = made.score(pixels)
    assert expected.score.shape == (1,)
    assert expected.map[0].shape == pixels.shape
    sources = [
        *(path, str(path), Image.fromarray(pixels), shares, shares.astype(np.float64), shares[..., None]),
        *(pixels[None, ..., None], [pixels], iter([path]), jax.numpy.asarray(shares)),
        *(np.repeat(pixels[..., None], 3, axis=-1), pixels.astype(np.uint16) * 257),
    ]
    for source in sources:
        found = made.score(source)
        np.testing.assert_allclose(found.score, expected.score, rtol=1e-4)
        np.testing.assert_allclose(found.map[0], expected.map[0], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_shown_it_is_one_line(made: Pipeline) -> None:
    shown = repr(made)
    assert shown.startswith(f"Pipeline(Detector({made.detector.recipe.name!r}, images of ")
    assert len(shown) < 240
    assert "array" not in shown


def test_mixed_sizes_keep_their_order(made: Pipeline) -> None:
    pictures = [photograph(i, size) for i, size in enumerate([(32, 40), (32, 40), (20, 50), (32, 40)])]
    found = made.score(iter(pictures))
    assert [score_map.shape for score_map in found.map] == [one.shape for one in pictures]
    alone = [made.score(one) for one in pictures]
    np.testing.assert_allclose(found.score, [one.score[0] for one in alone], rtol=1e-5)
    assert made.score([]).score.shape == (0,)


def test_batches_are_lazy_and_small() -> None:
    read = []

    def items() -> object:
        for index in range(1000):
            read.append(index)
            yield index, np.zeros((512, 512, 1), np.float32)

    neighbours = batches(items())
    assert [tag for tag, _ in next(neighbours)] == [0, 1, 2, 3]
    assert len(read) <= 5


FINE = np.zeros((32, 40))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((8, 9), np.int64), "uint8, uint16 or float"),
        (np.zeros((8, 9), bool), "uint8, uint16 or float"),
        (np.full((8, 9), 200.0), "photographs must lie.*divide by 255"),
        (np.full((8, 9), np.nan), "photographs must be finite"),
        (np.zeros((8, 9, 4), np.uint8), r"\(8, 9, 4\); drop the opacity: x\[..., :3\]"),
        (np.zeros((2, 8, 9, 4), np.uint8), r"\(2, 8, 9, 4\); drop the opacity: x\[..., :3\]"),
        (np.zeros((8, 9, 2), np.uint8), r"drop the opacity: x\[..., :1\]"),
        (np.zeros((2, 8, 9), np.uint8), r"2 grey images, add their axis of channels: x\[..., None\]"),
        (np.zeros((3, 8, 9), np.uint8), r"x.transpose\(1, 2, 0\); or, if these are 3 grey images.*x\[..., None\]"),
        (np.zeros((2, 3, 8, 9), np.uint8), r"\(2, 3, 8, 9\); move the channels last: x.transpose\(0, 2, 3, 1\)$"),
        (np.zeros((2, 4, 8, 9), np.uint8), r"x.transpose\(0, 2, 3, 1\)\[..., :3\]"),
        (np.zeros((2, 8, 9, 5), np.uint8), "1 channel of grey or 3 of colour"),
        (np.zeros((0, 9), np.uint8), "at least one pixel"),
        ([FINE, np.full((32, 40), 2.0)], "first outside in image 1"),
        ([FINE, np.zeros((32, 40, 4))], "for image 1; drop"),
        ([FINE, None], "got NoneType for image 1"),
        (7, "array, a path or a Pillow image, got int"),
        ("nowhere.png", "no such file"),
        (Image.new("LAB", (9, 9)), "Pillow image cannot be taken"),
        (np.zeros((4, 40), np.uint8), "images must be at least 8 x 8 pixels"),
        (
            [FINE, FINE, np.zeros((4, 4))],
            "^image 2 cannot be scored: images must be at least 8 x 8 .* 4 x 4;",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused(made: Pipeline, source: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        made.score(source)


@pytest.mark.slow
def test_file_brings_back_every_field(made: Pipeline, tmp_path: Path) -> None:
    with_roi = dataclasses.replace(made, roi=np.eye(32, 40, dtype=bool))
    told = dataclasses.replace(made, shapes=(0.5, 0.8), enlarged=1.5, sides=(30.0, 40.5))
    for one in (made, with_roi, with_usual(made), told):
        one.save(tmp_path / "a.jaxad")
        back = load_pipeline(tmp_path / "a.jaxad")
        for field in dataclasses.fields(Pipeline):
            before, after = getattr(one, field.name), getattr(back, field.name)
            if field.name == "detector":
                assert (after.recipe, after.shape) == (before.recipe, before.shape)
            elif isinstance(before, np.ndarray | tuple) and field.name not in ("colour_limits", "shapes", "sides"):
                assert len(after) == len(before)
                assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(after, before, strict=True))
            else:
                assert after == before
        assert back.fingerprint() == one.fingerprint()
        np.testing.assert_array_equal(back.score(photograph(9)).score, one.score(photograph(9)).score)
    assert len({one.fingerprint() for one in (made, with_roi, with_usual(made))}) == 3


@pytest.mark.slow
def test_a_part_without_positions_keeps_raw_maps(made: Pipeline, tmp_path: Path) -> None:
    """As one is that was written before parts calibrated positions."""
    with_usual(made).save(tmp_path / "a.jaxad")
    arrays, document = bundle.read(tmp_path / "a.jaxad")
    known = {name: array for name, array in arrays.items() if not name.startswith("part/usual/")}
    bundle.write(tmp_path / "a.jaxad", known, document)
    back = load_pipeline(tmp_path / "a.jaxad")
    assert back.usual is None
    np.testing.assert_array_equal(back.score(photograph(9)).map[0], made.score(photograph(9)).map[0])
    del arrays["part/usual/deviation"]
    bundle.write(tmp_path / "a.jaxad", arrays, document)
    with pytest.raises(InputError, match=r"part/usual/deviation.*fit it again"):
        load_pipeline(tmp_path / "a.jaxad")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "masked"),
    [((32, 40), False), ((32, 38), False), ((34, 42), False), ((32, 40), True), ((34, 42), True)],
)
def test_maps_are_in_deviations_above_what_is_usual(made: Pipeline, size: tuple[int, int], masked: bool) -> None:
    """At their own position; photographs of other sizes are brought to the one that was calibrated."""
    part, pixels = with_usual(made), photograph(9, size)[..., None]
    assert part.usual is not None
    roi = None
    if masked:
        roi = np.zeros((32, 40), bool)
        roi[4:28, 4:14] = True
    raw, seen = (look(part.detector, part.preparation, roi, usual, [pixels])[0] for usual in (None, part.usual))
    assert isinstance(raw, Seen)
    assert isinstance(seen, Seen)
    counted = np.ones((32, 40), bool) if seen.counted is None else seen.counted
    expected = ((raw.map - part.usual.mean) / part.usual.deviation)[counted]
    np.testing.assert_allclose(seen.map[counted], expected, rtol=1e-4, atol=1e-4)
    # Neither what pads a photograph nor what lies off the region counts.
    assert counted.sum() == {(32, 40): 1280, (32, 38): 1216, (34, 42): 1280}[size] or masked
    assert seen.score == seen.map[counted].max()
    found = dataclasses.replace(part, roi=roi).score(pixels)
    inside = region_at(roi, *size)
    restored = restore(seen.map, seen.geometry)
    expected = restored if inside is None else np.where(inside, restored, restored[inside].min())
    np.testing.assert_array_equal(found.map[0], expected)
    assert found.score[0] == np.float32(seen.score)
    assert part.verify() == []


@pytest.mark.slow
@pytest.mark.parametrize("size", [(32, 40), (24, 50)])
def test_what_is_usual_everywhere_judges_any_size(made: Pipeline, size: tuple[int, int]) -> None:
    mean, deviation = 3.0, 2.0
    part = dataclasses.replace(made, usual=Usual(*(jax.numpy.full((1, 1), each) for each in (mean, deviation))))
    raw, found = (one.score(photograph(9, size)) for one in (made, part))
    np.testing.assert_allclose(found.map[0], (raw.map[0] - mean) / deviation, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.score, (raw.score - mean) / deviation, rtol=1e-5)


@pytest.mark.slow
def test_an_old_part_with_positions_brings_photographs_to_them(made: Pipeline, tmp_path: Path) -> None:
    """It was written when photographs of other sizes, and so golden crops, were judged by the mean over positions."""
    part = with_usual(made)
    assert part.usual is not None
    alone = [made.score(pixels).map[0] for pixels in made.golden]
    golden = [
        (alone[0] - part.usual.mean) / part.usual.deviation,
        (alone[1] - part.usual.mean.mean()) / part.usual.deviation.mean(),
    ]
    old = {"preparation": made.preparation, "golden_scores": np.array([one.max() for one in golden], np.float32)}
    dataclasses.replace(part, **old).save(tmp_path / "a.jaxad")
    back = load_pipeline(tmp_path / "a.jaxad")
    assert back.preparation == part.preparation
    assert back.verify() == []
    for size in ((32, 40), (31, 40), (34, 42)):
        np.testing.assert_array_equal(back.score(photograph(9, size)).map[0], part.score(photograph(9, size)).map[0])


@pytest.mark.slow
def test_scores_that_are_no_pool_of_the_map_are_not_calibrated() -> None:
    fusion = dataclasses.replace(SURFACE, parts=(AT_ONCE,), holdout=0.3)
    for recipe, preparation in ((WHOLE, Preparation(1, "letterbox", box=(32, 40))), (fusion, Preparation(1))):
        part = make_part(recipe, preparation)
        raw, found = part.score(photograph(9)), with_usual(part).score(photograph(9))
        np.testing.assert_array_equal(found.score, raw.score)
        usual = with_usual(part).usual
        assert usual is not None
        np.testing.assert_allclose(found.map[0], unusualness(raw.map[0][None], usual)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_what_was_saved_is_loaded_whole(made: Pipeline, tmp_path: Path) -> None:
    """A detector without the preparation, calibration and threshold of its part would judge otherwise."""
    made.save(tmp_path / "a.jaxad")
    loaded = jaxad.load(tmp_path / "a.jaxad")
    assert isinstance(loaded, Pipeline)
    assert (loaded.preparation, loaded.threshold) == (made.preparation, made.threshold)
    np.testing.assert_array_equal(loaded.score(photograph(9)).score, made.score(photograph(9)).score)
    made.detector.save(tmp_path / "b.jaxad")
    alone = jaxad.load(tmp_path / "b.jaxad")
    assert isinstance(alone, jaxad.Detector)
    assert alone.recipe == made.detector.recipe
    with pytest.raises(InputError, match="detector alone and no pipeline.*jaxad fit.*jaxad.load"):
        load_pipeline(tmp_path / "b.jaxad")


Edit = Callable[[dict, dict], object]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda arrays, part: part.pop("threshold"), "threshold"),
        (lambda arrays, part: part["preparation"].update(channels=2), "channels must be 1"),
        (lambda arrays, part: part["preparation"].update(new=2), "new"),
        (lambda arrays, part: part.update(colour_limits=[1.0]), "colour_limits"),
        (lambda arrays, part: arrays.pop("part/golden/1"), "part/golden/1"),
        (lambda arrays, part: arrays.pop("part/normal_scores"), "part/normal_scores"),
    ],
)
def test_a_part_of_another_form_is_one_sentence(made: Pipeline, tmp_path: Path, edit: Edit, words: str) -> None:
    made.save(tmp_path / "a.jaxad")
    arrays, document = bundle.read(tmp_path / "a.jaxad")
    edit(arrays, document["part"])
    bundle.write(tmp_path / "a.jaxad", arrays, document)
    with pytest.raises(InputError, match=words) as caught:
        load_pipeline(tmp_path / "a.jaxad")
    assert "fit it again" in str(caught.value)


def test_truncated_and_altered_files_are_refused(made: Pipeline, tmp_path: Path) -> None:
    made.save(tmp_path / "a.jaxad")
    whole = (tmp_path / "a.jaxad").read_bytes()
    middle = len(whole) // 2
    for content in (whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], b"", b"x" * 99):
        (tmp_path / "a.jaxad").write_bytes(content)
        with pytest.raises(InputError, match="a.jaxad"):
            load_pipeline(tmp_path / "a.jaxad")


def test_verify_names_what_differs(made: Pipeline) -> None:
    assert made.verify() == []
    other = dataclasses.replace(made, golden_scores=made.golden_scores * np.array([1, 1.001], np.float32))
    assert len(other.verify()) == 1
    assert "golden image 1" in other.verify()[0]
    broken = dataclasses.replace(made, golden_scores=np.full(2, np.nan, np.float32))
    assert len(broken.verify()) == 2


def test_what_no_file_could_bring_back_is_refused(made: Pipeline, unchecked: None) -> None:
    with pytest.raises(InputError, match="got 0 images and 2 scores"):
        dataclasses.replace(made, golden=())
    with pytest.raises(InputError, match=r"must be a jaxad.thresholds.Threshold, got 0.5"):
        dataclasses.replace(made, threshold=0.5)


def test_calibrated_scores_are_deviations_above_the_normal_ones(made: Pipeline) -> None:
    spread = np.std([1, 2, 4], ddof=1)
    np.testing.assert_allclose(
        made.calibrate(np.array([7 / 3, 7 / 3 + spread, -9])), [0, 1, (-9 - 7 / 3) / spread], atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "preparation"),
    [
        (QUICK, Preparation(1)),
        (dataclasses.replace(QUICK, pool="mean"), Preparation(1)),
        (dataclasses.replace(QUICK, holdout=0.4), Preparation(1)),
        (WHOLE, Preparation(1, "letterbox", box=(32, 32))),
    ],
)
def test_nothing_outside_the_region_of_interest_counts(recipe: jaxad.recipes.Recipe, preparation: Preparation) -> None:
    roi = np.zeros((32, 40), bool)
    roi[4:28, 4:14] = True
    part = make_part(recipe, preparation, roi)
    clean, spotted = photograph(7), photograph(7)
    spotted[SPOT] = 255
    first, second = part.score(clean), part.score(spotted)
    np.testing.assert_array_equal(first.score, second.score)
    np.testing.assert_array_equal(first.map[0], second.map[0])
    assert (first.map[0][~roi] == first.map[0][roi].min()).all()
    if recipe.pool == "max":
        assert first.score[0] == first.map[0][roi].max()
    elif recipe.kind == "patch_vae":
        assert first.score[0] == pytest.approx(first.map[0][roi].mean(), rel=1e-5)
    spotted[10:18, 5:13] = 255
    assert part.score(spotted).score > first.score
    assert part.verify() == []


@pytest.mark.slow
def test_region_of_interest_follows_the_size(made: Pipeline) -> None:
    roi = np.zeros((32, 40), bool)
    roi[8:24, 10:30] = True
    part = dataclasses.replace(made, roi=roi)
    found = part.score(photograph(7, (64, 80))).map[0]
    outside = np.ones((64, 80), bool)
    outside[16:48, 20:60] = False
    assert (found[outside] == found.min()).all()
    mean = dataclasses.replace(made.detector, recipe=dataclasses.replace(made.detector.recipe, pool="mean"))
    pooled = dataclasses.replace(part, detector=mean).score(photograph(7, (64, 80)))
    assert pooled.score[0] == pytest.approx(pooled.map[0][~outside].mean(), rel=1e-5)
    lost = dataclasses.replace(made, roi=np.pad(np.ones((1, 1), bool), ((0, 31), (0, 39))))
    with pytest.raises(InputError, match="nothing of the region of interest"):
        lost.score(photograph(7, (8, 10)))
    with pytest.raises(InputError, match="32 x 40 pixels .* does not fit 40 x 32"):
        part.score(photograph(7, (40, 32)))


def test_document_is_plain_json(made: Pipeline, tmp_path: Path) -> None:
    made.save(tmp_path / "a.jaxad")
    _, document = bundle.read(tmp_path / "a.jaxad")
    assert json.loads(json.dumps(document)) == document
    assert set(document) == {"jaxad", "recipe", "shape", "comparison", "part"}


def test_pillow_images_are_not_changed() -> None:
    image = Image.fromarray(np.stack([photograph(1), photograph(2)], axis=-1), "LA")
    before = image.copy()
    assert next(photographs(image)).shape == (32, 40, 1)
    assert image == before


@pytest.mark.slow
@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_windows_see_the_rectangle_of_a_region_as_if_it_had_been_cut(
    made: Pipeline, kind: type, calibrated: bool
) -> None:
    """Whatever lies outside, and with what is usual at each of its positions."""
    inside = np.zeros((32, 40), bool)
    inside[3:, 5:30] = True
    part, pixels = dataclasses.replace(made, roi=inside), photograph(9)
    pixels = pixels if kind is np.uint8 else pixels / np.float32(255)
    alone = made
    if calibrated:
        usual = Usual(*np.random.default_rng(0).uniform(1, 2, (2, 32, 40)).astype(np.float32))
        there = Usual(usual.mean[3:, 5:30], usual.deviation[3:, 5:30])
        part, alone = (dataclasses.replace(one, usual=each) for one, each in ((part, usual), (made, there)))
    expected = alone.score(pixels[3:, 5:30])
    for outside in (0, pixels.max()):
        found = part.score(np.where(inside, pixels, outside).astype(kind))
        np.testing.assert_allclose(found.map[0][3:, 5:30], expected.map[0], rtol=1e-5)
        np.testing.assert_allclose(found.score, expected.score, rtol=1e-5)
        np.testing.assert_array_equal(found.map[0][~inside], expected.map[0].min())


@pytest.mark.slow
def test_a_hole_of_a_region_of_interest_has_no_edge(made: Pipeline) -> None:
    """Windows that reach into it see the photograph go on there, whatever lies in it."""
    inside = np.ones((32, 40), bool)
    inside[10:20, 12:24] = False
    part, pixels = dataclasses.replace(made, roi=inside), photograph(9)
    expected = made.score(fill(pixels[..., None], inside)).map[0][inside]
    for hole in (0, 255):
        found = part.score(np.where(inside, pixels, hole).astype(np.uint8))
        np.testing.assert_allclose(found.map[0][inside], expected, rtol=1e-5)
        np.testing.assert_allclose(found.score, expected.max(), rtol=1e-5)


@pytest.mark.slow
def test_a_region_smaller_than_the_windows_is_seen_with_what_is_around_it(made: Pipeline) -> None:
    inside = np.zeros((32, 40), bool)
    inside[30:31, 2:4] = True
    part = dataclasses.replace(made, roi=inside)
    area = looked_at(made.detector.recipe, (32, 40), inside)
    assert (area.height, area.width) == made.detector.recipe.least_size
    expected = made.score(fill(photograph(9)[..., None], inside)[area.window])
    found = part.score(photograph(9))
    np.testing.assert_allclose(found.map[0][inside], expected.map[0][inside[area.window]], rtol=1e-5)
    assert found.score[0] == pytest.approx(found.map[0][inside].max(), rel=1e-5)
