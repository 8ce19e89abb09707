"""The layouts that people keep photographs in: each is understood, or refused with what was seen."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxad._check import InputError
from jaxad.datasets import Survey, survey
from jaxad.datasets.mask_pairs import read_masks
from jaxad.folders import inspect_folder
from jaxad.folders.sources import find_sources
from jaxad.results import COLUMNS, Output

Write = Callable[..., Path]
EMPTY, SPOT, WHITE = "empty", "spot", "white"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write photographs, no two alike, and masks (empty, with a spot, or white), under names below one folder."""
    drawn = np.random.default_rng(0)

    def write(*names: str, masks: dict[str, str] | None = None, below: str = "set") -> Path:
        root = tmp_path / below
        for name in (*names, *(masks or {})):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            pixels = drawn.integers(0, 255, (6, 8), np.uint8)
            if masks and name in masks:
                pixels[:] = 255 if masks[name] == WHITE else 0
                if masks[name] == SPOT:
                    pixels[1:3, 2:4] = 255
            Image.fromarray(pixels).save(root / name)
        return root

    return write


def counts(found: Survey) -> tuple[int, dict[str, int]]:
    return len(found.train), dict(Counter(item.defect for item in found.test))


def several(*folders: str, count: int = 3) -> list[str]:
    return [f"{folder}/{number}.png" for folder in folders for number in range(count)]


PAIRS = [
    *(("normal", "abnormal"), ("ok", "ng"), ("OK", "NOK"), ("ok", "ko"), ("good", "defect"), ("Good", "Defects")),
    *(("good", "anomaly"), ("normal", "Anomalous"), ("good", "defective"), ("defect-free", "defect"), ("iO", "niO")),
    *(("no defect", "defective"), ("pass", "fail"), ("正常", "异常")),
]


@pytest.mark.parametrize(("good", "bad"), PAIRS)
@pytest.mark.parametrize("above", ["", "train", "data"])
def test_words_for_good_and_bad(write: Write, good: str, bad: str, above: str) -> None:
    train = f"{above}/{good}" if above else good
    test = [f"test/{good}", f"test/{bad}"] if above == "train" else [f"{above}/{bad}" if above else bad]
    found = survey(write(*several(train, *test)))
    assert len(found.train) == 3
    assert {item.path.parent.name for item in found.train} == {good}
    assert sum(item.defect != "good" for item in found.test) == 3
    assert found.not_used == ()


def test_a_defect_among_images_to_train_on_is_not_learned(write: Write) -> None:
    root = write(*several("train/ok", "train/ng", "test/ok", "test/ng"))
    found = survey(root)
    assert counts(found) == (3, {"good": 3, "ng": 3})
    assert {path.parent.name for path, _ in found.not_used} == {"ng"}
    assert "good images alone are learned from" in found.not_used[0][1]
    assert len(find_sources(root).images) == 6


def test_btad(write: Write) -> None:
    masks = {f"ground_truth/ko/{number}.png": SPOT for number in range(3)}
    found = survey(write(*several("train/ok", "test/ok", "test/ko"), masks=masks))
    assert counts(found) == (3, {"good": 3, "ko": 3})
    assert all(len(item.masks) == (item.defect == "ko") for item in found.test)


def test_mvtec_ad_2_has_masks_inside_its_public_test(write: Write) -> None:
    masks = {f"test_public/ground_truth/bad/{number}_mask.png": SPOT for number in range(3)}
    root = write(*several("train/good", "validation/good", "test_public/good", "test_public/bad"), masks=masks)
    found = survey(root)
    assert counts(found) == (6, {"good": 3, "bad": 3})
    assert all(len(item.masks) == (item.defect == "bad") for item in found.test)
    write("test_private/0.png", "test_private_mixed/0.png")
    assert [found.name(path) for path, _ in survey(root).unplaced] == ["test_private/0.png", "test_private_mixed/0.png"]
    assert sum(one.defect == "" for one in find_sources(root).images) == 2


def test_mvtec_loco_has_a_folder_of_masks_an_image(write: Write) -> None:
    kinds = ("logical_anomalies", "structural_anomalies")
    root = write(
        *several("train/good", "validation/good", "test/good", *(f"test/{kind}" for kind in kinds), count=2),
        masks={f"ground_truth/{kind}/{number}/000.png": SPOT for kind in kinds for number in range(2)},
    )
    second = np.zeros((6, 8), np.uint8)
    second[5, 7] = 255
    Image.fromarray(second).save(root / "ground_truth/logical_anomalies/1/001.png")
    found = survey(root)
    assert counts(found) == (4, {"good": 2, **dict.fromkeys(kinds, 2)})
    assert [len(item.masks) for item in found.test if item.defect != "good"] == [1, 2, 1, 1]
    both = next(item for item in found.test if len(item.masks) == 2)
    mask = read_masks(both.masks)
    assert mask.sum() == 5
    assert mask[5, 7]
    assert found.not_used == ()


