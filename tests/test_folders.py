"""Folders of photographs, end to end: fitted, scored, evaluated, with everything that may go wrong on the way."""

import csv
import dataclasses
import functools
import io
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from jaxad import metrics, thresholds
from jaxad._check import InputError
from jaxad.calibration import fit_trust, fit_usual, unusualness
from jaxad.datasets import file_sum
from jaxad.folders import evaluate_folder, fit_folder, inspect_folder, judging, score_folder, sources
from jaxad.folders.fitting import _warnings
from jaxad.folders.pictures import deep_png, picture
from jaxad.folders.plan import choose_preparation, plan_fit
from jaxad.folders.training_images import doubt_range, plan_tiles, read_tiles
from jaxad.images import Header, read_mask
from jaxad.images.opening import OpenedImage
from jaxad.methods import AUTO, CLOSED_FORM, RECIPES
from jaxad.pipeline import Pipeline, load_pipeline
from jaxad.preparation import Preparation
from jaxad.report import write_report
from jaxad.results import find_regions, read_results
from tests.bad_photographs import BAD
from tests.photograph_folder import AT_ONCE, QUICK, SPOT, WHOLE, photograph, save, unlike_each_other, write_set
from tests.results_folder import rows_of, tree_of
from tests.small_pipelines import make_part

pytestmark = pytest.mark.usefixtures("compile_fast")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def fitted(root: Path, compile_fast: None) -> tuple[Pipeline, dict]:
    path = root.parent / "part.jaxad"
    done = fit_folder(root, path, recipe=QUICK, rate=0.4)
    return load_pipeline(path), done


@pytest.fixture(scope="module")
def made(fitted: tuple[Pipeline, dict]) -> Pipeline:
    return fitted[0]


# Fitting


def test_what_is_refused_leaves_no_pipeline(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> list[str]:
        raise InputError("its score must be finite")

    monkeypatch.setattr(judging, "find_faults", refuse)
    with pytest.raises(InputError, match="must be finite"):
        fit_folder(root, tmp_path / "part.jaxad", recipe=AT_ONCE)
    assert list(tmp_path.iterdir()) == []


def test_threshold_comes_from_images_never_trained_on(fitted: tuple[Pipeline, dict], root: Path) -> None:
    made, done = fitted
    counts = {"train": 10, "holdout": 2, "learned_after": 0, "judged_left_out": 0}
    assert done["images"] == {**counts, "left_out": [], "failed": []}
    assert done["training"]["shape"] == [10, 32, 40, 1]
    sums = made.provenance["sha256"]
    assert (len(set(sums["train"])), len(set(sums["holdout"]))) == (10, 2)
    assert not set(sums["train"]) & set(sums["holdout"])
    assert len(made.normal_scores) == 2
    assert made.threshold == thresholds.for_false_positive_rate(made.normal_scores, rate=0.4)
    assert made.colour_limits[0] < made.pixel_limit < made.colour_limits[1]
    assert len(made.golden) == 2
    assert made.golden[0].dtype == np.uint8
    assert made.verify() == []
    assert any("do not support" in sentence for sentence in done["warnings"])
    json.dumps(done, allow_nan=False)


@pytest.mark.slow
def test_same_seed_same_file(root: Path, made: Pipeline, tmp_path: Path) -> None:
    for seed, same in ((0, True), (1, False)):
        fit_folder(root, tmp_path / "again.jaxad", recipe=QUICK, rate=0.4, seed=seed)
        again = load_pipeline(tmp_path / "again.jaxad")
        assert (again.provenance["sha256"] == made.provenance["sha256"]) == same
        assert np.array_equal(again.normal_scores, made.normal_scores) == same


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"holdout": 0.0}, "holdout must lie strictly"),
        ({"holdout": 0.05}, "at least 2 images must be held out"),
        ({"holdout": 0.99}, "at least 2 images must be held out"),
        ({"rate": 1.0, "holdout": 2.0}, "several problems"),
        ({"seed": -1}, "seed must be"),
        ({"resize": 32, "scale": 0.5}, "choose one of"),
        *(({"scale": scale}, "scale must be") for scale in (-1.0, 0.0, np.nan, np.inf)),
        *(
            ({"scale": scale, "recipe": "gradient-neighbours"}, "scale must be")
            for scale in (-1.0, 0.0, np.nan, np.inf)
        ),
        ({"resize": 0}, "resize must be"),
        ({"roi": "nowhere.png"}, "no such file"),
        ({"seed": 2**32}, "seed must be"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"rate": "a"}, "rate must lie strictly between 0 and 1, got a"),
        ({"recipe": "patch-vea"}, "did you mean 'patch-vae'"),
        ({"out": "/proc/here/part.jaxad"}, "cannot be"),
        ({"out": "/tmp"}, "is a folder"),
        ({"out": "s3://b/a.jaxad"}, "the pipeline must be on a disk, got 's3://b/a.jaxad'"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(
    root: Path, tmp_path: Path, options: dict, words: str
) -> None:
    out = options.pop("out", tmp_path / "part.jaxad")
    with pytest.raises(InputError, match=words):
        fit_folder(root, out, **{"recipe": QUICK, **options})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("recipe", "count", "holdout", "mend"),
    [
        *((WHOLE, count, 0.2, "8 images would do, and with another holdout 3 at the least") for count in (1, 2)),
        (WHOLE, 3, 0.2, "8 images would do, or a holdout of 0.67"),
        (WHOLE, 2, 0.7, "3 images would do"),
        (WHOLE, 4, 0.99, "51 images would do, or a holdout of 0.5"),
        (AUTO, 2, 0.2, "8 images would do, and with another holdout 6 at the least"),
        (AUTO, 3, 0.7, "12 images would do, and with another holdout 6 at the least"),
    ],
)
def test_too_few_images_say_how_many_are_wanted(recipe: object, count: int, holdout: float, mend: str) -> None:
    found = {Path(f"{index}.png"): Header(32, 40, 1, "L", 8) for index in range(count)}
    with pytest.raises(InputError, match=f"; {mend}$"):
        plan_fit(found, recipe=recipe, holdout=holdout)
    wanted = {Path(f"{index}.png"): Header(32, 40, 1, "L", 8) for index in range(int(mend.partition(" ")[0]))}
    assert plan_fit(wanted, recipe=recipe, holdout=holdout).train
    own = "2 of which auto holds out itself" if recipe is AUTO else "1 be left to train on,"
    with pytest.raises(InputError, match=own):
        plan_fit(found, recipe=recipe, holdout=holdout)


def test_images_that_are_too_small_are_what_would_do() -> None:
    found = {Path(f"{index}.png"): Header(3, 3, 1, "L", 8) for index in range(20)}
    with pytest.raises(
        InputError, match=r"20 cannot be used, first.*; those that cannot be used would do: make them la"
    ):
        plan_fit(found, recipe=AT_ONCE)


def test_empty_region_of_interest_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="black everywhere"):
        fit_folder(root, tmp_path / "a", recipe=QUICK, roi=save(tmp_path / "roi.png", np.zeros((4, 4), np.uint8)))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [QUICK, WHOLE])
