import importlib.util
import io
import json
import logging
import math
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from jaxad import datasets
from jaxad._check import InputError
from jaxad.datasets import _tfds
from jaxad.datasets.textures import COLUMNS, DEFECTS, PHOTOGRAPHS

# ImageSet


def test_image_set_counts_its_images():
    assert len(datasets.ImageSet(np.zeros((3, 2, 2, 1), np.float32), np.zeros(3, int))) == 3


@pytest.mark.usefixtures("unchecked")
def test_image_set_reports_every_part_that_does_not_fit():
    with pytest.raises(InputError, match=r"several problems(?s:.)*names must hold 3"):
        datasets.ImageSet(np.zeros((3, 2, 2, 1), np.float32), np.zeros(3, int), np.zeros((3, 2, 1), bool), ("good",))


# textures


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise OSError("the network is off in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def places(name, image, mask):
    """Top left corners at which the photograph equals the image off the mask."""
    import skimage.data

    photograph = getattr(skimage.data, name)().astype(np.float32) / np.float32(255)
    rows, columns = np.nonzero(~mask)
    size = len(image)
    fits = np.ones((512 - size + 1, 512 - size + 1), bool)
    for pixel in np.linspace(0, len(rows) - 1, 40).astype(int):
        y, x = rows[pixel], columns[pixel]
        fits &= photograph[y : y + len(fits), x : x + len(fits)] == image[y, x]
    corners = zip(*np.nonzero(fits), strict=True)
    return [(t, s) for t, s in corners if (photograph[t : t + size, s : s + size] == image)[~mask].all()]


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("split", COLUMNS)
def test_texture_crops_equal_the_photograph_off_the_masks(name, split):
    found = datasets.textures(name, split, seed=1, size=64, count=16)
    for image, mask in zip(found.images[..., 0], found.masks, strict=True):
        ((_, left),) = places(name, image, mask)
        assert COLUMNS[split].start <= left <= COLUMNS[split].stop - 64


def test_texture_splits_share_no_pixel():
    assert COLUMNS["train"].stop < COLUMNS["test"].start


@pytest.mark.parametrize("size", [32, 128, 248])
def test_textures_are_half_good_with_masks_on_the_others(size):
    found = datasets.textures("gravel", "test", size=size, count=41)
    assert found.images.shape == (41, size, size, 1)
    assert found.images.dtype == np.float32
    assert 0 <= found.images.min() < found.images.max() <= 1
    assert found.labels.tolist() == [0, 1] * 20 + [0]
    np.testing.assert_array_equal(found.masks.any(axis=(1, 2)), found.labels == 1)
    assert [name == "good" for name in found.names] == [label == 0 for label in found.labels]
    assert {found.names.count(kind) for kind in DEFECTS} == {5}


def test_texture_train_split_is_good():
    found = datasets.textures("grass", "train", count=5)
    assert not found.labels.any()
    assert not found.masks.any()
    assert set(found.names) == {"good"}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_defects_change_most_of_their_mask(name):
    found = datasets.textures(name, "test", count=16, size=64)
    import skimage.data

    photograph = getattr(skimage.data, name)().astype(np.float32) / np.float32(255)
    for image, mask in zip(found.images[1::2, ..., 0], found.masks[1::2], strict=True):
        ((top, left),) = places(name, image, mask)
        changed = photograph[top : top + 64, left : left + 64] != image
        assert changed[mask].mean() > 0.8


def test_crops_seen_by_hand_share_no_windows():
    def nearest(found):
        crops = found.images[..., 0]
        windows = [np.lib.stride_tricks.sliding_window_view(crop, (12, 12)).reshape(-1, 144) for crop in crops]
        apart = windows[0][::37, None] - np.concatenate(windows[1:])[None, ::3]
        return np.sqrt((apart**2).mean(-1)).min()

    plain, by_hand = (datasets.textures("brick", "train", size=48, count=20, by_hand=hand) for hand in (False, True))
    assert nearest(plain) == 0
    assert nearest(by_hand) > 0.02
    assert by_hand.images.shape == plain.images.shape
    assert 0 <= by_hand.images.min() < by_hand.images.max() <= 1


def test_widest_crops_seen_by_hand():
    datasets.textures("brick", "test", size=185, count=8, by_hand=True)
    with pytest.raises(InputError, match="185"):
        datasets.textures("brick", "test", size=186, count=8, by_hand=True)


def test_textures_are_a_function_of_the_seed():
    first, same = (datasets.textures("brick", "test", seed=4, size=64, count=6) for _ in range(2))
    longer = datasets.textures("brick", "test", seed=4, size=64, count=9)
    other = datasets.textures("brick", "test", seed=5, size=64, count=6)
    for field in ("images", "masks", "labels"):
        assert getattr(first, field).tobytes() == getattr(same, field).tobytes()
        assert getattr(first, field).tobytes() == getattr(longer, field)[:6].tobytes()
    assert first.images.tobytes() != other.images.tobytes()


@pytest.mark.parametrize(
    ("name", "split", "options", "words"),
    [
        ("bricks", "test", {}, "unknown texture 'bricks'.*did you mean 'brick'"),
        ("brick", "tests", {}, "unknown split"),
        ("brick", "test", {"size": 16}, "at least 32, got 16"),
        ("brick", "test", {"size": 249}, "at most 248, the width of a split, got 249"),
        ("brick", "test", {"count": 0}, "count"),
        ("brick", "test", {"seed": -1}, "seed"),
    ],
)
def test_textures_refuse(name, split, options, words):
    with pytest.raises(InputError, match=words):
        datasets.textures(name, split, **options)


# tfds


@pytest.fixture
def no_counts(monkeypatch):
    """No set has known numbers of images a class, so that invented ones are no strangers."""
    monkeypatch.setattr(_tfds, "_COUNTS", {})


@pytest.fixture
def decodings(monkeypatch, tmp_path, no_counts):
    """Let `tfds` decode twelve invented images of a folder that holds one dummy file; list the decodings."""
    calls = []

    def decode(name, split, root):
        calls.append((name, split))
        images = np.arange(12 * 4, dtype=np.uint8).reshape(12, 2, 2, 1)
        return _tfds._Decoded(images, np.arange(12) % 3, np.array(["zero", "one", "two"]))

    (tmp_path / "sets" / "mnist").mkdir(parents=True)
    (tmp_path / "sets" / "mnist" / "records").write_bytes(b"dummy")
    monkeypatch.setattr(_tfds, "_decode", decode)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "sets"))
    monkeypatch.setenv("JAXAD_CACHE_DIR", str(tmp_path / "cache"))
    return calls