@pytest.fixture
def visa(write: Write) -> Path:
    masks = {f"candle/Data/Masks/Anomaly/{number}.png": SPOT for number in range(3)}
    root = write(*several("candle/Data/Images/Normal", "candle/Data/Images/Anomaly"), masks=masks) / "candle"
    with (root / "image_anno.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["image", "label", "mask"])
        for number in range(3):
            rows.writerow([f"candle/Data/Images/Normal/{number}.png", "normal", ""])
            name = f"candle/Data/Images/Anomaly/{number}.png"
            rows.writerow([name, "chunk of wax missing", name.replace("Images", "Masks")])
    return root


def test_visa_by_folders_and_by_its_table(visa: Path) -> None:
    found = survey(visa)
    assert (found.layout, counts(found)) == ("good-bad", (3, {"bad": 3}))
    by_table = survey(visa, labels=visa / "image_anno.csv")
    assert (by_table.layout, counts(by_table)) == ("labels", (3, {"chunk of wax missing": 3}))
    for one in (found, by_table):
        assert [item.masks[0].parent.name for item in one.test] == ["Anomaly"] * 3
    assert [path.name for path, _ in found.not_used] == ["image_anno.csv"]
    assert by_table.not_used == ()


def test_images_and_masks(write: Write) -> None:
    masks = {"masks/0.png": SPOT, "masks/1.png": EMPTY, "masks/2_mask.png": SPOT}
    found = survey(write(*several("images", count=5), masks=masks))
    assert (found.layout, counts(found)) == ("masks", (3, {"bad": 2}))
    assert [item.path.name for item in found.test] == ["0.png", "2.png"]
    root = write(*several("images", count=5), masks=masks)
    assert [one.defect for one in find_sources(root).images] == ["bad", "good", "bad", "good", "good"]


def test_images_and_masks_below_train_and_test(write: Write) -> None:
    masks = {"train/masks/0.png": SPOT, "test/masks/1.png": SPOT, "test/masks/2.png": WHITE}
    found = survey(write(*several("train/images", "test/images"), masks=masks))
    assert counts(found) == (2, {"good": 1, "bad": 1})
    reasons = {path.relative_to(found.root).as_posix(): reason for path, reason in found.not_used}
    assert "shows a defect" in reasons["train/images/0.png"]
    assert "probably inverted" in reasons["test/images/2.png"]


@pytest.mark.parametrize("ending", ["_mask", "_gt", "_label", "-mask", "_GT"])
def test_masks_beside_their_images(write: Write, ending: str) -> None:
    masks = {f"kos{n}/Pipeline{n}{ending}.bmp": SPOT if n < 2 else EMPTY for n in range(5)}
    root = write(*(f"kos{n}/Pipeline{n}.png" for n in range(5)), masks=masks)
    found = survey(root)
    assert (found.layout, counts(found)) == ("masks", (3, {"bad": 2}))
    assert [one.name for one in find_sources(root).images] == [f"kos{n}/Pipeline{n}.png" for n in range(5)]


def test_masks_beside_images_of_known_folders(write: Write) -> None:
    found = survey(write(*several("good", "bad/dent"), masks={"bad/dent/1_mask.png": SPOT}))
    assert counts(found) == (3, {"dent": 3})
    assert [len(item.masks) for item in found.test] == [0, 1, 0]


def test_names_that_end_like_masks_alone_are_photographs(write: Write) -> None:
    assert counts(survey(write("a_label.png", "b_mask.png"))) == (2, {})


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["scratches", "good images"], "'good images', 'scratches', of which 'scratches' may hold defects"),
        (["line/A", "line/broken parts"], "'line/broken parts' may hold defects"),
        (["0", "1"], "'0', '1' may hold defects"),
        (["positive", "negative"], "may hold defects.*--labels"),
        (["def_front", "ok_front"], "'def_front' may hold defects"),
        (["almost good", "defects2"], "'defects2' may hold defects"),
        (["abnormal"], "has 'abnormal' and no folder of normal images"),
        (["test/ok", "test/ng"], "has 'test' and no folder of normal images"),
        (
            ["2024/normal", "2025/abnormal"],
            "one set, and these lie further down: '2024', '2025'; name one",
        ),
        (["2024/normal"], "must hold one set, and these lie further down: '2024'; name one of them"),
        (["masks"], "must hold images, got 3 masks"),
        (
            ["bottle/train/good", "bottle/test/good", "bottle/test/dent", "bottle/ground_truth/dent"],
            "one set, and these lie further down: 'bottle'; name one",
        ),
        (["good", "good/bad"], "may show defects below folders of good ones: 'good/bad'"),
        (["train/good", "train/good/cracks/line 1"], "may show defects .* 'train/good/cracks/line 1'"),
        (["train/good", "test/good/NG", "test/dent"], "may show defects .* 'test/good/NG'"),
    ],
)
def test_what_may_hold_defects_is_never_learned_in_silence(write: Write, folders: list[str], words: str) -> None:
    root = write(*several(*folders))
    for look in (survey, inspect_folder):
        with pytest.raises(InputError, match=words):
            look(root)