def test_mixed_sizes_depths_and_colours_fit_and_score(tmp_path: Path, recipe: object) -> None:
    root = tmp_path / "set"
    sizes = [(32, 40), (40, 32), (24, 60), (90, 33)]
    for index in range(12):
        pixels = photograph(index, sizes[index % 4], dtype=np.uint16 if index % 3 == 0 else np.uint8)
        save(root / f"{index:02}.png", np.stack([pixels] * 3, axis=-1) if index == 1 else pixels)
    save(root / "tiny.png", photograph(1, (5, 50)))
    (root / "cut.png").write_bytes(BAD["cut png"][0])
    done = fit_folder(root, tmp_path / "part.jaxad", recipe=recipe, rate=0.4)
    made = load_pipeline(tmp_path / "part.jaxad")
    assert made.preparation.channels == 3
    assert made.preparation.mode == ("native" if recipe is QUICK else "letterbox")
    left_out = {row["path"]: row["reason"] for row in done["images"]["left_out"]}
    assert "truncated" in left_out["cut.png"]
    assert ("fewer than the 8 x 8 that the recipe needs" in left_out.get("tiny.png", "")) == (recipe is QUICK)
    assert any("some images are grey" in sentence for sentence in done["warnings"])
    assert made.verify() == []
    run = score_folder(made, root, tmp_path / "out", maps="npy")
    assert run["counts"]["scored"] + run["counts"]["failed"] == 14
    assert "cut.png" in {row["file"] for row in rows_of(tmp_path / "out", "errors.csv")}
    for number, row in enumerate(rows_of(tmp_path / "out")):
        with Image.open(root / row["file"]) as image:
            assert np.load(tmp_path / "out" / "maps" / f"{number:06d}.npy").shape == image.size[::-1]
    write_report(tmp_path / "out")
    wanted = pytest.approx(((32 * 40) ** 0.5, (90 * 33) ** 0.5)) if recipe is QUICK else None
    assert made.sides == wanted
    assert not run["warnings"]
    large = [save(tmp_path / f"{side}.png", photograph(1, (side, side))) for side in (20, 80, 82)]
    run = score_folder(made, large[recipe is WHOLE :], tmp_path / "large")
    told = [word for word in run["warnings"] if "much larger or smaller than all that were fitted on: 2" in word]
    assert len(told) == (recipe is QUICK)


def headers(*sizes: tuple[int, int], channels: int = 1) -> list[Header]:
    return [Header(height, width, channels, "L", 8) for height, width in sizes]


@pytest.mark.parametrize(
    ("recipe", "options", "expected"),
    [
        (QUICK, {}, Preparation(1)),
        (QUICK, {"native": True}, Preparation(1)),
        (QUICK, {"resize": 64}, Preparation(1, "resize", side=64)),
        (QUICK, {"scale": 0.5}, Preparation(1, "scale", scale=0.5)),
        (WHOLE, {}, Preparation(1, "letterbox", box=(30, 50))),
        (WHOLE, {"scale": 0.5}, Preparation(1, "letterbox", box=(15, 25))),
        (WHOLE, {"resize": 64}, Preparation(1, "letterbox", box=(64, 64))),
        (dataclasses.replace(QUICK, holdout=0.2), {}, Preparation(1, "letterbox", box=(30, 50))),
    ],
)
def test_preparation_goes_with_the_recipe(recipe: object, options: dict, expected: Preparation) -> None:
    assert choose_preparation(recipe, headers((30, 50), (20, 40), (90, 90)), **options) == expected


def test_channels_go_with_the_photographs() -> None:
    mixed = [*headers((9, 9)), *headers((9, 9), channels=3)]
    assert choose_preparation(QUICK, mixed).channels == 3
    assert choose_preparation(QUICK, mixed, grey=True).channels == 1
    with pytest.raises(InputError, match="takes images of one size and these have 2"):
        choose_preparation(WHOLE, headers((9, 9), (9, 8)), native=True)


def test_tiles_show_every_pixel_once_they_differ(tmp_path: Path) -> None:
    sizes = {"a.png": (20, 33), "b.png": (45, 12)}
    paths = {save(tmp_path / name, np.full(size, 9, np.uint8)): size for name, size in sizes.items()}
    options = {"recipe": QUICK, "preparation": Preparation(1), "roi": None, "seed": 0}
    tiles = plan_tiles(paths, **options, values=2**20)
    for path, size in paths.items():
        seen = np.zeros(size, bool)
        for tile in tiles:
            top, left, height, width = tile.area
            assert (height, width) == (20, 12)
            if tile.path == path:
                assert (top + height, left + width) <= size
                seen[top : top + height, left : left + width] = True
        assert seen.all()
    read = read_tiles(tiles, preparation=Preparation(1), roi=None, on_step=lambda *_: None)
    assert read.images.shape == (len(tiles), 20, 12, 1)
    np.testing.assert_allclose(read.images, 9 / 255)
    assert len(plan_tiles(paths, **options, values=3 * 20 * 12)) == 3


@pytest.mark.parametrize("level", [0.0, 0.5, 0.95])
def test_photographs_that_are_almost_even_are_said(level: float) -> None:
    rng = np.random.default_rng(0)
    even, usual = (rng.uniform(level, level + span, (70, 32, 32, 1)).astype(np.float32) for span in (0.03, 0.05))
    (sentence,) = doubt_range(even)
    assert f"between {level:.3f} and {level + 0.03:.3f}" in sentence
    assert doubt_range(usual) == []
    even[::2, :4, :4] = 0.25  # something to see in half of them
    assert doubt_range(even) == []


def test_region_of_interest_bounds_what_is_learned(tmp_path: Path) -> None:
    roi = np.zeros((40, 60), bool)
    roi[10:14, 21:40] = True
    options = {"recipe": QUICK, "roi": roi, "seed": 0, "values": 2**20}
    tiles = plan_tiles({tmp_path / "a": (40, 60)}, preparation=Preparation(1), **options)
    assert tiles[0].area == (10, 21, 8, 19)
    tiles = plan_tiles({tmp_path / "a": (40, 60)}, preparation=Preparation(1, "scale", scale=2.0), **options)
    assert tiles[0].area == (20, 42, 8, 38)


@pytest.mark.slow
def test_region_of_interest_is_kept_and_hides_defects(root: Path, tmp_path: Path) -> None:
    mask = np.full((32, 40), 255, np.uint8)
    mask[:, SPOT[1].start - 2 :] = 0
    done = fit_folder(root, tmp_path / "a.jaxad", recipe=QUICK, rate=0.4, roi=save(tmp_path / "roi.png", mask))
    assert done["training"]["shape"] == [10, 32, 14, 1]
    seen = load_pipeline(tmp_path / "a.jaxad")
    np.testing.assert_array_equal(seen.roi, mask > 0)
    assert seen.verify() == []
    found = evaluate_folder(seen, root)
    assert (found["pixels"]["auroc"], found["pixels"]["pixels"]) == (None, 8 * 32 * 14)
    # No mark within the region: neither good nor defective.
    assert found["images"] == {"good": 4}
    assert "images with no defect within the region of interest are left out: 4" in found["warnings"]
    assert {row["reason"] for row in found["not_used"]} == {"its defects lie outside the region of interest"}
    assert len(found["not_used"]) == 4
    wide = dataclasses.replace(seen, roi=np.pad(np.ones((32, 20), bool), ((0, 0), (0, 20))))
    pixels = evaluate_folder(wide, root)["pixels"]
    masks = np.zeros((8, 32, 40), bool)
    masks[4:, SPOT[0], SPOT[1]] = True
    paths = [*sorted((root / "test" / "good").iterdir()), *sorted((root / "test" / "spot").iterdir())]
    inside = [wide.roi] * 8
    assert pixels["pixels"] == 8 * 32 * 20
    for metric, name in ((metrics.aupro, "aupro"), (metrics.pixel_auroc, "auroc")):
        assert pixels[name] == pytest.approx(metric(masks, wide.score(paths).map, inside=inside), abs=1e-6)
    assert pixels["notes"] == ["pixels outside the region of interest do not count"]


@pytest.mark.slow
def test_nothing_is_found_outside_a_region_that_is_all_anomalous(made: Pipeline, tmp_path: Path) -> None:
    roi = np.zeros((32, 40), bool)
    roi[4:20, 10:30] = True
    looked = dataclasses.replace(
        made, roi=roi, pixel_limit=-1.0, threshold=dataclasses.replace(made.threshold, value=-1.0)
    )
    photo = save(tmp_path / "in" / "a.png", photograph(7))
    score_folder(looked, photo, tmp_path / "out")
    (row,) = (json.loads(line) for line in (tmp_path / "out" / "regions.jsonl").read_text().splitlines())
    assert (row["box"], row["area"]) == ([10, 4, 30, 20], roi.sum())
    panels = np.asarray(Image.open(next((tmp_path / "out" / "pictures").iterdir())), np.int32)
    heat = panels[:, 40:80].sum(axis=-1)
    assert heat[:2].max() < heat[6:18, 12:28].max() / 2


