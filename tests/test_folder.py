"""Folders of photographs in every layout: what `survey` and `inspect_folder` say of them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from jaxad._check import InputError
from jaxad.datasets import Item, survey
from jaxad.folders import inspect_folder
from jaxad.images import read_photograph
from jaxad.methods import AUTO, CLOSED_FORM
from tests.tiff_files import tiff

MVTEC = [
    *(f"train/good/{i:03}.png" for i in range(10)),
    *("test/good/000.png", "test/scratch/000.png", "test/scratch/001.png", "test/dent/000.png"),
    *("ground_truth/scratch/000_mask.png", "ground_truth/scratch/001.png", "ground_truth/dent/000_mask.BMP"),
]
Fill = Callable[..., Path]


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    """Write small images under the names, no two alike; all of one size and mode unless told. Masks show two pixels."""
    drawn = np.random.default_rng(0)

    def write(*names: str, size: tuple[int, ...] = (4, 6), dtype: type = np.uint8) -> Path:
        for name in names:
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = drawn.integers(0, np.iinfo(dtype).max, size, dtype)
            if "ground_truth" in name.casefold():
                pixels[:] = 0
                pixels[1, 2:4] = np.iinfo(dtype).max
            Image.fromarray(pixels).save(path)
        return tmp_path / "set"

    return write


def names(root: Path, items: tuple[Item, ...]) -> list[tuple[str, str]]:
    return [(item.path.relative_to(root).as_posix(), item.defect) for item in items]


def test_mvtec_pairs_masks_by_defect_and_stem(fill: Fill) -> None:
    root = fill(*MVTEC)
    found = survey(root)
    assert found.layout == "mvtec"
    assert names(root, found.train) == [(f"train/good/{i:03}.png", "good") for i in range(10)]
    masks = root / "ground_truth"
    assert found.test == (
        Item(root / "test/dent/000.png", "dent", (masks / "dent/000_mask.BMP",)),
        Item(root / "test/good/000.png", "good"),
        Item(root / "test/scratch/000.png", "scratch", (masks / "scratch/000_mask.png",)),
        Item(root / "test/scratch/001.png", "scratch", (masks / "scratch/001.png",)),
    )
    assert (found.not_used, found.missing_masks) == ((), ())
    assert (found.sizes, found.channels, found.modes, found.bits) == ({(4, 6): 14}, {1: 14}, {"L": 14}, {8: 14})


def test_names_count_in_any_case(fill: Fill) -> None:
    root = fill("Train/Good/a.JPG", "TEST/GOOD/b.Tiff", "TEST/Scratch/c.PNG", "Ground_Truth/scratch/c_mask.bmp")
    found = survey(root)
    assert found.layout == "mvtec"
    assert [item.defect for item in found.test] == ["good", "Scratch"]
    assert found.test[1].masks == (root / "Ground_Truth/scratch/c_mask.bmp",)
    assert survey(fill("Train/Good/a.JPG")).train


def test_masks_that_do_not_fit_are_listed(fill: Fill) -> None:
    root = fill(*MVTEC, "test/scratch/002.png", "ground_truth/scratch/009_mask.png", "ground_truth/good/000.png")
    fill("ground_truth/dent/000_mask.BMP", size=(6, 4))
    found = survey(root)
    assert found.missing_masks == (root / "test/scratch/002.png",)
    assert found.unmatched_masks == (root / "ground_truth/good/000.png", root / "ground_truth/scratch/009_mask.png")
    assert found.misfit_masks == (root / "ground_truth/dent/000_mask.BMP",)
    assert found.test[0].masks == found.misfit_masks


def test_no_masks_at_all_are_none_missing(fill: Fill) -> None:
    assert survey(fill("train/good/a.png", "test/dent/b.png")).missing_masks == ()


def test_a_mask_belongs_to_its_own_defect(fill: Fill) -> None:
    root = fill("train/good/a.png", "test/dent/a.png", "test/hole/a.png", "ground_truth/hole/a_mask.png")
    found = survey(root)
    assert [item.masks for item in found.test] == [(), (root / "ground_truth/hole/a_mask.png",)]
    assert found.missing_masks == (root / "test/dent/a.png",)


def test_folders_inside_a_defect_keep_masks_apart(fill: Fill) -> None:
    root = fill("train/good/day/a.png", "test/dent/day/a.png", "test/dent/night/a.png", "ground_truth/dent/night/a.png")
    found = survey(root)
    assert len(found.train) == 1
    assert [(item.defect, item.masks) for item in found.test] == [
        ("dent", ()),
        ("dent", (root / "ground_truth/dent/night/a.png",)),
    ]


def test_good_bad(fill: Fill) -> None:
    root = fill("good/a.png", "good/x/b.png", "bad/c.png", "bad/dent/d.png", "bad/dent/x/e.png", "bad/good/f.png")
    found = survey(root)
    assert found.layout == "good-bad"
    assert names(root, found.train) == [("good/a.png", "good"), ("good/x/b.png", "good")]
    assert names(root, found.test) == [
        ("bad/c.png", "bad"),
        ("bad/dent/d.png", "dent"),
        ("bad/dent/x/e.png", "dent"),
        ("bad/good/f.png", "bad"),
    ]


def test_good_bad_takes_masks_too(fill: Fill) -> None:
    root = fill("good/a.png", "bad/c.png", "bad/dent/d.png", "ground_truth/bad/c.png", "ground_truth/dent/d_mask.png")
    assert [item.masks for item in survey(root).test] == [
        (root / "ground_truth/bad/c.png",),
        (root / "ground_truth/dent/d_mask.png",),
    ]


def test_images_beside_the_layout_are_not_used(fill: Fill) -> None:
    root = fill("good/a.png", "bad/b.png", "raw/c.png", "d.png", "ground_truth/e.png")
    found = survey(root)
    assert [path for path, _ in found.unplaced] == [root / "d.png", root / "raw/c.png"]
    assert found.unmatched_masks == (root / "ground_truth/e.png",)
    assert any("not used: 2, first 'd.png'" in sentence for sentence in inspect_folder(root)["warnings"])


def test_flat_takes_all_as_normal_and_says_so(fill: Fill) -> None:
    root = fill("b.png", "a.png")
    found = survey(root)
    assert (found.layout, found.test) == ("flat", ())
    assert names(root, found.train) == [("a.png", "good"), ("b.png", "good")]
    assert not any("taken as normal" in sentence for sentence in inspect_folder(root)["warnings"])
    fill("day/c.png", "night/deep/d.png")
    assert len(survey(root).train) == 4
    assert any("below 'day', 'night' are taken as normal" in sentence for sentence in inspect_folder(root)["warnings"])


def test_order_is_that_of_posix_paths(fill: Fill) -> None:
    root = fill("b/a.png", "a.png", "b.png", "a/z.png", "a-b.png", "B.png", "é.png", "img10.png", "img9.png")
    paths = [path for path, _ in names(root, survey(root).train)]
    assert paths == sorted(paths)
    assert len(paths) == 9


def test_other_files_are_ignored_and_counted(fill: Fill, tmp_path: Path) -> None:
    root = fill("a.png", ".hidden.png", ".thumbnails/a.png", ".thumbnails/b.png")
    for name in ("readme.txt", "Thumbs.db", "no-extension", "detector.npz"):
        (root / name).write_text("text")
    found = survey(root)
    assert len(found.train) == 1
    assert found.hidden == 2
    assert {path.name: reason for path, reason in found.not_used} == {
        "readme.txt": "no image by its extension .txt",
        "Thumbs.db": "no image by its extension .db",
        "no-extension": "no image: its name has no extension",
        "detector.npz": "no image by its extension .npz",
    }


def test_unreadable_files_are_listed_and_nowhere_else(fill: Fill) -> None:
    root = fill(*MVTEC)
    bad = ["ground_truth/scratch/000_mask.png", "test/dent/000.png", "train/good/003.png"]
    for name in bad:
        (root / name).write_bytes(b"")
    (root / "train/good/link.png").symlink_to("nowhere")
    os.mkfifo(root / "train/good/pipe.png")
    (root / "train/good/folder.png").mkdir()
    found = survey(root)
    reasons = [(path.relative_to(root).as_posix(), reason) for path, reason in found.unreadable]
    assert reasons == [
        *((name, "the file is empty") for name in bad),
        ("train/good/link.png", "there is no such file"),
        ("train/good/pipe.png", "it is not a file"),
    ]
    assert len(found.train) == 9
    assert [item.defect for item in found.test] == ["good", "scratch", "scratch"]
    assert found.missing_masks == (root / "test/scratch/000.png",)
    assert found.unmatched_masks == ()


def test_large_files_are_listed_by_the_limit_given(fill: Fill) -> None:
    root = fill("a.png")
    ((_, reason),) = survey(root, max_pixels=23).unreadable
    assert "4 x 6 pixels are more than the 23" in reason
    assert survey(root, max_pixels=24).unreadable == ()
    assert inspect_folder(root, max_pixels=23)["unreadable"] == [{"path": "a.png", "reason": reason}]


def test_no_pixel_is_decoded(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(*MVTEC)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
    assert len(survey(root).test) == 4


def test_links_to_folders_are_not_followed_and_named(fill: Fill, tmp_path: Path) -> None:
    root = fill("good/a.png", "bad/b.png")
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("L", (6, 4)).save(outside / "c.png")
    (root / "good" / "more").symlink_to(outside)
    (root / "bad" / "loop").symlink_to(root)
    (root / "good" / "d.png").symlink_to(outside / "c.png")
    found = survey(root)
    assert names(root, found.train) == [("good/a.png", "good"), ("good/d.png", "good")]
    assert len(found.test) == 1
    assert found.links == (root / "bad" / "loop", root / "good" / "more")
    assert any("not followed: 'bad/loop', 'good/more'" in sentence for sentence in inspect_folder(root)["warnings"])


def test_the_root_itself_may_be_a_link(fill: Fill, tmp_path: Path) -> None:
    fill("good/a.png")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    assert survey(tmp_path / "link").train[0].path == tmp_path / "link" / "good" / "a.png"


ODD = [b"with space.png", b'it\'s "quoted".png', b"new\nline.png", b"\xff\xfe.png", b"[red]x.png", b"-n.png"]


def test_odd_names_survive(fill: Fill) -> None:
    root = fill("good/a.png", "bad/x.png")
    content = (root / "good/a.png").read_bytes()
    odd = [root / "good" / os.fsdecode(name) for name in ODD]
    for path in odd:
        path.write_bytes(content)
    found = survey(root)
    assert sorted(os.fsencode(item.path.name) for item in found.train) == sorted([*ODD, b"a.png"])
    for item in found.train:
        assert read_photograph(item.path).pixels.shape == (4, 6, 1)
    for path in odd:
        path.write_bytes(b"")
    listed = json.loads(json.dumps(inspect_folder(root)))["unreadable"]
    assert sorted(os.fsencode(row["path"]) for row in listed) == sorted(b"good/" + name for name in ODD)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            ["bottle/train/good/a.png", "cable/train/good/a.png", "x.png"],
            "lie further down: 'bottle', 'cable'; name one of them",
        ),
        (["bottle/train/good/a.png"], "lie further down: 'bottle'; name one of them"),
        (
            ["line/cam1/good/a.png", "line/cam2/bad/a.png"],
            "further down: 'line/cam1', 'line/cam2'; name one",
        ),
        (["bad/a.png", "a.png"], "has 'bad' and no folder of normal images.*'good' beside 'bad'"),
        (["test/good/a.png", "test/dent/a.png"], "has 'test' and no folder of normal images"),
        (["train/a.png", "test/dent/b.png"], "has 'test', 'train' and no folder"),
        ([], "must hold images .*png.*got none among 1 entries"),
    ],
)
def test_folders_that_could_be_misread_are_refused(fill: Fill, files: list[str], words: str) -> None:
    root = fill(*files)
    root.mkdir(exist_ok=True)
    (root / "readme.txt").write_text("text")
    for look in (survey, inspect_folder):
        with pytest.raises(InputError, match=words):
            look(root)


def test_many_sets_are_not_all_named(fill: Fill) -> None:
    with pytest.raises(InputError, match="'set00', .*'set09' and 2 more; name one of them"):
        survey(fill(*(f"set{i:02}/good/a.png" for i in range(12))))


def test_a_link_in_the_place_of_a_layout_is_named(fill: Fill, tmp_path: Path) -> None:
    root = fill("bad/a.png")
    (tmp_path / "elsewhere").mkdir()
    (root / "good").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="links to folders are not followed: 'good'"):
        survey(root)
    (root / "bad" / "a.png").unlink()
    with pytest.raises(InputError, match="got none.*links to folders are not followed: 'good'"):
        survey(root)


def test_what_is_no_folder_is_refused(fill: Fill, tmp_path: Path) -> None:
    file, absent = fill("a.png") / "a.png", tmp_path / "nowhere"
    for path, seen in ((file, "and is a file"), (absent, "and there is no such folder")):
        with pytest.raises(InputError, match=f"must be a folder of images, {seen}"):
            survey(path)


def test_a_folder_that_cannot_be_listed_is_refused(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    root, real = fill("good/a.png", "bad/a.png"), os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("bad"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    def look(path: Path, *, real: Callable[..., object] = Path.stat, **options: bool) -> object:
        if path.parent.name == "bad":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(Path, "stat", look)
    with pytest.raises(InputError, match="bad' cannot be listed: Permission denied"):
        survey(root)


# inspect_folder


def test_inspection_counts_and_plans(fill: Fill) -> None:
    root = fill(*MVTEC)
    found = inspect_folder(str(root))
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "root": str(root),
        "layout": "mvtec",
        "images": {"train": {"good": 10}, "test": {"good": 1, "dent": 1, "scratch": 2}},
        "sizes": [{"height": 4, "width": 6, "count": 14}],
        "channels": {"1": 14},
        "modes": {"L": 14},
        "bits": {"8": 14},
        "masks": {"paired": 3, "missing": [], "unmatched": [], "misfit": [], "ambiguous": [], "odd": []},
        "unreadable": [],
        "not_used": [],
        "hidden": 0,
        "copies": {"repeated": [], "leaked": [], "contradictory": [], "doubled": []},
        "plan": {
            "recipe": "auto",
            "compares": [recipe.name for recipe in AUTO.candidates],
            "left_aside": {},
            "preparation": {"channels": 1, "mode": "native", "scale": 1.0, "side": 1, "box": [1, 1]},
            "grid": [4, 6],
            "grid_reason": "",
            "train": 8,
            "holdout": 2,
            "left_out": [],
            "false_positive_rate": 0.5,
        },
        "warnings": [
            "2 held-out images support a false-positive rate of 50.0% at best; 1% takes 500 normal images, here are 10"
        ],
    }


@pytest.mark.parametrize(("count", "held"), [(8, 2), (13, 3), (37, 7)])
def test_plan_is_what_fitting_would_hold_out(fill: Fill, count: int, held: int) -> None:
    plan = inspect_folder(fill(*(f"{i}.png" for i in range(count))))["plan"]
    assert (plan["train"], plan["holdout"]) == (count - held, held)
    assert plan["false_positive_rate"] == 1 / held


def test_of_photographs_those_to_train_on_set_the_threshold_too(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 100, 100), np.uint8)
    for index, one in enumerate(pixels):
        Image.fromarray(one).save(tmp_path / f"{index}.png")
    found = inspect_folder(tmp_path)
    assert (found["plan"]["recipe"], found["plan"]["false_positive_rate"]) == ("patchcore", 1 / 20)
    assert found["warnings"][-1] == (
        "20 images support a false-positive rate of 5.0% at best; 1% takes 100 normal images, here are 20"
    )


@pytest.mark.parametrize("count", [1, 7])
def test_too_few_images_are_warned_of(fill: Fill, count: int) -> None:
    found = inspect_folder(fill(*(f"{i}.png" for i in range(count))))
    assert found["plan"] is None
    (sentence,) = found["warnings"]
    assert sentence.startswith("fitting would be refused: at least 2 images must be held out")
    assert "8 images would do" in sentence


@pytest.mark.slow
def test_enough_images_are_not_warned_of(fill: Fill) -> None:
    assert inspect_folder(fill(*(f"{i}.bmp" for i in range(500))))["warnings"] == []


def test_sizes_and_colours_decide_the_plan(fill: Fill) -> None:
    root = fill(*(f"{i}.png" for i in range(8)))
    assert inspect_folder(root)["plan"]["left_aside"] == {}
    fill("c.png", size=(6, 4))
    found = inspect_folder(root)
    assert found["plan"]["compares"] == ["surface-gradients", "patch-components"]
    assert set(found["plan"]["left_aside"]) == {recipe.name for recipe in CLOSED_FORM}
    assert "these have 2 sizes, from 4 x 6 to 6 x 4" in found["plan"]["left_aside"]["pixel-neighbours"]
    assert found["sizes"] == [{"height": 4, "width": 6, "count": 8}, {"height": 6, "width": 4, "count": 1}]
    fill("d.png", size=(4, 6, 3))
    found = inspect_folder(root)
    assert found["plan"]["preparation"]["channels"] == 3
    assert any("grey (9) and in colour (1); all would be taken as colour" in words for words in found["warnings"])


def test_depth_is_counted(fill: Fill) -> None:
    root = fill("a.png", "b.png")
    fill("c.png", dtype=np.uint16)
    found = inspect_folder(root)
    assert found["bits"] == {"8": 2, "16": 1}
    assert found["modes"]["L"] == 2
    assert not any("16 bits" in sentence for sentence in found["warnings"])


def test_what_is_not_read_in_full_is_warned_of(fill: Fill) -> None:
    root = fill("a.png", size=(4, 6, 3))
    for photometric, channels, told in ((2, 3, False), (5, 4, True)):
        (root / "a.png").write_bytes(tiff(np.zeros((4, 6, channels), np.uint16), photometric=photometric))
        found = inspect_folder(root)
        assert found["bits"] == {"16": 1}
        assert any("upper 8 of 16 bits" in sentence for sentence in found["warnings"]) == told


def test_every_trouble_is_a_warning(fill: Fill) -> None:
    root = fill(*MVTEC, "test/scratch/002.png", "ground_truth/scratch/009.png")
    fill("ground_truth/dent/000_mask.BMP", size=(6, 4))
    (root / "train/good/000.png").write_bytes(b"")
    warnings = inspect_folder(root)["warnings"]
    for words in (
        "files that cannot be read and are left out: 1, first 'train/good/000.png'",
        "images of defects without a mask: 1",
        "masks that belong to no image of a defect: 1",
        "masks of another size than their image: 1",
    ):
        assert words in warnings