@pytest.mark.parametrize("judging", [False, True])
def test_masks_of_parts_and_good_ones_without_defects_are_one_set(write: Write, judging: bool) -> None:
    root = write(*several("images/train", "images/test"), masks={"masks/test/1.png": SPOT})
    assert survey(root, judging=judging).layout == "masks"
    good = write(*several("good/camera 1", "good/no defect", "good/kos01"))
    assert counts(survey(good, judging=judging)) == (9, {})


@pytest.mark.parametrize("defect", ["defect_1", "cam2-NG-7", "crack12", "IMG_003 broken", "part_not_ok"])
@pytest.mark.parametrize("folder", ["", "camera 1/"])
def test_files_named_by_defects_are_never_learned_in_silence(write: Write, defect: str, folder: str) -> None:
    root = write(*(f"{folder}ok_{number}.png" for number in range(12)), f"{folder}{defect}.png")
    with pytest.raises(InputError, match=rf"may hold defects by their names: '{folder}{defect}.png' \(1 of 13\)"):
        inspect_folder(root)
    assert len(find_sources(root).images) == 13


def test_files_all_named_by_defects_are_warned_of(write: Write) -> None:
    root = write(*(f"cast_def_{number}.png" for number in range(12)))
    words = "all images are taken as normal, though their names speak of defects, first 'cast_def_0.png'"
    assert words in inspect_folder(root)["warnings"]


def test_numbers_that_spell_words_are_no_defects(write: Write) -> None:
    names = ("5a0def11", "bad00bad", "0badf00d-def1-4bad-9def-0def1bad2def", "a")
    assert len(survey(write(*(f"{name}.png" for name in names))).train) == 4


def test_scoring_takes_what_fitting_refuses(write: Write) -> None:
    root = write(*several("scratches", "good images"))
    assert {one.defect for one in find_sources(root).images} == {""}
    root = write(*several("ng"), below="other")
    assert {one.defect for one in find_sources(root).images} == {"bad"}


def test_a_folder_called_by_a_defect_is_warned_of(write: Write) -> None:
    root = write(*several("scratch", count=12))
    assert any(
        "though the folder is called 'scratch'" in words for words in inspect_folder(root / "scratch")["warnings"]
    )


@pytest.mark.parametrize("name", ["test", "Test", "elsewhere"])
@pytest.mark.parametrize("good", ["good", "ok", ""])
def test_the_test_folder_alone_has_the_labels_of_the_whole_tree(write: Write, name: str, good: str) -> None:
    root = write(*several(*filter(None, (f"{name}/{good}" if good else "", f"{name}/scratch", f"{name}/dent"))))
    labels = Counter(one.defect for one in find_sources(root / name).images)
    if good or name != "elsewhere":
        assert labels == {**({"good": 3} if good else {}), "scratch": 3, "dent": 3}
    else:
        assert labels == {"": 6}


@pytest.mark.parametrize("bad", ["ng", "Defect", "defect/scratch", "bad"])
def test_the_test_folder_alone_names_defects_as_the_whole_tree_does(write: Write, bad: str) -> None:
    root = write(*several("train/good", "test/good", f"test/{bad}"))
    whole, alone = (Counter(one.defect for one in find_sources(folder).images) for folder in (root, root / "test"))
    assert alone == whole


def test_a_test_folder_without_good_images_is_not_fitted_on(write: Write) -> None:
    root = write(*several("train/good", "test/a", "test/b"))
    with pytest.raises(InputError, match="'train' lies beside it"):
        survey(root / "test")


