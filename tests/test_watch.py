"""Photographs that arrive: scored once each, whatever happens to them, to the disk and to the process meanwhile."""

import csv
import dataclasses
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

from jaxad._check import InputError
from jaxad.folders import arrivals, fit_folder, score_folder, watch_folder, watching
from jaxad.images import read_photograph
from jaxad.pipeline import Pipeline, load_pipeline, scoring
from jaxad.report import write_report
from jaxad.results import read_results
from jaxad.results.tables import Growing, whole_rows
from tests.browser import open_browser
from tests.photograph_folder import AT_ONCE, photograph, save, write_set

pytestmark = pytest.mark.usefixtures("compile_fast")

Step = Callable[[], object]
GOOD, BAD = photograph(100), photograph(200, bad=True)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, compile_fast: None) -> Path:
    """A pipeline whose threshold lies between what `GOOD` and `BAD` score."""
    root = write_set(tmp_path_factory.mktemp("set"))
    fit_folder(root, root.parent / "part.jaxad", recipe=AT_ONCE, rate=0.4)
    return root.parent / "part.jaxad"


@pytest.fixture(scope="module")
def made(bundle: Path) -> Pipeline:
    return load_pipeline(bundle)


@pytest.fixture(scope="module")
def limit(made: Pipeline) -> float:
    good, bad = made.score([GOOD, BAD]).score
    assert good < bad
    return float(good + bad) / 2


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