def test_a_region_of_dust_is_doubted() -> None:
    part = make_part(AT_ONCE, Preparation(1), np.arange(4000).reshape(50, 80) < 3)
    (sentence,) = (words for words in _warnings(part, [], left_out=0) if "region" in words)
    assert sentence.startswith("the region of interest is 3 pixels of 4000, and nothing else is looked at")
    whole = dataclasses.replace(part, roi=np.ones((50, 80), bool))
    assert not any("region" in words for words in _warnings(whole, [], left_out=0))


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([0.0, 5.0], "all black, as"),
        ([9.0, 0.5], "all white, as"),
        ([1.0, 1.0], "all black or all white, as"),
        ([9, 5], ""),
    ],
)
def test_frames_without_a_picture_that_are_called_normal_are_said(
    scores: list[float], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make_part(AT_ONCE, Preparation(1))
    part = dataclasses.replace(part, threshold=dataclasses.replace(part.threshold, value=1.0))
    seen = []
    monkeypatch.setattr(judging, "golden_scores", lambda *given: seen.append(given[-1]) or np.array(scores))
    sentences = judging.doubt_even_frames(part)
    assert len(sentences) == bool(words)
    assert words in "".join(sentences)
    ((black, white),) = seen
    assert (black.max(), white.min(), white.shape) == (0, np.iinfo(white.dtype).max, part.golden[0].shape)


@pytest.mark.parametrize("shape", [(40, 32), (32, 32), (16, 40)])
def test_a_stretched_region_of_interest_is_refused_early(root: Path, tmp_path: Path, shape: tuple[int, int]) -> None:
    roi = save(tmp_path / "roi.png", np.full(shape, 255, np.uint8))
    with pytest.raises(InputError, match=f"is {shape[0]} x {shape[1]} pixels .* does not fit 32 x 40.* such as"):
        fit_folder(root, tmp_path / "a.jaxad", recipe=QUICK, roi=roi)


@pytest.mark.slow
def test_a_photograph_of_another_aspect_than_the_region_fails(made: Pipeline, root: Path, tmp_path: Path) -> None:
    turned = save(tmp_path / "turned.png", np.zeros((40, 32), np.uint8))
    twice = save(tmp_path / "twice.png", np.zeros((64, 80), np.uint8))
    looked = dataclasses.replace(made, roi=np.pad(np.ones((30, 38), bool), 1))
    run = score_folder(looked, [turned, twice], tmp_path / "out")
    assert run["counts"] == {"scored": 1, "anomalous": run["counts"]["anomalous"], "failed": 1}
    assert "does not fit 40 x 32" in (tmp_path / "out" / "errors.csv").read_text()


def test_photographs_are_not_enlarged_beyond_memory(root: Path, tmp_path: Path) -> None:
    for options in ({"scale": 1e9}, {"resize": 1_000_000}):
        with pytest.raises(InputError, match="of 32 x 40 pixels would become .* choose a smaller resize or scale"):
            fit_folder(root, tmp_path / "a.jaxad", recipe=QUICK, **options)


# Choosing a recipe


def aligned(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """A bright bar always at one place, among noise, 8 bits."""
    images = np.random.default_rng(seed).integers(0, 70, (count, 24, 30), np.uint8)
    images[:, 4:18, 8:14] += 150
    return list(images)


@pytest.mark.slow
def test_auto_compares_whole_photographs_where_they_are_aligned(tmp_path: Path) -> None:
    for index, pixels in enumerate(aligned(30)):
        save(tmp_path / "set" / f"{index}.png", pixels)
    done = fit_folder(tmp_path / "set", tmp_path / "a.jaxad", rate=0.4)
    made = load_pipeline(tmp_path / "a.jaxad")
    assert [row["name"] for row in done["comparison"]] == [recipe.name for recipe in AUTO.candidates]
    assert done["recipe"] == made.detector.recipe.name
    assert done["recipe"] in {recipe.name for recipe in CLOSED_FORM}
    # Others are fitted in, though nobody asked for a size.
    assert made.preparation == Preparation(1, "letterbox", box=(24, 30))
    assert made.score(np.zeros((50, 60), np.uint8)).map[0].shape == (50, 60)


@pytest.mark.slow
def test_auto_compares_no_whole_photographs_where_sizes_differ(tmp_path: Path) -> None:
    for index, pixels in enumerate(aligned(12)):
        save(tmp_path / "set" / f"{index}.png", pixels[: 24 - 6 * (index % 2)])
    done = fit_folder(tmp_path / "set", tmp_path / "a.jaxad", rate=0.4)
    assert {row["name"] for row in done["comparison"]} == {"surface-gradients", "patch-components"}
    assert done["preparation"]["mode"] == "native"


POSITIONS, ANY_SIZE = (
    dataclasses.replace(AUTO, candidates=tuple(recipe for recipe in AUTO.candidates if recipe.name == name))
    for name in ("pixel-neighbours", "surface-gradients")
)


@pytest.mark.slow
@pytest.mark.parametrize("auto", [POSITIONS, ANY_SIZE])
def test_photographs_of_almost_one_size_are_compared_on_one_grid(
    tmp_path: Path, auto: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is what would not fit memory; a winner that takes any size is then fitted on the photographs' own pixels."""
    monkeypatch.setattr("jaxad.folders.plan.VALUES", 10 * 12 * 15)
    for index, pixels in enumerate(aligned(13)):
        save(tmp_path / "set" / f"{index:02}.png", pixels[: 24 - index % 3])
    steps: list[tuple[str, int, int]] = []
    done = fit_folder(
        tmp_path / "set", tmp_path / "a.jaxad", recipe=auto, rate=0.4, on_step=lambda *step: steps.append(step)
    )
    assert (done["plan"]["grid"], done["plan"]["left_aside"]) == ([11, 15], {})
    reason = "3 sizes are fitted into their median 23 x 30 and 10 photographs of 23 x 30 are scaled by 0.51"
    assert done["plan"]["grid_reason"].startswith(reason)
    made = load_pipeline(tmp_path / "a.jaxad")
    if auto is POSITIONS:
        assert made.preparation == Preparation(1, "letterbox", box=(11, 15))
        assert done["training"]["shape"] == [10, 11, 15, 1]
    else:
        assert made.preparation == Preparation(1)
        assert done["training"]["shape"][1:] == [22, 30, 1]
    assert [row["name"] for row in done["comparison"]] == [row.name for row in made.detector.comparison]
    assert len(made.detector.comparison) == 1
    assert {step for step in steps if step[0] == "choosing"} == {("choosing", 1, 1)}
    assert len([step for step in steps if step[0] == "reading"]) == 10
    assert made.score(np.zeros((30, 40), np.uint8)).map[0].shape == (30, 40)


@pytest.mark.parametrize(
    ("sizes", "options", "grid", "words"),
    [
        ([(100, 50)] * 10, {}, (100, 50), ""),
        ([(100, 50), (110, 45)] * 5, {}, (105, 48), "2 sizes are fitted into their median 105 x 48"),
        ([(100, 50)] * 9 + [(100, 56)], {}, None, "these have 2 sizes, .* 1 of 10 more than 10% off the median"),
        ([(100, 50)] * 5 + [(50, 100)] * 5, {}, None, "10 of 10 more than 10% off"),
        ([(100, 50)] * 9 + [(50, 100)], {}, None, "1 of 10 more than 10% off the median 100 x 50"),
        ([(100, 50), (110, 45)] * 5, {"native": True}, None, "and sizes are to stay as they are"),
        ([(100, 50), (200, 100)] * 5, {"resize": 40}, (80, 40), ""),
        ([(100, 50)] * 10, {"scale": 0.5}, (50, 25), ""),
        ([(100, 50)] * 10, {"region": True}, None, "only a region of these"),
    ],
)
def test_one_grid_where_sizes_are_almost_one(sizes: list, options: dict, grid: object, words: str) -> None:
    found = {Path(f"{index}.png"): Header(*size, 1, "L", 8) for index, size in enumerate(sizes)}
    plan = plan_fit(found, recipe=AUTO, **options)
    assert (plan.grid and plan.grid.box) == grid
    reason = plan.grid_reason if grid else plan.left_aside["pixel-neighbours"]
    assert re.search(words, reason)
    assert bool(reason) == bool(words)


@pytest.mark.parametrize(
    ("sizes", "options", "words"),
    [
        ([(100, 50)] * 10, {}, ""),
        ([(100, 50), (110, 46)] * 5, {}, ""),
        (
            [(100, 50)] * 9 + [(50, 100)],
            {},
            "2 sizes, from 50 x 100 to 100 x 50, 1 of 10 more than 10% off the median 100 x 50",
        ),
        ([(100, 50)] * 5 + [(200, 100)] * 5, {}, "10 of 10 more than 10% off the median 150 x 75"),
        ([(100, 50)] * 5 + [(200, 100)] * 5, {"resize": 40}, ""),
        ([(100, 50)] * 9 + [(50, 100)], {"resize": 40}, "1 of 10 more than 10% off the median 40 x 20"),
        ([(100, 50)] * 10, {"native": True}, ""),
    ],
)
def test_photographs_of_many_shapes_on_one_grid_are_said(sizes: list, options: dict, words: str) -> None:
    found = {Path(f"{index}.png"): Header(*size, 1, "L", 8) for index, size in enumerate(sizes)}
    doubts = plan_fit(found, recipe=WHOLE, **options).doubts
    assert len(doubts) == bool(words)
    assert all(words in doubt and "gradient-neighbours" in doubt for doubt in doubts)
    assert plan_fit(found, recipe=QUICK, **options).doubts == plan_fit(found, recipe=AUTO, **options).doubts == []


@pytest.mark.parametrize(
    ("sizes", "stretched"), [([(64, 64)] * 10, (1.0, 1.0)), ([(64, 64)] * 9 + [(96, 64)], (2 / 3, 2.25))]
)
def test_stretched_photographs_may_differ_as_much_as_those_fitted_on(sizes: list, stretched: tuple) -> None:
    found = {Path(f"{index}.png"): Header(*size, 1, "L", 8) for index, size in enumerate(sizes)}
    plan = plan_fit(found, recipe=RECIPES["patchcore"])
    assert plan.preparation.mode == "stretch"
    assert plan.shapes("stretch") == pytest.approx(stretched)
    assert plan.shapes("letterbox") == (1.0, max(height / width for height, width in sizes))
    assert plan.shapes("native") is None


@pytest.mark.slow
def test_photographs_of_another_shape_than_those_fitted_on_are_not_compared(tmp_path: Path) -> None:
    for index in range(10):
        save(tmp_path / "set" / f"{index}.png", photograph(index))
    done = fit_folder(tmp_path / "set", tmp_path / "a.jaxad", recipe=WHOLE, rate=0.4, resize=24)
    assert not any("position by position" in sentence for sentence in done["warnings"])
    made = load_pipeline(tmp_path / "a.jaxad")
    assert (made.shapes, made.enlarged) == ((0.8, 0.8), 1.0)
    files = [
        save(tmp_path / f"{h}x{w}.png", photograph(1, (h, w))) for h, w in ((64, 80), (34, 40), (40, 32), (32, 80))
    ]
    # The model sees 19 x 24 pixels.
    made.score(photograph(1, (10, 12)))
    with pytest.raises(
        InputError, match="its 8 x 10 pixels would be enlarged 2.4 times, to 19 x 24, .* 1 times at most"
    ):
        made.score(photograph(1, (8, 10)))
    run = score_folder(made, files, tmp_path / "out")
    assert run["counts"]["scored"] == 2
    failed = {Path(row["file"]).name: row["reason"] for row in rows_of(tmp_path / "out", "errors.csv")}
    assert sorted(failed) == ["32x80.png", "40x32.png"]
    assert "has 32 x 80 pixels, 0.4 times as high as wide, and whole photographs of 0.8 are" in failed["32x80.png"]
    with pytest.raises(InputError, match="image 1 cannot be scored: it has 32 x 80 pixels"):
        made.score(files[::3])
    # What was fitted on, of whatever shapes and sizes, is scored, and that these are many is said.
    save(tmp_path / "set" / "high.png", photograph(11, (80, 32)))
    save(tmp_path / "set" / "small.png", photograph(12, (8, 10)))
    done = fit_folder(tmp_path / "set", tmp_path / "b.jaxad", recipe=WHOLE, rate=0.4)
    assert any("compares photographs position by position" in sentence for sentence in done["warnings"])
    made = load_pipeline(tmp_path / "b.jaxad")
    assert made.enlarged == made.preparation.geometry(8, 10).enlarged > 2
    run = score_folder(made, tmp_path / "set", tmp_path / "again")
    assert run["counts"]["failed"] == 0


@pytest.mark.slow
def test_whole_images_are_scaled_down_until_they_fit_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxad.folders.plan.VALUES", 10 * 12 * 15)
    for index, pixels in enumerate(aligned(12)):
        save(tmp_path / "set" / f"{index}.png", pixels)
    done = fit_folder(tmp_path / "set", tmp_path / "a.jaxad", recipe=WHOLE, rate=0.4)
    assert done["training"]["shape"] == [10, 12, 15, 1]
    assert done["plan"]["preparation"]["box"] == [12, 15]
    assert "10 photographs of 24 x 30 are scaled by 0.50" in done["plan"]["grid_reason"]
    # A size that was asked for is kept.
    asked = fit_folder(tmp_path / "set", tmp_path / "a.jaxad", recipe=WHOLE, rate=0.4, resize=20)
    assert asked["training"]["shape"] == [10, 20, 20, 1]


def test_memory_is_bounded_for_many_large_photographs() -> None:
    found = {Path(f"{index}.png"): Header(3000, 4000, 3, "RGB", 8) for index in range(1000)}
    # What `auto` takes for photographs makes no copy of them.
    for recipe, most in ((AUTO, 2**27), (WHOLE, 2**26)):
        plan = plan_fit(found, recipe=recipe)
        height, width = plan.grid.box
        assert 0.98 * most < 3 * len(plan.train) * height * width <= most


@pytest.mark.slow
def test_every_file_is_decoded_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {file_sum(path): path for path in (root / "train/good").iterdir()}
    decoded: list[Path] = []
    samples = OpenedImage.samples

    def counted(image: OpenedImage) -> object:
        decoded.append(image.path)
        return samples(image)

    monkeypatch.setattr(OpenedImage, "samples", counted)
    done = fit_folder(root, tmp_path / "a.jaxad", recipe=AT_ONCE, rate=0.4)
    sums = load_pipeline(tmp_path / "a.jaxad").provenance["sha256"]
    used = [known[digest] for digest in (*sums["train"], *sums["holdout"])]
    assert len(set(used)) == done["images"]["train"] + done["images"]["holdout"]
    assert sorted(path for path in decoded if path in used) == sorted(used)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["even", "almost", "sizes", "colours", "grey to train on"])
def test_inspection_says_what_fit_then_does(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = tuple(recipe for recipe in AUTO.candidates if recipe.name in ("pixel-neighbours", "surface-gradients"))
    auto = dataclasses.replace(AUTO, candidates=quick)
    monkeypatch.setattr("jaxad.folders.inspection.AUTO", auto)
    for index, pixels in enumerate(aligned(12)):
        colour = kind == "colours" and index % 2
        pixels = pixels[: 24 - {"sizes": 6, "almost": 1}.get(kind, 0) * (index % 2)]
        save(tmp_path / f"set/good/{index}.png", np.stack([pixels] * 3, axis=-1) if colour else pixels)
    save(tmp_path / "set/bad/0.png", np.zeros((24, 30, 3) if kind == "grey to train on" else (24, 30), np.uint8))
    planned = inspect_folder(tmp_path / "set")["plan"]
    done = fit_folder(tmp_path / "set", tmp_path / "a.jaxad", recipe=auto, rate=0.4)
    rate = planned.pop("false_positive_rate")
    assert planned == done["plan"]
    assert planned["compares"] == [row["name"] for row in done["comparison"]]
    assert ("pixel-neighbours" in planned["left_aside"]) == (kind == "sizes")
    assert planned["preparation"]["channels"] == done["training"]["shape"][-1] == (3 if kind == "colours" else 1)
    assert (planned["train"], planned["holdout"]) == (done["images"]["train"], done["images"]["holdout"])
    assert rate == 1 / len(load_pipeline(tmp_path / "a.jaxad").normal_scores)


@pytest.mark.slow
def test_inspection_finds_damage_that_shows_among_the_pixels(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "set")
    for name in ("train/good/004.png", "test/good/000.png"):
        path = tmp_path / "set" / name
        path.write_bytes(path.read_bytes()[:-60])
    told: list[tuple[int, int, int]] = []
    found = inspect_folder(tmp_path / "set", on_image=lambda *counts: told.append(counts))
    assert told[-1] == (20, 20, 2)
    assert [row["path"] for row in found["unreadable"]] == ["test/good/000.png", "train/good/004.png"]
    assert found["images"] == {"train": {"good": 11}, "test": {"good": 3, "spot": 4}}
    done = fit_folder(tmp_path / "set", tmp_path / "a.jaxad", recipe=QUICK, rate=0.4)
    assert [found["plan"][side] for side in ("train", "holdout")] == [done["images"][s] for s in ("train", "holdout")]


def test_large_sets_and_regions_are_not_compared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {Path(f"{index}.png"): Header(24, 30, 1, "L", 8) for index in range(10)}
    assert plan_fit(found, recipe=AUTO).left_aside == {}
    assert "only a region" in plan_fit(found, recipe=AUTO, region=True).left_aside["pixel-neighbours"]
    monkeypatch.setattr("jaxad.folders.plan.VALUES", 8 * 24 * 30 - 1)
    assert plan_fit(found, recipe=AUTO).left_aside == {}
    assert plan_fit(found, recipe=AUTO).grid.box == (23, 29)
    asked = plan_fit(found, recipe=AUTO, native=True)
    assert "these hold 5760 numbers, more than the 5759" in asked.left_aside["pixel-neighbours"]


@pytest.mark.slow
def test_a_part_that_sees_no_defects_says_so(tmp_path: Path) -> None:
    """Noise in which nothing can be seen: no recipe tells what is drawn on it."""
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (12, 32, 32), np.uint8)):
        save(tmp_path / "set" / f"{index}.png", pixels)
    # The neighbours know the images that they were fitted on by heart.
    done = fit_folder(tmp_path / "set", tmp_path / "a.jaxad", recipe=WHOLE, rate=0.4)
    assert any("are hardly told from them (AUROC" in sentence for sentence in done["warnings"])


@pytest.mark.slow
def test_auto_says_that_no_recipe_sees_defects(tmp_path: Path) -> None:
    for index, pixels in enumerate(unlike_each_other(24)):
        save(tmp_path / "set" / f"{index}.png", np.rint(255 * pixels[..., 0]).astype(np.uint8))
    done = fit_folder(tmp_path / "set", tmp_path / "a.jaxad", recipe=ANY_SIZE, rate=0.4)
    separation = done["comparison"][0]["separation"]
    (sentence,) = [one for one in done["warnings"] if "found no recipe that tells good images" in one]
    assert f"surface-gradients, does so with a mean AUROC of {separation:.2f}" in sentence
    # Once is enough.
    assert not any("are hardly told from them" in one for one in done["warnings"])


# Calibration


def held_out(part: Pipeline, root: Path) -> list[Path]:
    return [path for path in sorted(root.iterdir()) if file_sum(path) in part.provenance["sha256"]["holdout"]]


@pytest.mark.slow
@pytest.mark.parametrize(("kept", "roi"), [(None, True), (11, False)])
def test_held_out_images_are_judged_by_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int | None, roi: bool
) -> None:
    """And those beyond what memory allows by the ones that fit."""
    for index, pixels in enumerate(aligned(28)):
        save(tmp_path / "set" / f"{index:02}.png", pixels)
    inside = np.zeros((24, 30), bool)
    inside[2:, 5:] = True
    monkeypatch.setattr("jaxad.images.reading.BATCH_IMAGES", 1)
    if kept:
        monkeypatch.setattr("jaxad.folders.held_out.MAP_PIXELS", kept * inside.size)
    options = {"roi": save(tmp_path / "roi.png", inside.astype(np.uint8))} if roi else {}
    done = fit_folder(tmp_path / "set", tmp_path / "a.jaxad", recipe=AT_ONCE, rate=0.4, holdout=0.5, **options)
    made = load_pipeline(tmp_path / "a.jaxad")
    raw = np.stack(dataclasses.replace(made, usual=None).score(held_out(made, tmp_path / "set")).map)
    where = inside if roi else np.ones_like(inside)
    cut = raw[:, 2:, 5:] if roi else raw
    first = cut[:kept]
    trust = fit_trust(first)
    expected = []
    for i in range(14):
        others = np.delete(first, i, axis=0) if i < len(first) else first
        expected.append(unusualness(cut[i : i + 1], fit_usual(others, trust=trust)).max())
    np.testing.assert_allclose(made.normal_scores, expected, rtol=2e-3)
    for found, wanted in zip(made.usual, fit_usual(first, trust=trust), strict=True):
        np.testing.assert_allclose(np.asarray(found)[where], np.ravel(wanted), rtol=1e-3, atol=1e-3)
    assert made.pixel_limit < max(expected) * 1.001
    assert any("so photographs of about 24 x 30 alone can be scored" in sentence for sentence in done["warnings"])
    assert done["threshold"]["value"] == made.threshold.value
    assert made.verify() == []