@pytest.fixture
def own_copy(tfds_dir, tmp_path):
    """A folder with a copy of MNIST's test split that a test may damage."""
    root = tmp_path / "sets"
    shutil.copytree(Path(tfds_dir) / "mnist", root / "mnist", ignore=shutil.ignore_patterns("*train*"))
    return root


def test_tfds_selects_labels_in_order(decodings):
    some = datasets.tfds("mnist", "test", labels=[2, 0])
    rows = [0, 2, 3, 5, 6, 8, 9, 11]
    np.testing.assert_array_equal(some.labels, [0, 2] * 4)
    np.testing.assert_array_equal(some.images[:, 0, 0, 0], np.array(rows, np.float32) * 4 / np.float32(255))
    assert some.names == ("zero", "two") * 4


def test_tfds_decodes_each_split_once(decodings):
    first = datasets.tfds("mnist", "test")
    datasets.tfds("mnist", "train")
    again = datasets.tfds("mnist", "test")
    assert decodings == [("mnist", "test"), ("mnist", "train")]
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert first.names == again.names


def test_tfds_cache_follows_the_files(decodings, tmp_path):
    datasets.tfds("mnist", "test")
    os.utime(tmp_path / "sets" / "mnist" / "records", (1, 1))
    datasets.tfds("mnist", "test")
    datasets.tfds("mnist", "test")
    assert len(decodings) == 2


