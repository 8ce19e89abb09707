"""Mutated files by the thousand: a sentence or an answer, never a traceback, and nothing written."""

import copy
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxad import bundle
from jaxad._check import InputError
from jaxad.images import UnreadableError, read_header, read_photograph
from jaxad.pipeline import load_pipeline
from jaxad.preparation import Preparation
from tests.photograph_folder import WHOLE
from tests.small_pipelines import make_part

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compile_fast")]
IMAGES, BUNDLES, FORGERIES = 6000, 3500, 500


def mutated(draw, content):
    """Bytes with a few spans overwritten, dropped or doubled."""
    altered = bytearray(content)
    for _ in range(int(draw.integers(1, 5))):
        begin = int(draw.integers(0, len(altered) + 1))
        end = begin + int(draw.integers(0, 12))
        what = draw.integers(0, 3)
        altered[begin:end] = (draw.bytes(int(draw.integers(0, 12))), b"", bytes(altered[begin:end]) * 2)[what]
    return bytes(altered)


def encoded_images():
    draw = np.random.default_rng(0)
    for kind, pixels, options in [
        ("PNG", draw.integers(0, 256, (9, 7, 3), np.uint8), {}),
        ("PNG", draw.integers(0, 65536, (9, 7), np.uint16), {}),
        ("JPEG", draw.integers(0, 256, (9, 7, 3), np.uint8), {}),
        ("TIFF", draw.integers(0, 256, (9, 7), np.uint8), {"compression": "tiff_lzw"}),
        ("GIF", draw.integers(0, 256, (9, 7), np.uint8), {}),
        ("BMP", draw.integers(0, 256, (9, 7, 3), np.uint8), {}),
        ("WEBP", draw.integers(0, 256, (9, 7, 3), np.uint8), {}),
    ]:
        held = io.BytesIO()
        Image.fromarray(pixels).save(held, kind, **options)
        yield kind.lower(), held.getvalue()


def files_below(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*")}


@pytest.fixture(scope="module")
def contents(compile_fast):
    """Arrays and document of a part."""
    return make_part(WHOLE, Preparation(1, "letterbox", box=(12, 12)))._contents()


def test_mutated_images_are_read_or_named_with_the_reason(tmp_path):
    draw, kinds = np.random.default_rng(1), list(encoded_images())
    refused = 0
    for count in range(IMAGES):
        kind, content = kinds[count % len(kinds)]
        path = tmp_path / f"image.{kind}"
        path.write_bytes(mutated(draw, content))
        before = files_below(tmp_path)
        for read in (read_header, read_photograph):
            try:
                found = read(path)
            except UnreadableError:
                refused += 1
                continue
            if read is read_photograph:
                assert np.isfinite(found.pixels).all()
                assert 0 <= found.pixels.min() <= found.pixels.max() <= 1
        assert files_below(tmp_path) == before
    assert 0.2 * IMAGES < refused < 2 * IMAGES


def test_mutated_bundles_are_refused(tmp_path, contents):
    draw, path = np.random.default_rng(2), tmp_path / "part.jaxad"
    bundle.write(path, *contents)
    good = path.read_bytes()
    refused = 0
    for _ in range(BUNDLES):
        path.write_bytes(mutated(draw, good))
        try:
            bundle.read(path)
        except InputError:
            refused += 1
        assert list(tmp_path.iterdir()) == [path]
    assert refused > 0.9 * BUNDLES


STRANGE = [None, True, -1, 0, 10**12, 0.5, 1e308, "", "patch_vae", "../../etc", [], [1], [0, 0, 0], {}, {"a": 1}]


def forged(draw, document):
    """A document with one entry, at whatever depth, replaced, left out or added."""
    made = copy.deepcopy(document)
    places = [(made, key) for key in made]
    for holder, key in places:
        inner = holder[key]
        if isinstance(inner, dict | list):
            places += [(inner, k) for k in (inner if isinstance(inner, dict) else range(len(inner)))]
    holder, key = places[int(draw.integers(len(places)))]
    strange = STRANGE[int(draw.integers(len(STRANGE)))]
    what = draw.integers(4)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder["surplus"] = strange
    else:
        holder[key] = strange
    return made


def test_forged_parts_with_a_right_checksum_are_refused_or_whole(tmp_path, contents):
    draw, path = np.random.default_rng(3), tmp_path / "part.jaxad"
    arrays, document = contents
    document = bundle.read(_written(path, arrays, document))[1]
    refused = 0
    for count in range(FORGERIES):
        altered = dict(arrays)
        if count % 3 == 0:
            name = sorted(arrays)[int(draw.integers(len(arrays)))]
            strange = [None, np.zeros(0, np.float32), np.zeros((2, 2, 2), np.int64), np.array(np.nan, np.float32)]
            replacement = strange[int(draw.integers(4))]
            altered.pop(name) if replacement is None else altered.update({name: replacement})
        _written(path, altered, document if count % 3 == 0 else forged(draw, document))
        try:
            load_pipeline(path)
        except InputError:
            refused += 1
    assert refused > 0.3 * FORGERIES


def _written(path, arrays, document):
    bundle.write(path, arrays, document)
    return path