# Pairs of masks that could be others, and masks that cannot be right


def test_two_images_for_one_mask_are_told_and_not_used(write: Write) -> None:
    root = write(
        *several("train/good"), *several("test/spot"), "test/spot/0.bmp", masks={"ground_truth/spot/0_mask.png": SPOT}
    )
    found = survey(root)
    assert [item.masks for item in found.test] == [()] * 4
    ((mask, reason),) = found.ambiguous_masks
    assert mask == root / "ground_truth/spot/0_mask.png"
    assert "0.bmp" in reason
    assert "0.png" in reason
    assert any(
        "not clear which image they belong to, not used: 1" in words for words in inspect_folder(root)["warnings"]
    )


def test_folders_that_differ_in_case_are_told_apart_or_not_used(write: Write) -> None:
    root = write(
        "train/good/a.png", "test/Scratch/0.png", "test/scratch/0.png", masks={"ground_truth/scratch/0.png": SPOT}
    )
    found = survey(root)
    assert [item.masks for item in found.test] == [(), ()]
    assert len(found.ambiguous_masks) == 1
    write(masks={"ground_truth/Scratch/0.png": SPOT})
    found = survey(root)
    assert [item.masks[0].parent.name for item in found.test] == ["Scratch", "scratch"]


def test_two_masks_for_one_image_are_told_and_not_used(write: Write) -> None:
    masks = {"ground_truth/dent/0.png": SPOT, "ground_truth/dent/0_mask.png": SPOT, "ground_truth/dent/1.png": SPOT}
    found = survey(write("train/good/a.png", "test/dent/0.png", "test/dent/1.png", masks=masks))
    assert [len(item.masks) for item in found.test] == [0, 1]
    assert len(found.ambiguous_masks) == 2


def test_masks_that_cannot_be_right_are_a_sentence_each(write: Write) -> None:
    masks = {f"ground_truth/dent/{n}.png": kind for n, kind in enumerate((SPOT, EMPTY, WHITE))}
    found = inspect_folder(write(*several("train/good", "test/dent"), masks=masks))
    reasons = {row["path"]: row["reason"] for row in found["masks"]["odd"]}
    assert set(reasons) == {"ground_truth/dent/1.png", "ground_truth/dent/2.png"}
    assert "black everywhere" in reasons["ground_truth/dent/1.png"]
    assert "probably inverted" in reasons["ground_truth/dent/2.png"]
    assert sum("is not used: it is" in words for words in found["warnings"]) == 2
    assert found["masks"]["paired"] == 1


# Labels in a table


def table(root: Path, text: str) -> Path:
    path = root / "labels.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_labels_say_what_names_do_not(write: Write, separator: str) -> None:
    root = write(*several("a", count=5))
    rows = ["File,Label", "a/0.png,ok", "a/1.png,scratch", "a\\2.png,0", "a/3.png,1"]
    found = survey(root, labels=table(root, "\ufeff" + "\n".join(rows).replace(",", separator)))
    assert (found.layout, counts(found)) == ("labels", (2, {"scratch": 1, "bad": 1}))
    assert [(path.name, reason) for path, reason in found.not_used] == [
        ("4.png", "the table of labels has no row for it")
    ]
    labels = {one.name: one.defect for one in find_sources(root, labels=root / "labels.csv").images}
    assert labels == {"a/0.png": "good", "a/1.png": "scratch", "a/2.png": "good", "a/3.png": "bad", "a/4.png": ""}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_labels_may_be_as_excel_writes_them(write: Write, encoding: str) -> None:
    root = write(*several("a", count=3))
    mark = "" if encoding == "utf-16" else "\ufeff"
    (root / "labels.csv").write_bytes((mark + "file\tlabel\na/0.png\tok\na/1.png\tRiß\n").encode(encoding))
    assert counts(survey(root, labels=root / "labels.csv")) == (1, {"Riß": 1})
    for data, words in (
        ("file,label\na/0.png,ok\n".encode("utf-16-le"), "must be text in UTF-8, or in UTF-16"),
        (b"\xff\xfea", "begin as UTF-16"),
    ):
        (root / "labels.csv").write_bytes(data)
        with pytest.raises(InputError, match=words):
            survey(root, labels=root / "labels.csv")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "~"])