class Clock:
    """Time that passes only while the watch sleeps; before it goes on, the next step is taken."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps: list[Step] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.steps:
            self.steps.pop(0)()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (watching, arrivals):
        monkeypatch.setattr(module, "time", made)
    return made


def nothing() -> None:
    pass


class Watch:
    """A watch of one folder: what it said, a line each."""

    def __init__(self, made: Pipeline, inbox: Path, clock: Clock, limit: float) -> None:
        self.made, self.inbox, self.clock, self.limit = made, inbox, clock, limit
        self.out = inbox.parent / "out"
        self.said: list[arrivals.Watched] = []
        self.troubles: list[str] = []

    def __call__(self, *steps: Step, until_idle: float | None = 30.0, **options: object) -> dict:
        """Watch while these steps are taken, one a second."""
        self.clock.steps = list(steps)
        given = {"threshold": self.limit, "on_photograph": self.said.append, "on_trouble": self.troubles.append}
        return watch_folder(self.made, self.inbox, self.out, until_idle=until_idle, **{**given, **options})

    def rows(self) -> dict[str, str]:
        """Decisions by name; every name once, each with a picture."""
        rows = whole_rows(self.out / "results.csv", ("",) * 6)
        assert len({row[0] for row in rows}) == len(rows)
        assert all((self.out / "pictures" / f"{number:06}.jpg").stat().st_size for number in range(len(rows)))
        return {row[0]: row[4] for row in rows}

    def errors(self) -> dict[str, str]:
        rows = whole_rows(self.out / "errors.csv", ("",) * 2)
        assert len({row[0] for row in rows}) == len(rows)
        return dict(rows)


@pytest.fixture
def watch(made: Pipeline, inbox: Path, clock: Clock, limit: float) -> Watch:
    return Watch(made, inbox, clock, limit)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def arriving(inbox: Path, name: str, pixels: np.ndarray = GOOD) -> Step:
    return lambda: save(inbox / name, pixels)


# What arrives


def test_what_arrives_is_scored_as_by_score(watch: Watch, made: Pipeline, inbox: Path, tmp_path: Path) -> None:
    save(inbox / "first.png", GOOD)
    run = watch(arriving(inbox, "b/second.png", BAD), arriving(inbox, "third.png", photograph(101)))
    assert [one.file for one in watch.said] == ["first.png", "b/second.png", "third.png"]
    assert [one.anomalous for one in watch.said] == [False, True, False]
    whole = score_folder(made, inbox, tmp_path / "whole", threshold=watch.limit)
    assert run["counts"] == whole["counts"] == {"scored": 3, "anomalous": 1, "failed": 0}
    assert run.keys() == whole.keys()
    expected = {image["file"]: image for image in read_results(tmp_path / "whole").images}
    for image in read_results(watch.out).images:
        same = expected[image["file"]]
        assert image["score"] == pytest.approx(same["score"], rel=1e-5)
        assert [region["box"] for region in image["regions"]] == [region["box"] for region in same["regions"]]
        assert (image["defect"], image["decision"]) == ("", same["decision"])


def test_it_ends_when_nothing_is_left(watch: Watch, inbox: Path) -> None:
    assert watch(until_idle=0.0)["counts"]["scored"] == 0
    save(inbox / "a.png", GOOD)
    (inbox / "broken.png").write_bytes(b"x")
    assert watch(until_idle=0.0)["counts"] == {"scored": 1, "anomalous": 0, "failed": 1}


def test_photographs_of_one_size_are_one_program(watch: Watch, inbox: Path, bundle: Path) -> None:
    watch.made = load_pipeline(bundle)
    scoring._judge_batch.clear_cache()
    for index in range(5):
        save(inbox / f"{index}.png", photograph(index))
    watch(arriving(inbox, "later.png"))
    assert len(watch.rows()) == 6
    assert scoring._judge_batch._cache_size() == 1


def test_score_goes_on_with_it_and_it_with_score(watch: Watch, made: Pipeline, inbox: Path) -> None:
    save(inbox / "a.png", GOOD)
    score_folder(made, inbox, watch.out, threshold=watch.limit)
    watch(arriving(inbox, "b.png", BAD))
    assert [one.file for one in watch.said] == ["b.png"]
    save(inbox / "c.png", GOOD)
    score_folder(made, inbox, watch.out, threshold=watch.limit, resume=True)
    assert watch.rows() == {"a.png": "normal", "b.png": "anomalous", "c.png": "normal"}


def test_results_inside_the_folder_are_no_photographs(watch: Watch, inbox: Path) -> None:
    watch.out = inbox / "results"
    run = watch(arriving(inbox, "a.png", BAD), maps="png")
    assert watch.rows() == {"a.png": "anomalous"}
    assert {row["path"] for row in run["not_used"]} >= {"results/pictures", "results/results.csv"}


def test_other_files_are_named(watch: Watch, inbox: Path) -> None:
    (inbox / "notes.txt").write_text("x")
    (inbox / ".hidden.png").write_bytes(b"x")
    (inbox / "link").symlink_to(inbox)
    run = watch()
    assert {row["path"]: row["reason"] for row in run["not_used"]} == {
        "notes.txt": "no image by its extension .txt",
        "link": "a link to a folder, which is not followed",
    }
    assert run["hidden"] == 1
    assert not watch.said


def test_a_folder_that_may_not_be_read_is_named(watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (inbox / "lost+found").mkdir()

    def scandir(path: str, *, real: Callable[..., object] = os.scandir) -> object:
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    run = watch(arriving(inbox, "a.png", BAD))
    assert watch.rows() == {"a.png": "anomalous"}
    reason = "a folder that cannot be listed: Permission denied"
    assert run["not_used"] == [{"path": "lost+found", "reason": reason}]


# Files that are not whole, or change


def test_a_file_that_grows_is_waited_for(watch: Watch, inbox: Path) -> None:
    """Also where it rests for a while, so that it looks settled and cannot be read."""
    whole, file = png(BAD), inbox / "a.png"
    parts = [lambda end=end: file.write_bytes(whole[:end]) for end in (0, 10, 200, 400)]
    seen: list[int] = []
    watch(*parts, *[nothing] * 5, lambda: seen.append(len(watch.said)), lambda: file.write_bytes(whole))
    assert seen == [0]
    assert watch.rows() == {"a.png": "anomalous"}
    assert watch.errors() == {}


def test_no_file_is_scored_before_it_rests(watch: Watch, inbox: Path) -> None:
    """A file that could be read is not while it still changes: what it shows may change too."""
    steps = [arriving(inbox, "a.png", photograph(index)) for index in range(6)]
    watch(*steps, arriving(inbox, "a.png", BAD))
    assert [one.anomalous for one in watch.said] == [True]


def test_a_file_that_changes_while_it_is_read_is_not_judged(
    watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network disks tell of a change only when the file is opened."""
    save(inbox / "a.png", GOOD)
    read = arrivals.read_photographs
    reads = 0

    def changing(paths: Iterator[Path], **options: int) -> Iterator[object]:
        nonlocal reads
        for found in read(paths, **options):
            reads += 1
            if reads == 1:
                save(inbox / "a.png", BAD)
            yield found

    monkeypatch.setattr(arrivals, "read_photographs", changing)
    watch()
    assert reads == 2
    assert [one.anomalous for one in watch.said] == [True]


