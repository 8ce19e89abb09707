"""Copies of one photograph: told, and never on both sides of a split."""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from jaxad import thresholds
from jaxad._check import InputError
from jaxad.datasets import Once, doubt_near_copies, file_sum, find_copies, survey
from jaxad.datasets.copies import group_copies, near_copies
from jaxad.folders import evaluate_folder, fit_folder, inspect_folder, score_folder
from jaxad.folders.plan import normal_headers, plan_fit
from jaxad.images import Header, read_photograph
from jaxad.pipeline import load_pipeline
from jaxad.results import read_results
from tests.photograph_folder import WHOLE, photograph, save, write_set

DRAWS = 200


def test_groups_join_what_any_digest_joins() -> None:
    a, b, c, d, e = map(Path, "abcde")
    assert group_copies({a: "1", b: "2", c: "1", e: "5"}, {c: "x", d: "x"}) == [(a, c, d), (b,), (e,)]
    assert group_copies({}) == []


def write_copies(root: Path, *, count: int = 50) -> Path:
    for index in range(count):
        path = save(root / "good" / f"{index:03}.png", photograph(index))
        shutil.copy(path, path.with_name(f"copy_{path.name}"))
    return root


def test_copies_count_once_in_the_plan(tmp_path: Path) -> None:
    found = inspect_folder(write_copies(tmp_path))
    assert (found["plan"]["train"], found["plan"]["holdout"]) == (40, 10)
    assert len(found["copies"]["repeated"]) == 50
    assert any(
        "copies of others, which count once: 50, first 'good/copy_000.png'" in words for words in found["warnings"]
    )
    assert sum("which counts once" in row["reason"] for row in found["not_used"]) == 50


def covered(headers: Mapping[Path, Header]) -> int:
    """How many of the draws promise an interval that holds the true rate.

    What an image shows is a point, the same for copies; it is scored by its distance from those learned from.
    """
    sums = {path: file_sum(path) for path in headers}
    count = 0
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        points = {digest: rng.normal(size=3) for digest in sorted(set(sums.values()))}
        plan = plan_fit(headers, recipe=WHOLE, holdout=0.4, seed=draw)
        learned, held = (np.stack([points[sums[path]] for path in side]) for side in (plan.train, plan.held_out))

        def score(shown: np.ndarray, learned: np.ndarray = learned) -> np.ndarray:
            return np.linalg.norm(shown[:, None] - learned[None], axis=-1).min(axis=1)

        found = thresholds.for_false_positive_rate(score(held), rate=0.1)
        true = float(np.mean(score(rng.normal(size=(2000, 3))) > found.value))
        count += found.interval[0] <= true <= found.interval[1]
    return count


@pytest.mark.slow
def test_the_promised_interval_holds_the_true_rate_with_copies(tmp_path: Path) -> None:
    found = survey(write_copies(tmp_path))
    least = 0.95 * DRAWS - 2 * math.sqrt(0.95 * 0.05 * DRAWS)
    assert covered(normal_headers(found, find_copies(found))) >= least
    # With copies on both sides it does not, so this test can fail.
    assert covered(found.headers) < least / 2


def taken(paths: list[Path]) -> Once:
    once = Once({})
    for path in paths:
        assert once.refuse(path, read_photograph(path)) is None
    return once


def test_photographs_that_were_saved_anew_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first = []
    for i in range(8):
        blocks = np.repeat(rng.integers(0, 256, (6, 8, 1), dtype=np.uint8), 3, axis=-1)
        first.append(tmp_path / f"{i}.png")
        Image.fromarray(blocks).resize((320, 240), Image.Resampling.BICUBIC).save(first[-1])
    assert near_copies(taken(first).sums) == {}
    again = [path.with_suffix(".jpg") for path in first[:3]]
    for path, copy in zip(first, again, strict=False):
        Image.open(path).save(copy, quality=80)
    pairs = list(zip(first, again, strict=False))
    known = taken([*first, *again]).sums
    assert near_copies(known) == dict(pairs) | {copy: path for path, copy in pairs}
    (sentence,) = doubt_near_copies(known)
    assert "6 of 11, first '0.png' from '0.jpg'" in sentence


def test_pictures_of_an_even_surface_are_no_near_copies(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(9)]
    for i, path in enumerate(paths):
        noise = np.random.default_rng(i).normal(128, 5, (256, 256))
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(path)
    known = taken(paths).sums
    assert max(float(np.std(one.small)) for one in known.values() if one.small is not None) < 1 / 255
    assert near_copies(known) == near_copies({}) == {}