def test_tfds_cache_keeps_folders_apart(decodings, tmp_path):
    shutil.copytree(tmp_path / "sets", tmp_path / "copy")
    datasets.tfds("mnist", "test")
    datasets.tfds("mnist", "test", data_dir=tmp_path / "copy")
    assert len(decodings) == 2


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "text", "other"])
def test_tfds_rebuilds_a_damaged_cache(decodings, tmp_path, damage):
    whole = datasets.tfds("mnist", "test")
    (file,) = (tmp_path / "cache").iterdir()
    content = file.read_bytes()
    # The pixels lie in the archive's member images.npy, behind a header of 128 bytes.
    pixels = content.index(b"\x93NUMPY", content.index(b"images.npy")) + 130
    if damage == "other":
        np.savez(file, images=np.zeros(3))
    else:
        noise = content[:pixels] + b"!!!" + content[pixels + 3 :]
        file.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "noise": noise, "text": b"text"}[damage])
    np.testing.assert_array_equal(datasets.tfds("mnist", "test").images, whole.images)
    datasets.tfds("mnist", "test")
    assert len(decodings) == 2
    assert list((tmp_path / "cache").iterdir()) == [file]


def test_tfds_does_without_a_cache_and_says_so(decodings, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="JAXAD_CACHE_DIR"):
        found = datasets.tfds("mnist", "test", cache_dir=tmp_path / "file")
    assert len(found) == 12


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([], "at least one class"),
        (1, "list of at least one class such as .1., or None for all, got 1"),
        ([1, 3], "unknown label of mnist '3': choose one of 0, 1, 2"),
    ],
)
def test_tfds_refuses_labels(decodings, labels, words):
    with pytest.raises(InputError, match=words):
        datasets.tfds("mnist", "test", labels=labels)


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.usefixtures("no_counts")  # whatever lies under a name is to be read as it is
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_tfds_keeps_the_records_as_they_are(tfds_dir, tmp_path, name):
    found = datasets.tfds(name, "test", data_dir=tfds_dir, cache_dir=tmp_path)
    assert found.images.shape == (10000, 28, 28, 1)
    assert found.images.dtype == np.float32
    assert found.masks is None
    import tensorflow_datasets

    builder = tensorflow_datasets.builder(name, data_dir=tfds_dir)
    records = builder.as_data_source("test")
    for index in (0, 1, 4321, 9999):
        record = records[index]
        np.testing.assert_array_equal(np.rint(found.images[index] * 255), record["image"])
        assert found.labels[index] == record["label"]
        assert found.names[index] == builder.info.features["label"].int2str(record["label"])


@pytest.mark.mnist
def test_tfds_imports_nothing_slow_for_a_cached_set(own_copy, tmp_path):
    datasets.tfds("mnist", "test", data_dir=own_copy, cache_dir=tmp_path)
    code = (
        "import sys; from jaxad import datasets; datasets.tfds('mnist', 'test', "
        f"data_dir={str(own_copy)!r}, cache_dir={str(tmp_path)!r}); "
        "print({'tensorflow_datasets', 'sklearn', 'skimage', 'matplotlib'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


@pytest.mark.mnist
def test_tfds_refuses_records_that_only_tensorflow_reads(own_copy, tmp_path):
    info = next(own_copy.rglob("dataset_info.json"))
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(InputError, match="stored as tfrecord, which only TensorFlow reads"):
        datasets.tfds("mnist", "test", data_dir=own_copy, cache_dir=tmp_path)


@pytest.mark.mnist
@pytest.mark.parametrize("left", [0, 5000])
def test_tfds_refuses_records_that_are_cut_off(own_copy, tmp_path, left):
    records = next(own_copy.rglob("*test*"))
    records.write_bytes(records.read_bytes()[:left])
    with pytest.raises(InputError, match=r"cannot be read .*remove .*and prepare it anew"):
        datasets.tfds("mnist", "test", data_dir=own_copy, cache_dir=tmp_path)


@pytest.mark.mnist
def test_tfds_refuses_a_split_whose_records_are_missing(own_copy, tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        datasets.tfds("mnist", "train", data_dir=own_copy, cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "split", "words"),
    [
        ("mnits", "train", "unknown data set 'mnits'.*did you mean 'mnist'"),
        ("mnist", "validation", "unknown split 'validation': choose one of train, test"),
    ],
)
def test_tfds_refuses_what_is_not_offered(name, split, words):
    with pytest.raises(InputError, match=words):
        datasets.tfds(name, split)


def test_tfds_refuses_a_folder_that_does_not_exist(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"data_dir must be a folder.*no such folder"):
        datasets.tfds("mnist", "train", data_dir=tmp_path / "nowhere")
    file = tmp_path / "afile"
    file.write_text("")
    with pytest.raises(InputError, match=r"data_dir must be a folder.*it is a file"):
        datasets.tfds("mnist", "test", data_dir=file)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sets").mkdir()
    with pytest.raises(InputError, match="data set 'mnist'"):
        datasets.tfds("mnist", "test", data_dir="~/sets")


def with_tensorflow(monkeypatch, there):
    real = importlib.util.find_spec
    answer = importlib.util.spec_from_loader("tensorflow", None) if there else None
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: answer if name == "tensorflow" else real(name, *a)
    )


