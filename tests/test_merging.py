"""Shares of a folder, scored apart and joined: as one run would have done it, or refused with the reason."""

import json
import shutil

import pytest

from jaxad import InputError, load_pipeline
from jaxad.folders import fit_folder, merge_folders, score_folder
from tests.photograph_folder import QUICK, photograph, save, write_set
from tests.test_folders import rows_of, tree_of

pytestmark = pytest.mark.usefixtures("compile_fast")
COUNT = 3


@pytest.fixture(scope="module")
def home(tmp_path_factory, compile_fast):
    """A folder with `set`, one bad file in it, `part.jaxad`, the run `single` and the shares `1` to `3`."""
    home = tmp_path_factory.mktemp("home")
    root = write_set(home / "set")
    fit_folder(root, home / "part.jaxad", recipe=QUICK, rate=0.4)
    (root / "test" / "good" / "broken.png").write_bytes(b"broken")
    save(root / "test" / "good" / "other size.png", photograph(3, (40, 36)))
    made = load_pipeline(home / "part.jaxad")
    score_folder(made, root, home / "single", maps="npy")
    for i in range(1, COUNT + 1):
        score_folder(made, root, home / str(i), maps="npy", share=(i, COUNT))
    return home


@pytest.fixture
def shares(home):
    return [home / str(i) for i in range(1, COUNT + 1)]


def test_merged_is_what_one_run_writes(home, shares, tmp_path):
    counts = [json.loads((share / "run.json").read_text())["counts"] for share in shares]
    assert all(count["scored"] for count in counts)
    run = merge_folders(shares[::-1], tmp_path)
    single = json.loads((home / "single" / "run.json").read_text())
    assert run["counts"] == single["counts"]
    assert run["counts"]["failed"] == 1
    assert run.keys() == single.keys()
    assert tree_of(tmp_path).keys() == tree_of(home / "single").keys()
    by_name = {row["file"]: row for row in rows_of(home / "single")}
    rows = rows_of(tmp_path)
    assert [row["file"] for row in rows] == sorted(by_name)
    for place, row in enumerate(rows):
        wanted = by_name[row["file"]]
        assert float(row["score"]) == pytest.approx(float(wanted["score"]), rel=1e-5)
        assert (row["defect"], row["decision"]) == (wanted["defect"], wanted["decision"])
        share = next(share for share in shares if row["file"] in {one["file"] for one in rows_of(share)})
        source = [one["file"] for one in rows_of(share)].index(row["file"])
        for kind in ("pictures/{:06d}.jpg", "maps/{:06d}.npy"):
            assert (tmp_path / kind.format(place)).read_bytes() == (share / kind.format(source)).read_bytes()
    regions = [(folder / "regions.jsonl").read_text().count("\n") for folder in (tmp_path, home / "single")]
    assert regions[0] == regions[1] > 0


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_a_merge_that_was_stopped_goes_on(shares, tmp_path, rows):
    merge_folders(shares, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    table = (tmp_path / "cut" / "results.csv").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut" / "results.csv").write_bytes(b"".join(table[: rows + 1]))
    merge_folders(shares, tmp_path / "cut")
    assert tree_of(tmp_path / "cut") == tree_of(tmp_path / "whole")


def test_what_makes_no_whole_is_refused(home, shares, tmp_path):
    made = load_pipeline(home / "part.jaxad")
    other = tmp_path / "other"
    score_folder(made, home / "set", other, threshold=3.0, share=(3, COUNT))
    fewer = tmp_path / "fewer"
    score_folder(made, home / "set" / "test" / "good", fewer, maps="npy", share=(3, COUNT))
    unfinished = tmp_path / "unfinished"
    shutil.copytree(shares[2], unfinished)
    (unfinished / "run.json").unlink()
    for given, words in (
        ([], "got none"),
        (shares[:2], "share 3/3 is missing"),
        ([shares[0], *shares], "share 1/3 is given twice"),
        ([*shares[:2], other], "of another run: threshold was .* and is now 3.0, maps was 'npy' and is now None"),
        ([*shares[:2], fewer], "of another run: sources was"),
        ([*shares[:2], unfinished], "share 3/3 in .* is not complete; go on with it by --resume"),
        ([*shares[:2], home / "single"], "holds no share of a run"),
        ([*shares[:2], home], "holds no share of a run"),
    ):
        with pytest.raises(InputError, match=words):
            merge_folders(given, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="holds another run"):
        merge_folders(shares, shares[0])


def test_a_share_goes_on_as_the_same_share_alone(home, tmp_path):
    made = load_pipeline(home / "part.jaxad")
    score_folder(made, home / "set", tmp_path / "out", share=(1, 2))
    for share in ((2, 2), (1, 3), (1, 1)):
        with pytest.raises(InputError, match="another run: share was"):
            score_folder(made, home / "set", tmp_path / "out", share=share, resume=True)
    for share in ((0, 2), (3, 2), (1, 0)):
        with pytest.raises(InputError, match="i from 1 to n"):
            score_folder(made, home / "set", tmp_path / "new", share=share)


def test_more_shares_than_photographs(home, tmp_path):
    made = load_pipeline(home / "part.jaxad")
    files = sorted((home / "set" / "test" / "good").glob("*.png"))[:1]
    for i in (1, 2):
        score_folder(made, files, tmp_path / str(i), share=(i, 2))
    assert merge_folders([tmp_path / "1", tmp_path / "2"], tmp_path / "out")["counts"]["scored"] == 1