@pytest.mark.slow
def test_a_busy_place_does_not_always_glow(tmp_path: Path) -> None:
    """Where normal images differ much raw maps are high in all of them; in calibrated ones that is nothing unusual."""
    for index, pixels in enumerate(aligned(60)):
        pixels[:8, :8] = np.random.default_rng(index).integers(0, 256, (8, 8))
        save(tmp_path / "set" / f"{index:02}.png", pixels)
    fit_folder(tmp_path / "set", tmp_path / "a.jaxad", recipe=WHOLE, rate=0.4)
    made = load_pipeline(tmp_path / "a.jaxad")
    raw, calibrated = (
        np.stack(part.score(held_out(made, tmp_path / "set")).map)
        for part in (dataclasses.replace(made, usual=None), made)
    )
    assert raw[:, :8, :8].mean(axis=(1, 2)).min() > np.quantile(raw[:, 8:], 0.99)
    assert abs(calibrated[:, :8, :8].mean()) < 0.2
    assert calibrated[:, :8, :8].mean(axis=(1, 2)).max() < np.quantile(calibrated[:, 8:], 0.99)


@pytest.mark.slow
@pytest.mark.parametrize("why", ["few", "sizes", "calibrated already"])
def test_positions_are_not_calibrated_where_they_cannot_be(tmp_path: Path, why: str) -> None:
    for index, pixels in enumerate(aligned(20)):
        save(tmp_path / "set" / f"{index:02}.png", pixels[: 24 - (why == "sizes" and index % 2)])
    recipe = dataclasses.replace(AT_ONCE, holdout=0.5) if why == "calibrated already" else AT_ONCE
    holdout = 0.45 if why == "few" else 0.5
    fit_folder(tmp_path / "set", tmp_path / "a.jaxad", recipe=recipe, rate=0.4, holdout=holdout)
    made = load_pipeline(tmp_path / "a.jaxad")
    assert made.usual is None
    np.testing.assert_allclose(made.normal_scores, made.score(held_out(made, tmp_path / "set")).score, rtol=1e-4)