def test_the_separator_may_be_said_in_a_line_above(write: Write, separator: str) -> None:
    root = write(*several("a", count=2))
    text = "sep=,\nfile,label\na/0.png,ok\na/1.png,dent\n".replace(",", separator)
    assert counts(survey(root, labels=table(root, "\ufeff" + text))) == (1, {"dent": 1})
    with pytest.raises(InputError, match="do not: line 5: 'x.png'"):
        survey(root, labels=table(root, f"{text}x.png{separator}ok\n"))


@pytest.mark.parametrize("rows", ["a/0.png,1\na/1.png,-1\n", "a/0.png,-1.0\na/1.png,1.0\n", "a/0.png,+1\na/1.png,-1\n"])
def test_labels_of_either_sign_are_refused(write: Write, rows: str) -> None:
    """Of scikit-learn 1 is normal; elsewhere it is the anomaly."""
    root = write(*several("a", count=2))
    with pytest.raises(InputError, match=r"labels '.*': 1 and -1 .* scikit-learn .* write good and bad, or 0 and 1"):
        survey(root, labels=table(root, "file,label\n" + rows))


def test_labels_in_another_encoding_are_refused_by_its_name(write: Write) -> None:
    root = write("a/0.png", "a/ä.png", "b/1.png")
    for rows, words in (("a/0.png,Kratzer groß\n", "line 2: 'Kratzer groß'"), ("a/ä.png,good\n", "line 2: 'a/ä.png'")):
        (root / "labels.csv").write_bytes(f"file,label\n{rows}b/1.png,good\n".encode("cp1252"))
        with pytest.raises(InputError, match=f"UTF-8.*Windows-1252.*{words}"):
            survey(root, labels=root / "labels.csv")