def test_tfds_says_how_to_prepare_a_set(tmp_path, monkeypatch, caplog, capfd):
    with_tensorflow(monkeypatch, False)
    with pytest.raises(InputError) as caught:
        datasets.tfds("mnist", "train", data_dir=tmp_path, cache_dir=tmp_path)
    for words in (
        f"not prepared in '{tmp_path}'",
        "TensorFlow, which has to prepare it once, is not installed",
        'pip install "jaxad[prepare]"',
        f"t.builder('mnist', data_dir='{tmp_path}').download_and_prepare(file_format='array_record')",
        "TFDS_DATA_DIR",
    ):
        assert words in str(caught.value)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("absl").disabled


def test_tfds_says_that_the_network_is_off(tmp_path, monkeypatch):
    with_tensorflow(monkeypatch, True)
    with pytest.raises(InputError, match=r"preparing it failed .URLError: .*network is off.*download_and_prepare"):
        datasets.tfds("mnist", "train", data_dir=tmp_path, cache_dir=tmp_path)


@pytest.mark.mnist
def test_tfds_prepares_a_set_where_tensorflow_is(tfds_dir, tmp_path, monkeypatch, capsys):
    import tensorflow_datasets

    def prepare(builder, *, file_format):
        assert file_format == "array_record"
        print("preparing")
        shutil.copytree(Path(tfds_dir) / "mnist" / "3.0.1", builder.data_dir)

    with_tensorflow(monkeypatch, True)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO())
    monkeypatch.setattr(tensorflow_datasets.core.DatasetBuilder, "download_and_prepare", prepare)
    assert len(datasets.tfds("mnist", "test", labels=[1], data_dir=tmp_path, cache_dir=tmp_path)) == 1135
    assert capsys.readouterr() == ("", "preparing\n")


INVENTED = {"mnist": {"test": (4, 4, 4)}, "fashion_mnist": {"test": (3, 4, 5)}, "kmnist": {"test": (5, 4, 3)}}


def test_tfds_warns_of_a_set_under_another_name(decodings, monkeypatch, tmp_path):
    (tmp_path / "sets" / "fashion_mnist").mkdir()
    (tmp_path / "sets" / "fashion_mnist" / "records").write_bytes(b"dummy")
    monkeypatch.setattr(_tfds, "_COUNTS", INVENTED)
    datasets.tfds("mnist", "test")
    words = r"'fashion_mnist' in .* is not what its name says.*\(3, 4, 5\).*counts of 'mnist'.*prepare it anew: pip"
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserWarning, match=words):
            assert len(datasets.tfds("fashion_mnist", "test", labels=[1])) == 4


def test_tfds_warns_of_a_set_with_other_counts(decodings, monkeypatch):
    monkeypatch.setattr(_tfds, "_COUNTS", {"mnist": {"test": (4, 4, 5)}})
    with pytest.warns(UserWarning, match=r"'mnist' .* should have \(4, 4, 5\) images a class and has \(4, 4, 4\)"):
        datasets.tfds("mnist", "test")


@pytest.mark.slow
@pytest.mark.mnist
def test_tfds_knows_the_counts_of_mnist(tfds_dir, tmp_path):
    """Warnings are errors in this suite."""
    assert len(datasets.tfds("mnist", "test", data_dir=tfds_dir, cache_dir=tmp_path)) == 10000


