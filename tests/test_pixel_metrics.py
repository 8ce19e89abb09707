"""Pixel metrics of photographs that come one by one: exact whatever is on disk, in bounded memory."""

import errno
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxad import metrics
from jaxad._check import InputError
from jaxad.metrics import PixelMetrics, ranks
from tests.drawn import examples
from tests.mixed_images import EXACT, mask_of, mixed_images
from tests.references import aupro as reference


def metrics_of(photographs, *, limit=0.3, **options):
    """AUROC and AUPRO of photographs (mask, map, inside)."""
    with PixelMetrics(**options) as pixels:
        for mask, score_map, inside in photographs:
            pixels.add(mask, score_map, inside=inside)
        return pixels.auroc(), pixels.aupro(limit=limit)


def share_of_pairs(masks, maps, inside):
    """AUROC pair by pair."""
    counted = [
        (mask[at], found[at])
        for mask, found, where in zip(masks, maps, inside, strict=True)
        for at in map(tuple, np.argwhere(where))
    ]
    good, bad = ([float(score) for defect, score in counted if bool(defect) is kind] for kind in (False, True))
    return sum((b > g) + 0.5 * (b == g) for b in bad for g in good) / (len(good) * len(bad))


@settings(max_examples=examples(200), deadline=None)
@given(mixed_images(), st.integers(1, 40), st.floats(0.01, 1.0))
def test_what_lies_on_disk_counts_as_in_plain_loops(case, block, limit):
    auroc, aupro = metrics_of(zip(*case, strict=True), block=block, limit=limit)
    assert auroc == pytest.approx(share_of_pairs(*case), abs=EXACT)
    assert aupro == pytest.approx(reference.aupro(*case, limit), abs=EXACT / limit)


@settings(max_examples=examples(100), deadline=None)
@given(mixed_images(), st.integers(1, 40), st.randoms(use_true_random=False))
def test_neither_order_nor_block_changes_a_bit(case, block, random):
    photographs = list(zip(*case, strict=True))
    expected = metrics.pixel_auroc(*case[:2], inside=case[2]), metrics.aupro(*case[:2], inside=case[2])
    random.shuffle(photographs)
    assert metrics_of(photographs, block=block) == expected


@settings(max_examples=examples(100), deadline=None)
@given(mixed_images(), st.integers(1, 40), st.data())
def test_photographs_of_several_types_are_compared_without_loss(case, block, data):
    """Steps of eighths are exact in each type; double precision tells scores apart that others take for equal."""
    masks, maps, inside = case
    types = data.draw(st.lists(st.sampled_from(("f2", "f4", "f8", ">f4", "g")), min_size=len(maps), max_size=len(maps)))
    maps = [one.astype(kind) for one, kind in zip(maps, types, strict=True)]
    maps = [one + np.where(mask, 1e-12, 0) if one.dtype == "f8" else one for mask, one in zip(masks, maps, strict=True)]
    auroc, aupro = metrics_of(zip(masks, maps, inside, strict=True), block=block)
    wide = [one.astype(np.float64) for one in maps]
    assert auroc == pytest.approx(share_of_pairs(masks, wide, inside), abs=EXACT)
    assert aupro == pytest.approx(reference.aupro(masks, wide, inside, 0.3), abs=EXACT / 0.3)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_places_are_found_between_what_stays_in_memory(step, monkeypatch):
    monkeypatch.setattr(ranks, "STEP", step)
    draws = np.random.default_rng(step)
    masks = draws.random((6, 9, 8)) < 0.3
    maps = draws.integers(0, 40, masks.shape).astype(np.float32)
    found = metrics_of(zip(masks, maps, np.ones_like(masks), strict=True), block=50)
    assert found == (metrics.pixel_auroc(masks, maps), metrics.aupro(masks, maps))


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_closed_forms(limit, block):
    mask = mask_of("###.....", "###...#.", "........")[0]
    everywhere = np.ones_like(mask)
    for score_map, auroc, aupro in (
        (mask.astype(np.float32), 1.0, 1.0),
        (-mask.astype(np.float32), 0.0, 0.0),
        (np.full(mask.shape, 0.7), 0.5, pytest.approx(limit / 2, abs=EXACT)),
        # Minus zero is zero.
        (np.where(mask, -0.0, 0.0), 0.5, pytest.approx(limit / 2, abs=EXACT)),
    ):
        assert metrics_of([(mask, score_map, everywhere)] * 5, block=block, limit=limit) == (auroc, aupro)


def test_counts_are_of_what_lies_inside():
    with PixelMetrics(block=3) as pixels:
        pixels.add(mask_of("##..")[0], np.zeros((1, 4)), inside=mask_of(".###")[0])
        pixels.add(mask_of("#")[0], np.zeros((1, 1)), inside=mask_of(".")[0])
        pixels.add(np.zeros((0, 5)), np.zeros((0, 5)))
        assert (pixels.images, pixels.pixels, pixels.defective) == (3, 3, 1)