def test_a_broken_file_is_reported_and_scored_when_it_is_mended(watch: Watch, inbox: Path) -> None:
    (inbox / "a.png").write_bytes(png(GOOD)[:200])
    watch(arriving(inbox, "b.png"), patience=3.0)
    assert watch.errors().keys() == {"a.png"}
    assert "truncated" in watch.errors()["a.png"]
    assert [(one.file, one.score is None) for one in watch.said] == [("b.png", False), ("a.png", True)]
    watch(arriving(inbox, "a.png"), patience=3.0)
    assert watch.errors() == {}
    assert watch.rows().keys() == {"a.png", "b.png"}


def test_mended_while_it_is_watched(watch: Watch, inbox: Path) -> None:
    (inbox / "a.png").write_bytes(b"no photograph")
    watch(*[nothing] * 6, arriving(inbox, "a.png"), patience=2.0)
    assert [one.score is None for one in watch.said] == [True, False]
    assert (watch.errors(), watch.rows()) == ({}, {"a.png": "normal"})


def test_what_cannot_be_scored_is_reported(watch: Watch, inbox: Path) -> None:
    (inbox / "gone.png").symlink_to("nowhere.png")
    run = watch(arriving(inbox, "small.png", photograph(0, (3, 3))))
    assert watch.errors().keys() == {"small.png", "gone.png"}
    assert run["counts"] == {"scored": 0, "anomalous": 0, "failed": 2}
    assert len(watch.said) == 2