# Scoring


@pytest.fixture(scope="module")
def scored(made: Pipeline, root: Path) -> tuple[Path, dict]:
    out = root.parent / "scored"
    return out, score_folder(made, root, out, maps="png", name="part.jaxad")


@pytest.mark.slow
def test_results_are_what_the_report_reads(scored: tuple[Path, dict], made: Pipeline, root: Path) -> None:
    out, run = scored
    results = read_results(out)
    assert results.run == json.loads(json.dumps(run))
    anomalous = sum(image["decision"] == "anomalous" for image in results.images)
    assert run["counts"] == {"scored": 8, "anomalous": anomalous, "failed": 0}
    assert [image["file"] for image in results.images] == sorted(image["file"] for image in results.images)
    assert {image["defect"] for image in results.images} == {"good", "spot"}
    for number, image in enumerate(results.images):
        found = made.score(root / image["file"])
        assert image["score"] == pytest.approx(float(found.score[0]), rel=1e-5)
        assert image["calibrated"] == pytest.approx(float(made.calibrate(found.score)[0]), rel=1e-4)
        assert (image["decision"] == "anomalous") == (image["score"] > made.threshold.value)
        with Image.open(out / "pictures" / f"{number:06d}.jpg") as strip:
            assert strip.size == (120, 32)
        with Image.open(out / "maps" / f"{number:06d}.png") as deep:
            low, high = made.colour_limits
            share = np.clip((found.map[0] - low) / (high - low), 0, 1)
            assert np.abs(np.asarray(deep) / 65535 - share).max() < 1e-3
        if image["decision"] == "normal":
            assert image["regions"] == []
    assert write_report(out).exists()