def test_more_can_come_after_an_answer():
    masks, maps = np.eye(6, dtype=bool)[None].repeat(3, 0), np.arange(108).reshape(3, 6, 6) % 7 / 8
    with PixelMetrics(block=20) as pixels:
        for count in (1, 2, 3):
            pixels.add(masks[count - 1], maps[count - 1])
            assert pixels.auroc() == metrics.pixel_auroc(masks[:count], maps[:count])
            assert pixels.aupro() == metrics.aupro(masks[:count], maps[:count])


@pytest.mark.parametrize(
    ("letters", "inside", "words"),
    [
        ("....", "####", "at least one defect pixel"),
        ("#...", ".###", "at least one defect pixel"),
        ("#...", "....", "at least one defect pixel"),
        ("####", "####", "at least one defect-free pixel"),
        ("#...", "#...", "at least one defect-free pixel"),
    ],
)
def test_good_and_bad_must_both_be_there(letters, inside, words):
    with PixelMetrics(block=1) as pixels:
        pixels.add(mask_of(letters)[0], np.zeros((1, 4)), inside=mask_of(inside)[0])
        for ask in (pixels.auroc, pixels.aupro):
            with pytest.raises(InputError, match=words):
                ask()


def test_nothing_at_all_and_options_out_of_range_are_refused():
    with PixelMetrics() as pixels, pytest.raises(InputError, match="at least one defect pixel"):
        pixels.auroc()
    with PixelMetrics() as pixels, pytest.raises(InputError, match="limit of the false-positive rate"):
        pixels.aupro(limit=0.0)
    with pytest.raises(InputError, match="block of pixels must be at least 1, got 0"):
        PixelMetrics(block=0)


@pytest.mark.slow
@pytest.mark.parametrize("constant", [False, True])
def test_memory_stays_when_ten_times_as_many_come(constant, unchecked):
    peaks = {}
    mask = np.zeros((128, 128), bool)
    mask[30:60, 50:90] = True
    for count in (10, 100):
        draws = np.random.default_rng(0)
        tracemalloc.start()
        with PixelMetrics(block=2**15) as pixels:
            for _ in range(count):
                pixels.add(mask, np.full(mask.shape, 0.5) if constant else draws.random(mask.shape, np.float32))
            assert 0 <= pixels.aupro() <= pixels.auroc() <= 1
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # The scores of all take 6.6 MB.
    assert peaks[100] < 1.2 * peaks[10] < 1.5e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_thousands_of_tiny_photographs_take_one_file(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with PixelMetrics(folder=tmp_path, block=100) as pixels:
        for index in range(3000):
            pixels.add([[True, False]], [[index % 5, index % 3]])
        assert len(os.listdir("/proc/self/fd")) == before + 1
        assert 0 < pixels.auroc() < 1
        # It has no name, so that it vanishes even with a process that is killed.
        assert not list(tmp_path.iterdir())
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_few_photographs_need_no_disk(tmp_path):
    masks, maps = np.eye(5, dtype=bool), np.arange(25.0).reshape(5, 5)
    assert 0 < metrics_of([(masks, maps, np.ones_like(masks))], folder=tmp_path / "none", expected=25)[0] < 1


Usage = namedtuple("Usage", "total used free")


def test_a_disk_without_room_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**10, 8 * 10**9, 2 * 10**9))
    with pytest.raises(InputError, match=r"need 2\.68 GB in the scratch folder .*, which has 2 GB left; set TMPDIR"):
        PixelMetrics(folder=tmp_path, expected=670_000_000)
    PixelMetrics(folder=tmp_path, expected=490_000_000).close()


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be used: No such file or directory; set TMPDIR"):
        PixelMetrics(folder=tmp_path / "none", expected=10**9)
    with PixelMetrics(folder=tmp_path / "none", block=1) as pixels, pytest.raises(InputError, match="set TMPDIR"):
        pixels.add([[1, 0]], [[1.0, 0.0]])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_disk_that_fills_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: open("/dev/full", "r+b"))  # noqa: SIM115
    with (
        pytest.raises(InputError, match=f"after 0 GB of them: {os.strerror(errno.ENOSPC)}; set TMPDIR"),
        PixelMetrics(block=1) as pixels,
    ):
        pixels.add([[1, 0]], [[1.0, 0.0]])


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_a_killed_process_leaves_nothing_behind(tmp_path):
    code = (
        "import os, sys, numpy as np\nfrom jaxad.metrics import PixelMetrics\n"
        "pixels = PixelMetrics(block=100)\npixels.add(np.eye(50), np.eye(50))\n"
        "assert pixels._runs\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert done.returncode == -9
    assert not list(tmp_path.iterdir())