# mixtures


def flat(count, first, *, names=()):
    """Images of one grey value each, so that each is known again in any order."""
    values = (first + np.arange(count)) / np.float32(255)
    images = np.broadcast_to(values.astype(np.float32).reshape(-1, 1, 1, 1), (count, 3, 2, 1)).copy()
    return datasets.ImageSet(images, np.full(count, 7), names=names)


def grey_values(found):
    return np.rint(found.images[:, 0, 0, 0] * 255).astype(int)


@pytest.mark.parametrize(("share", "hidden"), [(0.0, 0), (0.049, 0), (0.05, 1), (0.3, 6), (0.99, 19)])
def test_contaminate_keeps_all_normal_images_and_counts_the_others(share, hidden):
    found = datasets.contaminate(flat(20, 0), flat(30, 100), share=share)
    assert found.images.shape == (20 + hidden, 3, 2, 1)
    assert found.images.dtype == np.float32
    assert found.labels.sum() == hidden
    values = grey_values(found)
    np.testing.assert_array_equal(np.sort(values[found.labels == 0]), np.arange(20))
    assert len(set(values[found.labels == 1].tolist())) == hidden
    np.testing.assert_array_equal(found.labels, values >= 100)
    assert found.names == tuple("anomaly" if label else "normal" for label in found.labels)


def test_contaminate_keeps_the_names():
    one, three = (tuple(f"{word} {i}" for i in range(4)) for word in ("one", "three"))
    found = datasets.contaminate(flat(4, 0, names=one), flat(4, 100, names=three), share=0.5)
    assert found.names == tuple(f"three {v - 100}" if v >= 100 else f"one {v}" for v in grey_values(found).tolist())


def test_contaminate_is_a_function_of_the_seed():
    def draw(**options):
        return grey_values(datasets.contaminate(flat(20, 0), flat(30, 100), share=0.3, **options)).tolist()

    assert draw() == draw(seed=42)
    assert draw(seed=1) == draw(seed=1)
    assert draw(seed=1) != draw(seed=2)
    # Not only the order, but the choice too.
    assert sorted(draw(seed=1)) != sorted(draw(seed=2))
    # Anomalies are hidden, not appended.
    assert draw() != sorted(draw())


@pytest.mark.parametrize(
    ("normal", "anomalies", "share", "words"),
    [
        (flat(9, 0), flat(9, 0), -0.1, r"share in \[0, 1\), got -0.1"),
        (flat(9, 0), flat(9, 0), 1.0, r"share in \[0, 1\), got 1.0"),
        (flat(9, 0), flat(9, 0), math.nan, r"share in \[0, 1\), got nan"),
        (flat(100, 0), flat(9, 0), 0.1, "contamination 0.1 of 100 normal images asks for 10 anomalies, there are 9"),
        (flat(9, 0), datasets.noise(9, (2, 3, 1)), 0.5, r"one size, got \(3, 2, 1\) and \(2, 3, 1\)"),
    ],
)
def test_contaminate_refuses(normal, anomalies, share, words):
    with pytest.raises(InputError, match=words):
        datasets.contaminate(normal, anomalies, share=share)


def test_noise_is_standard_normal_and_a_function_of_the_seed():
    found, same, other = (datasets.noise(50, (20, 10, 3), seed=seed) for seed in (1, 1, 2))
    assert (found.images.shape, found.images.dtype) == ((50, 20, 10, 3), np.float32)
    np.testing.assert_array_equal(found.images, same.images)
    assert (found.images != other.images).mean() > 0.999
    # Six standard errors of 30,000 draws.
    assert abs(found.images.mean()) < 6 / math.sqrt(30_000)
    assert abs(found.images.var() - 1) < 6 * math.sqrt(2 / 30_000)
    assert (found.labels == 1).all()
    assert found.names == ("noise",) * 50


def test_noise_refuses_no_images():
    with pytest.raises(InputError, match="count of noise images must be at least 1, got 0"):
        datasets.noise(0, (2, 2, 1))