@pytest.mark.slow
def test_bad_photographs_are_found_where_they_are_bad(scored: tuple[Path, dict], made: Pipeline) -> None:
    bad = [image for image in read_results(scored[0]).images if image["defect"] == "spot"]
    assert all(image["decision"] == "anomalous" for image in bad)
    for image in bad:
        left, top, right, bottom = image["regions"][0]["box"]
        assert (left < SPOT[1].stop, right > SPOT[1].start) == (True, True)
        assert (top < SPOT[0].stop, bottom > SPOT[0].start) == (True, True)
        assert image["regions"][0]["peak"] > made.pixel_limit


@pytest.mark.slow
def test_threshold_can_be_asked_again(made: Pipeline, root: Path, tmp_path: Path) -> None:
    loose = score_folder(made, root, tmp_path / "a", rate=0.6)
    wanted = thresholds.for_false_positive_rate(made.normal_scores, rate=0.6)
    assert loose["threshold"]["value"] == wanted.value
    assert loose["threshold"]["rate_asked"] == 0.6
    assert loose["warnings"] == []
    strict = score_folder(made, root, tmp_path / "strict", rate=0.0001)
    assert len(strict["warnings"]) == 1
    assert "do not support a false-positive rate of 0.01%" in strict["warnings"][0]
    assert "10000 are wanted" in strict["warnings"][0]
    none = score_folder(made, root, tmp_path / "b", threshold=1e9)
    assert (none["counts"]["anomalous"], (tmp_path / "b" / "regions.jsonl").read_text()) == (0, "")
    write_report(tmp_path / "b")
    for options in ({"threshold": 1.0, "rate": 0.1}, {"threshold": float("nan")}, {"rate": 2.0}, {"workers": 0}):
        with pytest.raises(InputError):
            score_folder(made, root, tmp_path / "c", **options)
    assert not (tmp_path / "c").exists()


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of bad file among good ones, whose names cannot all be printed."""
    root = tmp_path_factory.mktemp("of all kinds") / "troubled"
    for index, name in enumerate(("a.png", "line\nbreak, comma.png", "not\udcff text.png", "z.png")):
        save(root / name, photograph(index, bad=True))
    save(root / "small.png", photograph(1, (6, 40)))
    for index, (kind, (content, _)) in enumerate(BAD.items()):
        (root / f"m{index:02} {kind}.png").write_bytes(content)
    (root / "lost.png").symlink_to("nowhere")
    (root / "notes.txt").write_text("no image")
    return root


@pytest.mark.slow
def test_bad_files_are_named_and_the_rest_is_scored(made: Pipeline, troubled: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    run = score_folder(made, troubled, tmp_path / "out", on_image=lambda *counts: seen.append(counts))
    assert run["counts"]["scored"] == 4
    assert run["counts"]["failed"] == len(BAD) + 2
    reasons = {row["file"]: row["reason"] for row in rows_of(tmp_path / "out", "errors.csv")}
    assert "at least 8 x 8 pixels" in reasons["small.png"]
    assert "no such file" in reasons["lost.png"]
    assert all(reason and "\n" not in reason for reason in reasons.values())
    assert [row["file"] for row in rows_of(tmp_path / "out")] == sorted(
        ["a.png", "line\nbreak, comma.png", "not\udcff text.png", "z.png"]
    )
    assert seen[-1] == (len(BAD) + 6, len(BAD) + 6, len(BAD) + 2)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    write_report(tmp_path / "out")


@pytest.mark.slow
def test_files_can_be_given_one_by_one(made: Pipeline, root: Path, tmp_path: Path) -> None:
    paths = sorted((root / "test" / "good").iterdir())
    run = score_folder(made, [*paths, paths[0], "nowhere.png"], tmp_path / "out")
    assert (run["counts"]["scored"], run["counts"]["failed"], run["source"]) == (4, 1, "5 files")
    assert [row["file"] for row in rows_of(tmp_path / "out")] == [str(path) for path in paths]
    with pytest.raises(InputError, match="is a folder"):
        score_folder(made, [root, paths[0]], tmp_path / "other")
    shutil.copytree(root / "train", tmp_path / "set" / "train")
    with pytest.raises(InputError, match="none to score"):
        score_folder(made, tmp_path / "set", tmp_path / "other")


@pytest.mark.slow
def test_a_run_is_not_overwritten(made: Pipeline, scored: tuple[Path, dict], root: Path) -> None:
    before = tree_of(scored[0])
    with pytest.raises(InputError, match="holds a run already"):
        score_folder(made, root, scored[0])
    with pytest.raises(InputError, match="another run: threshold was .*, maps was"):
        score_folder(made, root, scored[0], threshold=3.0, resume=True)
    other = dataclasses.replace(made, rate=0.3)
    with pytest.raises(InputError, match="another run: pipeline was"):
        score_folder(other, root, scored[0], maps="png", resume=True)
    assert tree_of(scored[0]) == before


@pytest.fixture(scope="module")
def whole(made: Pipeline, troubled: Path) -> Path:
    """A run over them that nothing stopped."""
    score_folder(made, troubled, troubled.parent / "whole", maps="npy")
    return troubled.parent / "whole"


CUTS = ["", "file,defect", "HEAD", "2", "2 half", "2 no end", "2 quoted", "all"]


@pytest.mark.slow
@pytest.mark.parametrize("cut", CUTS)
def test_a_killed_run_goes_on(
    made: Pipeline, troubled: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    (out / "run.json").unlink()
    table = (out / "results.csv").read_bytes()
    rows = rows_of(out)
    ends = [len(table)]
    for count in range(len(rows), 0, -1):
        text = io.StringIO(newline="")
        csv.writer(text).writerows([list(rows[0]), *(list(row.values()) for row in rows[:count])])
        ends.insert(0, len(text.getvalue().encode("utf-8", "surrogateescape")))
    places = {"": 0, "file,defect": 11, "HEAD": table.index(b"\n") + 1, "2": ends[1], "2 half": ends[1] + 9}
    places |= {"2 no end": ends[2] - 2, "2 quoted": table.index(b'"line') + 3, "all": len(table)}
    (out / "results.csv").write_bytes(table[: places[cut]])
    errors = (out / "errors.csv").read_bytes()
    (out / "errors.csv").write_bytes(errors[: len(errors) // 2])
    shutil.rmtree(out / "maps") if cut == "HEAD" else None

    batches = []
    original = Pipeline.score_batch
    monkeypatch.setattr(
        Pipeline, "score_batch", lambda self, batch: batches.append(len(batch)) or original(self, batch)
    )
    run = score_folder(made, troubled, out, maps="npy", resume=True)
    kept = {"2": 2, "2 half": 2, "2 no end": 2, "2 quoted": 1, "all": 4}.get(cut, 0)
    good = sum(batches) - 1  # the small one is tried again, if its error was lost
    assert good in (4 - kept - 1, 4 - kept)
    assert run["counts"] == json.loads((whole / "run.json").read_text())["counts"]
    assert tree_of(out).keys() == tree_of(whole).keys()
    for row, wanted in zip(rows_of(out), rows_of(whole), strict=True):
        assert row["file"] == wanted["file"]
        assert float(row["score"]) == pytest.approx(float(wanted["score"]), rel=1e-5)
    assert sorted(map(str, rows_of(out, "errors.csv"))) == sorted(map(str, rows_of(whole, "errors.csv")))
    files = [
        [json.loads(line)["file"] for line in (folder / "regions.jsonl").read_text().splitlines()]
        for folder in (out, whole)
    ]
    assert files[0] == files[1] != []
    write_report(out)


@pytest.mark.slow
def test_rows_without_their_picture_are_scored_again(made: Pipeline, root: Path, tmp_path: Path) -> None:
    score_folder(made, root, tmp_path / "out")
    (tmp_path / "out" / "pictures" / "000005.jpg").unlink()
    run = score_folder(made, root, tmp_path / "out", resume=True)
    assert run["counts"]["scored"] == len(rows_of(tmp_path / "out")) == 8
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 8


@pytest.mark.slow
def test_what_is_not_ours_cannot_go_on(made: Pipeline, root: Path, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("mine")
    for resume, words in ((False, "holds a run already"), (True, "no run that can go on")):
        with pytest.raises(InputError, match=words):
            score_folder(made, root, tmp_path, resume=resume)
    assert (tmp_path / "results.csv").read_text() == "mine"


@pytest.mark.slow
def test_two_runs_never_write_one_folder(made: Pipeline, root: Path, tmp_path: Path) -> None:
    def also(done: int, total: int, failed: int) -> None:
        before = tree_of(tmp_path / "out")
        with pytest.raises(
            InputError, match=r"another run is writing .*out'; wait until it has ended, or choose another"
        ):
            score_folder(made, root, tmp_path / "out", resume=True)
        assert tree_of(tmp_path / "out") == before

    score_folder(made, root, tmp_path / "out", on_image=also)
    with pytest.raises(InputError, match="holds a run already"):
        score_folder(made, root, tmp_path / "out")
    assert score_folder(made, root, tmp_path / "out", resume=True)["counts"]["scored"] == 8


@pytest.mark.slow
def test_a_stopped_run_leaves_what_was_done(
    made: Pipeline, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxad.images.reading.BATCH_IMAGES", 1)

    def stop(done: int, total: int, failed: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_folder(made, root, tmp_path / "out", on_image=stop)
    assert len(rows_of(tmp_path / "out")) == 3
    assert not (tmp_path / "out" / "run.json").exists()
    assert score_folder(made, root, tmp_path / "out", resume=True)["counts"]["scored"] == 8


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_run_goes_on(
    made: Pipeline, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as full:
        full.setattr("jaxad.results.writing.picture_path", lambda *_: Path("/dev/full"))
        with pytest.raises(InputError, match=r"results in '.*out' cannot be written: No space.*go on by --resume"):
            score_folder(made, root, out)
    with pytest.raises(InputError, match=r"holds a run that is not complete.*--resume"):
        write_report(out)
    assert score_folder(made, root, out, resume=True)["counts"]["scored"] == len(rows_of(out)) == 8


def test_regions_are_connected_and_boxes_exclusive() -> None:
    score_map = np.zeros((6, 9), np.float32)
    score_map[1, 2] = score_map[2, 3] = 5.0
    score_map[4:6, 7:9] = 7.0
    first, second = find_regions(score_map, limit=1.0)
    assert first == ([7, 4, 9, 6], 4, 7.0, 7.0)
    assert second == ([2, 1, 4, 3], 2, 5.0, 5.0)
    assert find_regions(score_map, limit=7.0) == []


def test_one_colour_scale_and_constant_maps() -> None:
    pixels = np.full((600, 300, 3), 0.5, np.float32)
    for limits in ((0.0, 2.0), (1.0, 1.0)):
        data = picture(pixels, np.full((600, 300), 1.0, np.float32), limits)
        with Image.open(io.BytesIO(data)) as strip:
            assert strip.size == (3 * 128, 256)
    with Image.open(io.BytesIO(deep_png(np.array([[-1, 0, 1, 2, 9]], np.float32), (0.0, 2.0)))) as deep:
        assert np.asarray(deep).tolist() == [[0, 0, 32768, 65535, 65535]]


# Evaluation


@pytest.mark.slow
def test_figures_are_those_of_metrics(made: Pipeline, root: Path) -> None:
    found = evaluate_folder(made, root)
    paths = [*sorted((root / "test" / "good").iterdir()), *sorted((root / "test" / "spot").iterdir())]
    labels, scores = np.repeat([0, 1], 4), made.score(paths)
    assert found["images"] == {"good": 4, "spot": 4}
    assert found["auroc"] == metrics.auroc(labels, scores.score)
    assert found["average_precision"] == metrics.average_precision(labels, scores.score)
    assert found["best_f1"]["uses_labels"]
    met = metrics.confusion(labels, scores.score > made.threshold.value)
    assert found["at_threshold"]["precision"] == pytest.approx(met.precision, nan_ok=True)
    assert found["at_threshold"]["recall"] == met.recall
    assert found["at_threshold"]["false_positive_rate"] == met.fp / 4
    assert found["defects"]["spot"]["count"] == 4
    masks = np.zeros((8, 32, 40), bool)
    masks[4:, SPOT[0], SPOT[1]] = True
    assert found["pixels"]["auroc"] == pytest.approx(metrics.pixel_auroc(masks, np.stack(scores.map)), abs=1e-6)
    assert found["pixels"]["aupro"] == pytest.approx(metrics.aupro(masks, np.stack(scores.map)), abs=1e-6)
    json.dumps(found, allow_nan=False)


@pytest.mark.slow
def test_what_cannot_be_measured_is_none_and_said(
    made: Pipeline, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "set"
    shutil.copytree(root, copy)
    save(copy / "test" / "spot" / "wide.png", photograph(1, (32, 60), bad=True))
    save(copy / "ground_truth" / "spot" / "wide.png", np.eye(32, 60, dtype=np.uint8))
    save(copy / "test" / "spot" / "bare.png", photograph(1, bad=True))
    (copy / "test" / "spot" / "empty.png").write_bytes(b"")
    found = evaluate_folder(made, copy)
    masks, maps = [], []
    for path in sorted((copy / "test").rglob("*.png")):
        if path.name not in ("bare.png", "empty.png"):
            maps.append(made.score(path).map[0])
            truth = next((copy / "ground_truth").rglob(f"{path.stem}*"), None) if path.parent.name == "spot" else None
            masks.append(np.zeros(maps[-1].shape, bool) if truth is None else read_mask(truth))
    assert len({mask.shape for mask in masks}) == 2
    assert found["pixels"]["aupro"] == pytest.approx(metrics.aupro(masks, maps), abs=1e-6)
    assert any("do not count among the pixels: 1" in note for note in found["pixels"]["notes"])
    save(copy / "ground_truth" / "spot" / "000_mask.png", np.zeros((32, 40), np.uint8))
    save(copy / "ground_truth" / "spot" / "001_mask.png", np.full((20, 40), 255, np.uint8))
    unusable = evaluate_folder(made, copy)
    assert sorted(row["path"] for row in unusable["not_used"] if "_mask" in row["path"]) == [
        "ground_truth/spot/000_mask.png",
        "ground_truth/spot/001_mask.png",
    ]
    assert not any("mask" in sentence for sentence in unusable["warnings"])
    for name in ("000", "001"):
        shutil.copy(root / "ground_truth" / "spot" / f"{name}_mask.png", copy / "ground_truth" / "spot")
    assert found["errors"] == [{"file": "test/spot/empty.png", "reason": "the file is empty"}]
    monkeypatch.setattr(metrics, "PixelMetrics", functools.partial(metrics.PixelMetrics, block=500))
    assert evaluate_folder(made, copy) == found
    shutil.rmtree(copy / "ground_truth")
    shutil.rmtree(copy / "test" / "good")
    found = evaluate_folder(made, copy)
    assert found["auroc"] is None
    assert found["at_threshold"]["false_positive_rate"] is None
    assert any("nothing can be told apart" in sentence for sentence in found["warnings"])
    shutil.rmtree(copy / "test")
    with pytest.raises(InputError, match="must be labelled"):
        evaluate_folder(made, copy)


@pytest.mark.slow
def test_a_disk_that_cannot_hold_the_scores_is_said_before_any_is_made(
    made: Pipeline, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "PixelMetrics", functools.partial(metrics.PixelMetrics, block=8 * 32 * 40 - 1))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4 * 8 * 32 * 40 - 1))
    monkeypatch.setattr(Pipeline, "score_batch", lambda *_: pytest.fail("a photograph was scored"))
    with pytest.raises(InputError, match="set TMPDIR to a folder with more room"):
        evaluate_folder(made, root)


@pytest.mark.slow
def test_images_that_were_trained_on_do_not_count(made: Pipeline, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "train" / "good", tmp_path / "good")
    shutil.copytree(root / "test" / "spot", tmp_path / "bad")
    save(tmp_path / "good" / "new.png", photograph(999))
    found = evaluate_folder(made, tmp_path)
    assert found["images"] == {"bad": 4, "good": 3}
    assert any("trained on are left out: 10" in sentence for sentence in found["warnings"])
    assert any("2 were held out when the threshold was set" in sentence for sentence in found["warnings"])


@pytest.mark.slow
def test_what_failed_is_tried_again_when_a_run_goes_on(made: Pipeline, root: Path, tmp_path: Path) -> None:
    """A mended file is scored, one still damaged stays with what is wrong with it now, and none stands twice."""
    folder, out = tmp_path / "photographs", tmp_path / "out"
    folder.mkdir()
    good = next((root / "test" / "good").iterdir())
    for name in ("mended", "still"):
        (folder / f"{name}.png").write_bytes(b"")
    (folder / "fine.png").write_bytes(good.read_bytes())
    assert score_folder(made, folder, out)["counts"]["failed"] == 2
    (folder / "mended.png").write_bytes(good.read_bytes())
    (folder / "still.png").write_bytes(b"no image")
    for _ in range(2):
        counts = score_folder(made, folder, out, resume=True)["counts"]
        assert (counts["scored"], counts["failed"]) == (2, 1)
        found = read_results(out)
        assert sorted(image["file"] for image in found.images) == ["fine.png", "mended.png"]
        assert [error["file"] for error in found.errors] == ["still.png"]
        assert "no image" in found.errors[0]["reason"]
    # What is not asked for this time keeps its row.
    assert score_folder(made, folder / "fine.png", out, resume=True)["counts"]["failed"] == 1


@pytest.mark.slow
def test_replaced_photographs_are_scored_anew_and_removed_ones_left_out(
    made: Pipeline, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out, scored = tmp_path / "photographs", tmp_path / "out", []
    shutil.copytree(root / "test", folder)
    (folder / "spot" / "000.png").rename(folder / "good" / "a.png")
    (folder / "good" / "empty.png").write_bytes(b"")
    score_folder(made, folder, out, maps="npy")
    before = {row["file"]: row for row in rows_of(out)}
    assert before["good/a.png"]["decision"] == "anomalous"
    (folder / "good" / "a.png").write_bytes((folder / "good" / "001.png").read_bytes())
    for name in ("good/000.png", "spot/003.png", "good/empty.png"):
        (folder / name).unlink()
    original = Pipeline.score_batch
    monkeypatch.setattr(Pipeline, "score_batch", lambda self, batch: scored.append(len(batch)) or original(self, batch))
    for sentences in (2, 0):
        run = score_folder(made, folder, out, maps="npy", resume=True)
        assert len(run["warnings"]) == sentences
        assert sum(scored) == (1 if sentences else 0)
        after = {row["file"]: row for row in rows_of(out)}
        assert after.keys() == before.keys() - {"good/000.png", "spot/003.png"}
        assert run["counts"]["failed"] == 0
        assert all(after[name] == before[name] for name in after.keys() - {"good/a.png"})
        assert after["good/a.png"]["score"] == after["good/001.png"]["score"]
        assert {json.loads(line)["file"] for line in (out / "regions.jsonl").read_text().splitlines()} == {
            name for name, row in after.items() if row["decision"] == "anomalous"
        }
        # Every row has its own map and picture still.
        score_folder(made, folder, tmp_path / "whole", maps="npy", resume=True)
        places = {row["file"]: number for number, row in enumerate(rows_of(tmp_path / "whole"))}
        for number, row in enumerate(rows_of(out)):
            both = ((out, number), (tmp_path / "whole", places[row["file"]]))
            maps = [np.load(where / "maps" / f"{place:06d}.npy") for where, place in both]
            np.testing.assert_allclose(*maps, rtol=1e-5)
            pictures = [np.asarray(Image.open(where / "pictures" / f"{place:06d}.jpg")) for where, place in both]
            np.testing.assert_allclose(*map(np.int32, pictures), atol=32)
        write_report(out)
        scored.clear()


@pytest.mark.slow
def test_a_file_scored_beside_a_folder_is_judged_by_where_it_lies(made: Pipeline, root: Path, tmp_path: Path) -> None:
    """It is in no folder that is scored, and keeps its row while it is there."""
    single = save(tmp_path / "single.png", photograph(7))
    out = tmp_path / "out"
    score_folder(made, root / "test" / "good", out)
    score_folder(made, single, out, resume=True)
    assert score_folder(made, root / "test" / "good", out, resume=True)["counts"]["scored"] == 5
    single.unlink()
    run = score_folder(made, root / "test" / "good", out, resume=True)
    assert run["counts"]["scored"] == 4
    assert "no longer there" in run["warnings"][0]


@pytest.mark.slow
def test_a_run_that_goes_on_has_the_labels_of_now(made: Pipeline, root: Path, tmp_path: Path) -> None:
    folder, out, table = tmp_path / "photographs", tmp_path / "out", tmp_path / "labels.csv"
    shutil.copytree(root / "test" / "good", folder)
    names = sorted(path.name for path in folder.iterdir())
    score_folder(made, folder, out)
    assert {row["defect"] for row in rows_of(out)} == {""}
    for label in ("good", "dent"):
        table.write_text("file,label\n" + "".join(f"{name},{label}\n" for name in names))
        before = rows_of(out)
        for words in ([f"labels that are others than when they were scored: 4, first {names[0]!r}"], []):
            assert score_folder(made, folder, out, labels=table, resume=True)["warnings"] == words
            assert rows_of(out) == [{**row, "defect": label} for row in before]
    # Of a single file it is not known what it shows.
    score_folder(made, folder / names[0], out, resume=True)
    assert rows_of(out)[0]["defect"] == "dent"


@pytest.mark.slow
def test_a_part_replaces_no_file_of_another_kind(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(root, folder)
    photograph = next((folder / "train" / "good").iterdir())
    before = tree_of(folder)
    with pytest.raises(InputError, match="would replace .*, which is no pipeline; choose another"):
        fit_folder(folder, photograph, recipe=QUICK)
    assert tree_of(folder) == before
    for _ in range(2):
        fit_folder(folder, tmp_path / "part.jaxad", recipe=QUICK)


@pytest.mark.slow
def test_a_run_of_before_the_stamps_goes_on(made: Pipeline, root: Path, tmp_path: Path) -> None:
    score_folder(made, root, tmp_path / "out")
    for text in ("", "[1]", '{"a": 1}'):
        (tmp_path / "out" / "photographs.json").write_text(text)
        assert score_folder(made, root, tmp_path / "out", resume=True)["counts"]["scored"] == 8


@pytest.mark.slow
def test_a_run_goes_on_with_its_own_folder_alone(made: Pipeline, root: Path, tmp_path: Path) -> None:
    """Below another one the same names are other photographs."""
    score_folder(made, root / "test" / "good", tmp_path / "out")
    other = next(folder for folder in (root / "test").iterdir() if folder.name != "good")
    with pytest.raises(InputError, match="holds another run: source was .*good"):
        score_folder(made, other, tmp_path / "out", resume=True)
    with pytest.raises(InputError, match="no folder or file .*tets"):
        score_folder(made, root / "tets", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_names_are_writtenas_utf8_whatever_they_are_read_as(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.os, "fsencode", lambda name: name.encode("ascii", "surrogateescape"))
    read = "划痕.png".encode().decode("ascii", "surrogateescape")
    assert sources.as_utf8(read) == "划痕.png"