def test_a_photograph_that_is_replaced_is_scored_anew(watch: Watch, inbox: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save(inbox / name, GOOD)
    watch(nothing, nothing, arriving(inbox, "a.png", BAD))
    assert watch.rows() == {"b.png": "normal", "c.png": "normal", "a.png": "anomalous"}
    strips = sorted((watch.out / "pictures").iterdir())
    bright = [np.asarray(Image.open(strip))[:, :40].max() > 200 for strip in strips]
    assert bright == [row == "anomalous" for row in watch.rows().values()]
    watch(arriving(inbox, "b.png", BAD))
    assert [name for name, decision in watch.rows().items() if decision == "anomalous"] == ["a.png", "b.png"]


def test_results_of_photographs_that_were_moved_away_stay(watch: Watch, inbox: Path) -> None:
    save(inbox / "a.png", BAD)
    (inbox / "broken.png").write_bytes(b"x")
    watch((inbox / "a.png").exists, nothing, nothing, (inbox / "a.png").unlink, patience=0.0)
    (inbox / "broken.png").unlink()
    run = watch(arriving(inbox, "b.png"))
    assert watch.rows() == {"a.png": "anomalous", "b.png": "normal"}
    assert watch.errors().keys() == {"broken.png"}
    assert run["counts"] == {"scored": 2, "anomalous": 1, "failed": 1}


def test_photographs_of_another_scale_are_doubted(watch: Watch, inbox: Path) -> None:
    save(inbox / "a.png", photograph(0))
    watch.made = dataclasses.replace(watch.made, sides=(30.0, 40.0))
    assert watch()["warnings"] == []
    watch.made, watch.out = dataclasses.replace(watch.made, sides=(3.0, 4.0)), inbox.parent / "other"
    (told,) = watch()["warnings"]
    assert "much larger or smaller than all that were fitted on: 1, first 'a.png'" in told


def test_removed_before_its_turn_it_is_reported(watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png"):
        save(inbox / name, GOOD)

    def removing(*arguments: object, **options: object) -> object:
        (inbox / "b.png").unlink()
        return score(*arguments, **options)

    score = arrivals.score_photographs
    read = arrivals.read_photographs
    # One by one, or both would be in memory already.
    monkeypatch.setattr(
        arrivals,
        "read_photographs",
        lambda paths, **_: (found for path in paths for found in read([path], workers=1)),
    )
    monkeypatch.setattr(arrivals, "score_photographs", removing)
    watch(until_idle=5.0, patience=100.0)
    assert watch.rows().keys() == {"a.png"}
    assert watch.errors() == {"b.png": "there is no such file"}
    monkeypatch.setattr(arrivals, "score_photographs", score)
    watch(arriving(inbox, "b.png"))
    assert watch.rows().keys() == {"a.png", "b.png"}
    assert watch.errors() == {}


# Whatever stops it


@pytest.mark.parametrize("place", range(7))
def test_stopped_anywhere_it_goes_on(watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """A new process reads the disk alone, and so does a new watch; here it is stopped at the writes, one by one."""
    for index in range(3):
        save(inbox / f"{index}.png", BAD)
    writes = 0
    add = Growing.add

    def stopping(self: Growing, text: str) -> None:
        nonlocal writes
        if writes == place:
            writes += 1
            os.write(self._file.fileno(), text.encode()[: len(text) // 2])  # what a killed process leaves behind
            raise SystemExit
        writes += 1
        add(self, text)

    monkeypatch.setattr(Growing, "add", stopping)
    with pytest.raises(SystemExit):
        watch()
    assert not (watch.out / "run.json").exists()
    watch()
    assert watch.rows() == dict.fromkeys(("0.png", "1.png", "2.png"), "anomalous")
    assert {image["file"]: len(image["regions"]) for image in read_results(watch.out).images} == dict.fromkeys(
        ("0.png", "1.png", "2.png"), 1
    )


def test_an_interruption_leaves_a_whole_folder(watch: Watch, inbox: Path) -> None:
    save(inbox / "a.png", BAD)

    def interrupt() -> None:
        raise KeyboardInterrupt

    ends: list[dict] = []
    with pytest.raises(KeyboardInterrupt):
        watch(nothing, nothing, interrupt, until_idle=None, on_end=ends.append)
    assert [run["counts"]["scored"] for run in ends] == [1]
    assert read_results(watch.out).run["counts"] == {"scored": 1, "anomalous": 1, "failed": 0}
    assert "a.png" in (watch.out / "report.html").read_text()


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """The operating system refuses what makes a file larger than this, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 600, 1000])
def test_a_full_disk_is_said_once_and_waited_for(watch: Watch, inbox: Path, size: int) -> None:
    """Of the sizes the first stops all, the others a table, its stamps or a picture."""
    save(inbox / "a.png", BAD)
    full = no_room(size)
    seen: list[tuple[int, dict[str, str]]] = []

    def more() -> None:
        for index in range(4):
            save(inbox / f"{index}.png", BAD)
        full.__enter__()

    def room() -> None:
        seen.append((len(watch.troubles), watch.rows()))
        text = (watch.out / "results.csv").read_text()
        assert text.endswith("\n")
        full.__exit__(None, None, None)

    watch(nothing, nothing, more, *[nothing] * 6, room)
    assert (seen[0][0], len(watch.troubles)) == (1, 2)
    assert watch.troubles[1] == f"going on: results in {str(watch.out)!r} can be written again"
    assert watch.troubles[0].startswith(f"waiting: results in {str(watch.out)!r} cannot be written: File too large")
    assert seen[0][1].keys() < watch.rows().keys() == {"a.png", "0.png", "1.png", "2.png", "3.png"}
    assert sorted(one.file for one in watch.said) == sorted(watch.rows())
    assert read_results(watch.out).images[0]["regions"]


def test_a_disk_that_stays_full_ends_it(watch: Watch, inbox: Path) -> None:
    save(inbox / "a.png", BAD)
    watch.out.mkdir()
    with no_room(0), pytest.raises(InputError, match="cannot be written: File too large; mend that, and the same"):
        watch()
    assert watch()["counts"]["scored"] == 1


def test_no_table_holds_half_a_row(tmp_path: Path) -> None:
    table = Growing(tmp_path / "table.csv", "head\r\n", durable=True)
    with no_room(20), pytest.raises(OSError, match="File too large"):
        table.add("a row of more than twenty bytes\r\n")
    assert (tmp_path / "table.csv").read_text() == "head\n"
    table.add("row\r\n")
    table.close()
    assert (tmp_path / "table.csv").read_text() == "head\nrow\n"


def test_a_folder_that_vanishes_is_waited_for(watch: Watch, inbox: Path) -> None:
    save(inbox / "a.png", BAD)
    away = inbox.parent / "away"
    save(away / "b.png", GOOD)
    back = [lambda: shutil.copy2(inbox.parent / "hidden" / "a.png", away), lambda: away.rename(inbox)]
    watch(nothing, nothing, lambda: inbox.rename(inbox.parent / "hidden"), *[nothing] * 5, *back)
    assert watch.troubles == [
        f"waiting: {str(inbox)!r} must be a folder of images, and there is no such folder",
        f"going on: folder {str(inbox)!r} is there again",
    ]
    assert watch.rows() == {"a.png": "anomalous", "b.png": "normal"}
    assert [one.file for one in watch.said] == ["a.png", "b.png"]


@pytest.mark.parametrize("said", [True, False])
def test_results_that_vanish_while_nothing_comes_are_waited_for(watch: Watch, inbox: Path, said: bool) -> None:
    """Whether the page is up to date then, or about to be written anew."""
    save(inbox / "a.png", BAD)
    hidden = watch.out.with_name("hidden")
    steps = [nothing] * 8 if said else []
    watch(nothing, *steps, lambda: watch.out.rename(hidden), *[nothing] * 8, lambda: hidden.rename(watch.out))
    assert watch.troubles == [
        f"waiting: results in {str(watch.out)!r} are no longer there; put that folder back",
        f"going on: results in {str(watch.out)!r} can be written again",
    ]
    assert watch.rows() == {"a.png": "anomalous"}


def test_results_that_are_moved_away_while_the_page_is_written(
    watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(inbox / "a.png", BAD)
    hidden = watch.out.with_name("hidden")
    moves = [lambda: watch.out.rename(hidden)]

    def moving(folder: Path, **options: dict) -> Path:
        if moves:
            moves.pop()()
        return write_report(folder, **options)

    monkeypatch.setattr(arrivals, "write_report", moving)
    watch(*[nothing] * 4, lambda: hidden.rename(watch.out))
    assert [words.partition(":")[0] for words in watch.troubles] == ["waiting", "going on"]
    assert watch.rows() == {"a.png": "anomalous"}


def test_results_that_are_damaged_while_it_runs_are_mended(watch: Watch, inbox: Path) -> None:
    for name in ("a.png", "b.png"):
        save(inbox / name, BAD)

    def damage() -> None:
        table = watch.out / "results.csv"
        table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]) + '"\n')

    watch(*[nothing] * 8, damage, arriving(inbox, "c.png"))
    assert watch.rows() == {"a.png": "anomalous", "b.png": "anomalous", "c.png": "normal"}
    assert [words.partition(":")[0] for words in watch.troubles] == ["waiting", "going on"]


def test_results_that_cannot_be_mended_are_waited_for(watch: Watch, inbox: Path) -> None:
    save(inbox / "a.png", BAD)
    kept: list[bytes] = []

    def damage() -> None:
        kept.append((watch.out / "started.json").read_bytes())
        (watch.out / "started.json").write_text("x")
        (watch.out / "results.csv").write_text("x")

    restore = [nothing] * 5, lambda: (watch.out / "started.json").write_bytes(kept[0])
    watch(*[nothing] * 4, damage, arriving(inbox, "b.png"), *restore[0], restore[1])
    assert [words.partition(":")[0] for words in watch.troubles] == ["waiting", "waiting", "going on"]
    assert "holds no run that can go on" in watch.troubles[1]
    assert watch.rows() == {"a.png": "anomalous", "b.png": "normal"}


def test_results_that_are_lost_are_told(watch: Watch, inbox: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save(inbox / name, GOOD)
    watch()
    table = watch.out / "results.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]))
    for name in ("b.png", "c.png"):
        (inbox / name).rename(inbox.parent / name)
    told = "photographs that are no longer there and have no result, as results.csv was damaged or they were moved away"
    for _ in range(2):
        run = watch(arriving(inbox, "d.png"))
        assert run["warnings"] == [f"{told} before they were scored: 2, first 'b.png'"]
        assert read_results(watch.out).run["warnings"] == run["warnings"]
    (inbox.parent / "b.png").rename(inbox / "b.png")
    assert watch()["warnings"] == [f"{told} before they were scored: 1, first 'c.png'"]
    assert watch.rows().keys() == {"a.png", "b.png", "d.png"}


@pytest.mark.parametrize("damage", ["results.csv", "pictures/000001.jpg"])
def test_score_tells_what_is_lost_in_the_same_words(watch: Watch, made: Pipeline, inbox: Path, damage: str) -> None:
    """What is still there is scored again."""
    for name in ("a.png", "b.png", "c.png", "d.png"):
        save(inbox / name, GOOD)
    score_folder(made, inbox, watch.out, threshold=watch.limit)
    path = watch.out / damage
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]) if damage == "results.csv" else b"")
    for name in ("a.png", "c.png"):
        (inbox / name).unlink()
    told = (
        "photographs that are no longer there as they were scored, whose results are left out: 1, first 'a.png'",
        "photographs that are no longer there and have no result, as results.csv was damaged or they were moved away "
        "before they were scored: 1, first 'c.png'",
    )
    run = score_folder(made, inbox, watch.out, threshold=watch.limit, resume=True)
    assert (*run["warnings"],) == told
    assert watch.rows().keys() == {"b.png", "d.png"}
    assert score_folder(made, inbox, watch.out, threshold=watch.limit, resume=True)["warnings"] == []


def test_a_broken_file_that_goes_under_another_name_is_not_missed(watch: Watch, inbox: Path) -> None:
    begun = inbox / "begun.png"
    steps = [nothing, nothing, lambda: begun.unlink(), arriving(inbox, "whole.png")]
    watch(lambda: begun.write_bytes(b"x"), *steps)
    assert watch()["warnings"] == []
    assert (watch.rows(), watch.errors()) == ({"whole.png": "normal"}, {})


def test_a_failure_is_said_once(watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried once more by a new process, without another word but when it is scored after all."""
    save(inbox / "small.png", photograph(0, (3, 3)))
    (inbox / "broken.png").write_bytes(b"x")
    save(inbox / "large.png", GOOD)
    watch(max_pixels=30)
    assert sorted(one.file for one in watch.said) == ["broken.png", "large.png", "small.png"]
    before = watch.errors()
    watch(max_pixels=30)
    assert (len(watch.said), watch.errors()) == (3, before)
    watch()
    assert [(one.file, one.anomalous) for one in watch.said[3:]] == [("large.png", False)]
    assert watch.rows() == {"large.png": "normal"}
    assert watch.errors().keys() == {"broken.png", "small.png"}
    (inbox / "broken.png").write_bytes(b"xy")
    watch()
    assert [one.file for one in watch.said[4:]] == ["broken.png"]


def test_a_folder_that_stays_away_ends_it(watch: Watch, inbox: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        watch(inbox.rmdir)


def test_results_that_vanish_are_not_begun_anew(watch: Watch, inbox: Path) -> None:
    save(inbox / "a.png", BAD)
    hidden = watch.out.with_name("hidden")
    steps = [lambda: watch.out.rename(hidden), arriving(inbox, "b.png"), *[nothing] * 4]
    watch(nothing, nothing, *steps, lambda: (shutil.rmtree(watch.out, ignore_errors=True), hidden.rename(watch.out)))
    assert watch.troubles
    assert watch.rows() == {"a.png": "anomalous", "b.png": "normal"}


def test_what_cannot_be_watched_is_refused(watch: Watch, inbox: Path) -> None:
    save(inbox / "a.png", GOOD)
    watch()
    with pytest.raises(InputError, match="holds another run: threshold was"):
        watch(threshold=watch.limit + 1)
    for other in ("s3://b/w", Path("s3://b/w")):
        with pytest.raises(InputError, match="watch takes folders on a disk, .*, got 's3://b/w'; give such a folder"):
            watch_folder(watch.made, inbox, other, until_idle=0.0)
        with pytest.raises(InputError, match="watch takes folders on a disk, .*, got 's3://b/w'; give such a folder"):
            watch_folder(watch.made, other, watch.out, until_idle=0.0)
    watch.out = inbox.parent / "x" / ".." / inbox.name
    with pytest.raises(InputError, match="results must lie apart from the photographs, got .*; choose another folder"):
        watch()
    with pytest.raises(InputError, match="results must lie apart from the photographs, got .*; choose another folder"):
        score_folder(watch.made, inbox, watch.out)
    assert [path.name for path in inbox.iterdir()] == ["a.png"]
    with pytest.raises(InputError, match="poll must be at least 0, got -1.0"):
        watch(poll=-1.0)
    with pytest.raises(InputError, match="poll must be a day at most, 86400 seconds, got inf"):
        watch(poll=float("inf"))
    watch.inbox = inbox / "a.png"
    with pytest.raises(InputError, match=r"a\.png' must be a folder where photographs arrive"):
        watch()


# The report


def test_the_page_is_current_and_not_written_all_the_time(
    watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[float, int]] = []

    def noting(folder: Path, **options: dict) -> Path:
        written.append((watch.clock.now, options["run"]["counts"]["scored"]))
        return write_report(folder, **options)

    monkeypatch.setattr(arrivals, "write_report", noting)
    watch(*(arriving(inbox, f"{index}.png") for index in range(12)), report_every=4.0)
    times = [when for when, _ in written]
    assert written[0] == (0.0, 0)
    assert written[-1][1] == 12
    assert min(np.diff(times)) >= 4.0
    assert len(written) <= 6
    assert "11.png" in (watch.out / "report.html").read_text()


def test_a_long_run_shows_the_newest(watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "IN_REPORT", 2)
    watch(*(arriving(inbox, f"{index}.png") for index in range(3)))
    text = (watch.out / "report.html").read_text()
    assert "0.png" not in text
    assert text.count("<i>") == 2
    write_report(watch.out)
    assert "0.png" in (watch.out / "report.html").read_text()


@pytest.mark.browser
def test_the_page_on_a_phone(watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "IN_REPORT", 4)
    (inbox / "broken.png").write_bytes(b"x")
    watch(*(arriving(inbox, f"{index}.png", BAD if index == 3 else GOOD) for index in range(5)))
    browser: webdriver.Chrome = open_browser()
    try:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
        )
        browser.get((watch.out / "report.html").as_uri())
        assert browser.execute_script("return window.innerWidth") == 390
        totals = browser.find_element(By.ID, "totals").text
        assert totals == "the newest 4 of 5 images · 1 anomalous · 3 normal · 1 could not be scored"
        wide = "return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > 391)"
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
        assert [one.tag_name for one in browser.execute_script(wide)] == []
        assert len(browser.find_elements(By.CSS_SELECTOR, ".card img")) == 4
        if shown := os.environ.get("JAXAD_SCREENSHOTS"):
            browser.save_screenshot(str(Path(shown) / "watch.png"))
    finally:
        browser.quit()


# As a process


def command(bundle: Path, inbox: Path, limit: float, *options: str) -> list[str]:
    words = ["watch", bundle, inbox, "-o", inbox.parent / "out", "--threshold", repr(limit), "--poll", "0.1", *options]
    return [sys.executable, "-m", "tests.quick_command", *map(str, words)]


def decisions(inbox: Path) -> dict[str, str]:
    with (inbox.parent / "out" / "results.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len({row["file"] for row in rows}) == len(rows)
    return {row["file"]: row["decision"] for row in rows}


@pytest.mark.slow
def test_exit_codes_tell_what_was_found(bundle: Path, inbox: Path, limit: float) -> None:
    def ends(*options: str) -> tuple[int, str, str]:
        words = command(bundle, inbox, limit, "--until-idle", "0", "--patience", "0", *options)
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    code, out, err = ends()
    assert (code, err) == (2, f"jaxad: no photograph came to {str(inbox)!r}; check the path\n")
    assert "images/s" not in out
    (inbox / "broken.png").write_bytes(b"x")
    code, out, err = ends("--json")
    assert code == 2
    assert [json.loads(line)["file"] for line in out.splitlines()] == ["broken.png"]
    assert "files that could not be scored: 1" in err
    save(inbox / "good.png", GOOD)
    code, out, _ = ends()
    assert code == 3
    assert any(line.startswith("good.png: ") and line.endswith(" normal") for line in out.splitlines())
    (inbox / "broken.png").write_bytes(png(GOOD))
    assert ends()[0] == 0
    save(inbox / "bad.png", BAD)
    code, out, _ = ends()
    assert code == 1
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("bad.png: ")] == ["ANOMALOUS"]
    code, out, _ = ends("--json")
    assert (code, out) == (1, "")
    inbox.rename(inbox.with_name("away"))
    code, _, err = ends()
    assert code == 2
    assert "Traceback" not in err
    assert "must be a folder where photographs arrive" in err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_again_and_again_nothing_is_lost_or_doubled(bundle: Path, inbox: Path, limit: float) -> None:
    expected, random = {}, np.random.default_rng(0)
    for turn in range(3):
        killed = subprocess.Popen(command(bundle, inbox, limit), stdout=subprocess.PIPE, text=True)
        assert killed.stdout is not None
        for index in range(12):
            name, bad = f"{turn}-{index:02}.png", index % 5 == 0
            save(inbox / name, photograph(1000 * turn + index, bad=bad))
            expected[name] = "anomalous" if bad else "normal"
        while "-06.png: " not in killed.stdout.readline():
            assert killed.poll() is None
        time.sleep(random.uniform(0, 0.1))
        killed.kill()
        killed.communicate()
    stopped = subprocess.run(command(bundle, inbox, limit, "--until-idle", "0.5"), stdout=subprocess.PIPE, check=False)
    assert stopped.returncode == 1
    assert decisions(inbox) == expected
    results = read_results(inbox.parent / "out")
    assert [bool(image["regions"]) for image in results.images] == [
        image["decision"] == "anomalous" for image in results.images
    ]
    for row, image in enumerate(results.images):
        strip = np.asarray(Image.open(inbox.parent / "out" / "pictures" / f"{row:06}.jpg"))[:, :40, 0].astype(int)
        same = read_photograph(inbox / image["file"]).samples[..., 0].astype(int)
        assert np.abs(strip - same).mean() < 6


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_it_with_a_report(
    bundle: Path, inbox: Path, limit: float, number: int, code: int, word: str
) -> None:
    save(inbox / "a.png", BAD)
    (inbox / "notes.txt").write_text("x")
    # A shell's background jobs have it ignored, and so would what they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    words = command(bundle, inbox, limit)
    watched = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    assert watched.stdout is not None
    assert watched.stdout.readline().startswith("a.png: ")
    watched.send_signal(number)
    shown, said = watched.communicate(timeout=60)
    assert (watched.returncode, said) == (
        code,
        f"jaxad: not used: 'notes.txt' (1): no image by its extension .txt\njaxad: {word}\n",
    )
    assert "scored" in shown
    assert read_results(inbox.parent / "out").run["counts"]["anomalous"] == 1
    assert "a.png" in (inbox.parent / "out" / "report.html").read_text()