def test_names_of_files_that_are_no_text_are_found_by_their_bytes(write: Write) -> None:
    root = write("a/0\udcff.png", "a/1.png")
    text = "file,label\na/0\udcff.png,good\na/1.png,dent\n"
    (root / "labels.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert counts(survey(root, labels=root / "labels.csv")) == (1, {"dent": 1})


def test_labels_with_splits_and_masks(write: Write) -> None:
    root = write(*several("a", count=5), masks={"m/3.png": SPOT})
    rows = "path,class,split,mask\na/0.png,good,train,\na/1.png,dent,train,\na/2.png,good,test,\n"
    rows += "a/3.png,dent,test,m/3.png\n"
    found = survey(root, labels=table(root, rows + "a/4.png,good,,\n"))
    assert (found.split, counts(found)) == (True, (1, {"good": 1, "dent": 1}))
    assert found.test[1].masks == (root / "m/3.png",)
    reasons = {path.name: reason for path, reason in found.not_used}
    assert "good images alone" in reasons["1.png"]
    assert "names no split" in reasons["4.png"]


def test_masks_that_the_table_does_not_name_belong_as_they_lie(write: Write) -> None:
    root = write(*several("images", count=2), masks={"masks/1.png": SPOT})
    found = survey(root, labels=table(root, "file,label\nimages/0.png,good\nimages/1.png,dent\n"))
    assert found.test[0].masks == (root / "masks/1.png",)
    assert found.not_used == ()


def test_labels_may_be_relative_to_the_table(write: Write) -> None:
    root = write(*several("a", count=2))
    found = survey(root / "a", labels=table(root, "file,label\na/0.png,good\na/1.png,bad\n"))
    assert counts(found) == (1, {"bad": 1})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must have a column 'file'.*got no line"),
        ("file,colour\na/0.png,red\n", r"must have a column 'label' \(or class.*got 'file', 'colour'"),
        ("file,label\n", "must hold a row for each image, got none"),
        ("file,label\na/9.png,good\n", "do not: line 2: 'a/9.png'"),
        ("file,label\n../else.png,good\n", "do not: line 2"),
        ("file,label\na/0.png,good\na/0.png,bad\n", "come again: line 3: 'a/0.png'"),
        ("file,label\na/0.png\n", "have none: line 2: 'a/0.png'"),
        ("file,label,split\na/0.png,good,spring\n", "splits must be .* line 2: 'spring'"),
        ("file,label,mask\na/0.png,bad,m.png\n", "masks must be .* line 2: 'm.png'"),
        ('file,label\n"a/0.png,good\n', "must be a table"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(write: Write, text: str, words: str) -> None:
    root = write(*several("a", count=2))
    with pytest.raises(InputError, match=words):
        survey(root, labels=table(root, text))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        survey(root, labels=root / "nowhere.csv")


def test_labels_go_with_a_folder(write: Write) -> None:
    root = write(*several("a", count=2))
    with pytest.raises(InputError, match="go with a folder, got 2 files"):
        find_sources([root / "a/0.png", root / "a/1.png"], labels=root / "x.csv")


# What jaxad wrote itself


def results(folder: Path, *, begun: str = "started.json") -> None:
    """A folder as `jaxad score --maps png16` leaves it, or leaves it when it is stopped."""
    for name in ("pictures/000000.jpg", "maps/000000.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 6)).save(folder / name)
    texts = {
        "started.json": json.dumps({"part": "x", "threshold": 1.0, "maps": "png"}),
        "results.csv": ",".join(COLUMNS) + "\r\n",
        "run.json": json.dumps({"jaxad": "0.1.0", "threshold": {}, "counts": {}}),
    }
    (folder / begun).write_text(texts[begun])


@pytest.mark.parametrize("begun", ["started.json", "results.csv", "run.json"])
@pytest.mark.parametrize("where", ["out", "deep/er/any name", "."])
def test_results_are_never_photographs(write: Write, begun: str, where: str) -> None:
    root = write("0.png", "1.png")
    results(root / where, begun=begun)
    (root / "out2").mkdir()
    (root / "a.jaxad").write_bytes(b"x")
    found = survey(root)
    assert [item.path.name for item in found.train] == ["0.png", "1.png"]
    assert [one.name for one in find_sources(root).images] == ["0.png", "1.png"]
    own = {path.name for path, reason in found.not_used if reason.startswith("what jaxad wrote itself")}
    assert own == {"pictures", "maps", begun, "a.jaxad"}


def test_photographs_beside_results_are_kept(write: Write) -> None:
    root = write("out/photo.png", "out/pictures/mine.png")
    results(root / "out")
    assert [item.path.name for item in survey(root).train] == ["photo.png", "mine.png"]
    results(root / "alone")
    with pytest.raises(InputError, match="must hold images .* jaxad wrote itself: 'maps', 'pictures'"):
        survey(root / "alone")


def test_results_never_replace_photographs(write: Write) -> None:
    root = write("pictures/000000.jpg")
    before = (root / "pictures/000000.jpg").read_bytes()
    with pytest.raises(InputError, match="holds a folder 'pictures' that is of no run"):
        Output(root, {"part": "x", "threshold": 1.0, "maps": None}, resume=False)
    assert (root / "pictures/000000.jpg").read_bytes() == before


def test_figures_of_a_run_and_checkpoints_are_left_aside(write: Write) -> None:
    root = write("0.png", "demo/detections.png", "demo/roc.png", "demo/photo.png", "kept/3/arrays/x.png")
    (root / "demo/results.json").write_text(json.dumps({"environment": {}, "auroc": 1.0}))
    (root / "kept/3/_CHECKPOINT_METADATA").write_text("{}")
    assert [item.path.name for item in survey(root).train] == ["0.png", "photo.png"]


@pytest.mark.parametrize("folder", ["@eaDir", "__MACOSX", "#recycle", "@Recycle", "$RECYCLE.BIN", "thumbnails"])
@pytest.mark.parametrize("above", ["", "deep/er/"])
def test_what_systems_leave_in_folders_is_no_photograph(write: Write, folder: str, above: str) -> None:
    root = write(f"{above}0.png", f"{above}{folder}/0.png/SYNOPHOTO_THUMB_M.jpg")
    (root / above / "Thumbs.db").write_bytes(b"x")
    found = survey(root)
    kept = folder == "thumbnails"
    assert len(found.train) == 1 + kept
    reasons = {found.name(path): reason for path, reason in found.not_used}
    assert reasons.pop(f"{above}Thumbs.db") == "no image by its extension .db"
    assert reasons == ({} if kept else {f"{above}{folder}": reasons.get(f"{above}{folder}")})
    assert kept or "no photographs" in reasons[f"{above}{folder}"]
    assert [one.name for one in find_sources(root).images] == [f"{above}0.png"] + kept * [
        f"{above}{folder}/0.png/SYNOPHOTO_THUMB_M.jpg"
    ]


def test_images_of_kinds_that_cannot_be_read_are_named(write: Write) -> None:
    root = write("0.png")
    (root / "a.heic").write_bytes(b"x")
    (root / "b.AVIF").write_bytes(b"x")
    reasons = {path.name: reason for path, reason in survey(root).not_used}
    assert "HEIC" in reasons["a.heic"]
    assert "AVIF" in reasons["b.AVIF"]
    assert [one.name for one in find_sources(root).images] == ["0.png", "a.heic", "b.AVIF"]