def in_another_form(path: Path, out: Path) -> None:
    """The same pixels in other bytes."""
    note = PngInfo()
    note.add_text("note", out.name)
    out.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(path) as image:
        image.save(out, pnginfo=note)


def test_the_same_stem_in_another_form_is_found_without_decoding_the_rest(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / f"{index}.png", photograph(index))
    with Image.open(tmp_path / "2.png") as image:
        image.save(tmp_path / "2.bmp")
    assert find_copies(survey(tmp_path)).repeated == {tmp_path / "2.png": tmp_path / "2.bmp"}


def test_every_kind_of_copy_is_told(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    for source, copy in (
        ("train/good/000.png", "train/good/again.png"),
        ("train/good/001.png", "test/good/leak.png"),
        ("test/good/000.png", "test/good/twice.png"),
        ("train/good/002.png", "test/spot/called bad.png"),
    ):
        shutil.copy(root / source, root / copy)
    found = inspect_folder(root)
    assert json.loads(json.dumps(found["copies"])) == {
        "repeated": [{"path": "train/good/again.png", "of": "train/good/000.png"}],
        "leaked": [{"path": "test/good/leak.png", "of": "train/good/001.png"}],
        "contradictory": [
            {"path": "train/good/002.png", "of": "test/spot/called bad.png"},
            {"path": "test/spot/called bad.png", "of": "train/good/002.png"},
        ],
        "doubled": [{"path": "test/good/twice.png", "of": "test/good/000.png"}],
    }
    for words in ("which evaluating leaves out: 1", "good by one copy and defective by another, not used: 2"):
        assert any(words in sentence for sentence in found["warnings"])
    assert found["plan"]["train"] + found["plan"]["holdout"] == 11


@pytest.mark.slow
@pytest.mark.usefixtures("compile_fast")
def test_copies_lie_on_one_side_from_fit_to_evaluation(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", train=20)
    for index in range(20):
        shutil.copy(root / f"train/good/{index:03}.png", root / f"train/good/copy_{index:03}.png")
        in_another_form(root / f"train/good/{index:03}.png", root / f"train/good/form_{index:03}.png")
        in_another_form(root / f"train/good/{index:03}.png", root / f"test/good/other_{index:03}.png")
    shutil.copy(root / "train/good/005.png", root / "test/good/leak.png")
    (root / "train/good/junk.png").write_text("junk")
    (root / "notes.txt").write_text("notes")
    done = fit_folder(root, tmp_path / "a.jaxad", recipe=WHOLE, rate=0.4, holdout=0.3)
    made = load_pipeline(tmp_path / "a.jaxad")
    sums = made.provenance["pixel_sha256"]
    assert not set(sums["train"]) & set(sums["holdout"])
    assert len(set(sums["holdout"])) == len(sums["holdout"]) == made.threshold.count == len(made.normal_scores)
    assert made.threshold.value > 1e-3
    left = {row["path"]: row["reason"] for row in done["images"]["left_out"]}
    for name, words in (
        ("train/good/copy_000.png", "which counts once"),
        ("train/good/junk.png", "no image"),
        ("notes.txt", ".txt"),
    ):
        assert words in left[name]
    assert done["images"]["train"] + done["images"]["holdout"] + len(left) == 20 * 3 + 2
    found = evaluate_folder(made, root)
    named = {row["path"] for row in found["not_used"]}
    assert "test/good/leak.png" in named
    assert {f"test/good/other_{index:03}.png" for index in range(20)} <= named
    assert found["images"] == {"good": 4, "spot": 4}
    assert any("are left out" in words for words in found["warnings"])
    (root / "test/spot/odd.heic").write_text("x")
    (root / "test/notes.txt").write_text("notes")
    run = score_folder(made, root / "test", tmp_path / "out")
    assert {image["defect"] for image in read_results(tmp_path / "out").images} == {"good", "spot"}
    assert [error["file"] for error in read_results(tmp_path / "out").errors] == ["spot/odd.heic"]
    assert run["not_used"] == [{"path": "notes.txt", "reason": "no image by its extension .txt"}]
    assert run["counts"]["failed"] == 1
    shutil.rmtree(root / "test")
    in_another_form(root / "train/good/000.png", root / "test/good/a.png")
    with pytest.raises(InputError, match="same pixels as one that the pipeline was fitted on|copies of those"):
        evaluate_folder(made, root)
