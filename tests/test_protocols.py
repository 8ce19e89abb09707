"""Every published protocol end to end, on a few invented images a class."""

import functools
import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from jaxad import cli, datasets, load, protocols
from jaxad._check import InputError
from jaxad.checkpoints import Checkpoints
from jaxad.methods import CONV_AE, DENSE_AE, LATENT_OCSVM, PATCH_VAE, SSIM_AE
from jaxad.protocols import dense_ae, output
from jaxad.protocols.patch_vae import PatchVAEExperiment
from jaxad.recipes import from_document
from jaxad.training import DivergedError

pytestmark = pytest.mark.usefixtures("compile_fast", "invented")

PER_CLASS = {"train": 60, "test": 12}
CONV = {"encoder": ((3, 2), (4, 2)), "decoder": ((4, 2), (3, 2)), "latent_dim": 4, "epochs": 2, "batch_size": 16}
DENSE = {"encoder": (16, 2), "decoder": (16,), "epochs": 2}
RECIPES = {
    "conv-ae": replace(CONV_AE, **CONV),
    "ssim-ae": replace(SSIM_AE, **CONV),
    "patch-vae": replace(PATCH_VAE, stride=(8, 8), filters=(4, 4), crops=128, epochs=2, batch_size=32),
    "latent-ocsvm": replace(LATENT_OCSVM, **DENSE, code_activation="linear"),
    "dense-ae": replace(DENSE_AE, **DENSE),
}
PROTOCOLS = {
    **protocols.PROTOCOLS,
    "conv-ae": replace(protocols.PROTOCOLS["conv-ae"], contamination=0.1),
    "dense-ae": replace(protocols.PROTOCOLS["dense-ae"], noise_train=8, noise_test=24),
}
FIGURES = {
    "conv-ae": {"reconstructions", "loss", "errors", "roc"},
    "ssim-ae": {"reconstructions", "triples", "loss", "roc"},
    "patch-vae": {"heatmap_unregularised", "heatmap_regularised", "roc"},
    "latent-ocsvm": {"roc", "codes", "confusion", "loss"},
    "dense-ae": {"loss", "errors", "roc"},
}
SCORES = {
    "conv-ae": {"squared_error"},
    "ssim-ae": {"squared_error", "ssim_loss"},
    "patch-vae": {"unregularised", "regularised", "likelihood", "squared_error"},
    "latent-ocsvm": {"squared_error", "one_class_svm"},
    "dense-ae": {"squared_error"},
}
# Normal and anomalous test images.
COUNTS = {
    "conv-ae": (12, 12),
    "ssim-ae": (120, 120),
    "patch-vae": (12, 12),
    "latent-ocsvm": (12, 12),
    "dense-ae": (120, 24),
}
AUROCS = {
    "conv-ae": {"test", "contaminated"},
    "ssim-ae": {"squared_error", "ssim_loss"},
    "patch-vae": {f"{kind}_{pool}" for kind in ("unregularised", "regularised") for pool in ("mean", "max")},
    "latent-ocsvm": {"codes", "pixels", "squared_error"},
    "dense-ae": {"test"},
}


def run_recipe(recipe, *, protocol=None, **options):
    return protocols.run_recipe(recipe, protocol=protocol or PROTOCOLS[recipe.name], **options)


def invented_set(name, split, *, labels=None, data_dir=None):
    """28 x 28 images of ten classes: class k is a bright band in its own rows, over faint noise."""
    count = PER_CLASS[split]
    generator = np.random.default_rng([len(name), len(split)])
    images = 0.3 * generator.random((10 * count, 28, 28, 1), np.float32)
    every = np.arange(10 * count) % 10
    for label in range(10):
        rows = slice(2 * label, 2 * label + 6)
        images[every == label, rows if name == "mnist" else slice(None), rows] += np.float32(0.6)
    kept = np.isin(every, range(10) if labels is None else labels)
    return datasets.ImageSet(images[kept], every[kept], names=tuple(f"{name} {label}" for label in every[kept]))


@pytest.fixture
def invented(monkeypatch):
    monkeypatch.setattr(datasets, "tfds", invented_set)


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """What a recipe's protocol returns for the seed 3, the folder that it wrote, and the epochs that it told of."""

    @functools.cache
    def run(name):
        out, told = tmp_path_factory.mktemp(name), []
        results = run_recipe(RECIPES[name], out=out, seed=3, on_epoch=lambda done, terms: told.append(done))
        return results, out, told

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_run_writes_all_it_promises(name, run_once):
    recipe, (results, tmp_path, told) = RECIPES[name], run_once(name)
    assert told == [1, 2]
    names = {path.name for path in tmp_path.iterdir()}
    files = {"scores.npz", "detector.jaxad", "results.json"} | ({"image_set.npz"} if name == "conv-ae" else set())
    assert names == {f"{figure}.png" for figure in FIGURES[name]} | files
    for figure in FIGURES[name]:
        assert (tmp_path / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    last = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert last.name == "results.json"

    # JSON has no tuples; else the file is what was returned.
    assert json.loads(json.dumps(results)) == json.loads((tmp_path / "results.json").read_text())
    assert {key: results[key] for key in ("recipe", "dataset", "normal", "anomaly", "seed")} == {
        "recipe": name,
        "dataset": PROTOCOLS[name].dataset,
        "normal": PROTOCOLS[name].normal,
        "anomaly": PROTOCOLS[name].anomaly,
        "seed": 3,
    }
    assert results["auroc"].keys() == AUROCS[name]
    assert all(0 <= value <= 1 for value in results["auroc"].values())
    assert results["final"] == {term: values[-1] for term, values in results["history"].items()}
    assert {len(values) for values in results["history"].values()} == {2}
    assert results["seconds"].keys() == {"load", "compile", "train", "score"}
    assert results["images_per_second"] > 0
    assert ("windows_per_second" in results) == (name == "patch-vae")
    assert from_document(results["settings"]) == recipe
    assert not {"members", "mean", "spread"} & results.keys()

    with np.load(tmp_path / "scores.npz") as file:
        arrays = {key: file[key] for key in file}
    assert arrays.keys() == SCORES[name] | {"anomalous", "labels", "indices"}
    normal, anomalous = COUNTS[name]
    assert (np.count_nonzero(~arrays["anomalous"]), np.count_nonzero(arrays["anomalous"])) == (normal, anomalous)
    np.testing.assert_array_equal(arrays["indices"], np.arange(normal + anomalous))
    assert {len(values) for values in arrays.values()} == {normal + anomalous}

    if name == "dense-ae":
        noise = datasets.noise(24, (28, 28, 1), seed=4).images
        images = np.concatenate([invented_set("mnist", "test").images, noise])
    elif name == "ssim-ae":
        images = np.concatenate([invented_set(other, "test").images for other in ("fashion_mnist", "mnist")])
    else:
        labels = [PROTOCOLS[name].normal, PROTOCOLS[name].anomaly]
        images = invented_set(PROTOCOLS[name].dataset, "test", labels=labels).images
    loaded = load(tmp_path / "detector.jaxad")
    assert loaded.recipe == recipe
    for score, values in loaded.score_all(images, any_range=True).items():
        np.testing.assert_array_equal(values.score, arrays[score])


@pytest.mark.slow
def test_same_seed_same_scores(tmp_path, run_once):
    for folder, seed in (("same", 3), ("other", 4)):
        run_recipe(RECIPES["latent-ocsvm"], out=tmp_path / folder, seed=seed)
    one, same, other = (
        np.load(folder / "scores.npz")["squared_error"]
        for folder in (run_once("latent-ocsvm")[1], tmp_path / "same", tmp_path / "other")
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.slow
def test_contaminated_run_counts_what_it_flags(run_once):
    results, _, _ = run_once("conv-ae")
    assert results["quantiles"].keys() == {"0.999", "0.995"}
    for found in results["quantiles"].values():
        # Of 66 errors one lies above either quantile.
        assert found["flagged"] == 1
        assert 0 <= found["anomalies"] <= 1
        assert found["threshold"] > 0
    assert results["history"].keys() == {"loss", "validation"}


@pytest.mark.slow
def test_svm_run_reports_both_classes(run_once):
    results, out, _ = run_once("latent-ocsvm")
    counts = results["confusion"]
    assert sum(counts.values()) == 24
    with np.load(out / "scores.npz") as file:
        flagged = file["one_class_svm"] > 0
        assert counts["tp"] == np.count_nonzero(flagged & file["anomalous"])
    recall = results["report"]["normal"]["recall"]
    assert recall == pytest.approx(counts["tn"] / (counts["tn"] + counts["fp"]))
    assert results["report"]["anomaly"]["recall"] == pytest.approx(counts["tp"] / (counts["tp"] + counts["fn"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv-ae", "patch-vae", "dense-ae"])
def test_seeds_give_members_mean_and_spread(name, tmp_path):
    results = run_recipe(replace(RECIPES[name], epochs=1), out=tmp_path, seeds=2)
    assert len(results["members"]) == 2
    for figure in AUROCS[name]:
        values = [member["auroc"][figure] for member in results["members"]]
        assert results["auroc"][figure] == values[0]
        assert results["mean"]["auroc"][figure] == pytest.approx(np.mean(values))
        assert results["spread"]["auroc"][figure] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
    # JSON has no tuples; else the file is what was returned.
    assert json.loads(json.dumps(results)) == json.loads((tmp_path / "results.json").read_text())
    assert {f"{figure}.png" for figure in FIGURES[name]} < {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_dense_ae_keeps_pictures_and_checkpoints(tmp_path):
    results = run_recipe(replace(RECIPES["dense-ae"], epochs=20, batch_size=600), out=tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {name for name in names if "_0" in name} == {
        "reconstructions_010.png",
        "reconstructions_020.png",
        "checkpoint_020.jaxad",
    }
    checkpoint, last = (load(tmp_path / f"{name}.jaxad") for name in ("checkpoint_020", "detector"))
    images = invented_set("mnist", "test").images
    np.testing.assert_array_equal(checkpoint.score(images).score, last.score(images).score)
    assert results["history"].keys() == {"loss", "noise"}


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2])
def test_stopped_and_resumed_ends_in_the_same_bits(seeds, tmp_path, monkeypatch, capsys):
    """Stopped between a picture and its checkpoint; the command goes on and draws no earlier picture again."""
    monkeypatch.setattr(dense_ae, "RECONSTRUCT_EVERY", 1)
    recipe = replace(RECIPES["dense-ae"], epochs=3)
    run_recipe(recipe, out=tmp_path / "whole", seeds=seeds)

    save = Checkpoints.save

    def stop(self, epoch, *arguments, **options):
        if epoch == 2:
            raise InterruptedError
        save(self, epoch, *arguments, **options)

    stopped, kept = tmp_path / "stopped", tmp_path / "kept"
    monkeypatch.setattr(Checkpoints, "save", stop)
    with pytest.raises(InterruptedError):
        run_recipe(recipe, out=stopped, seeds=seeds, checkpoints=kept)
    monkeypatch.setattr(Checkpoints, "save", save)
    pictures = {path.name for path in stopped.glob("reconstructions_*.png")}
    assert pictures == {"reconstructions_001.png", "reconstructions_002.png"}
    (stopped / "reconstructions_001.png").write_bytes(b"as it was")

    chosen = {"encoder": "16,2", "decoder": "16", "noise_train": "8", "noise_test": "24", "epochs": "3"}
    command = ["jaxad", "recipe", "run", "dense-ae", "--out", str(stopped), "--checkpoints", str(kept), "--json"]
    command += [word for name, value in chosen.items() for word in ("--set", f"{name}={value}")]
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "1")  # main leaves it alone
    for more, code in (([], 2), (["--resume"], 0)):
        monkeypatch.setattr(sys, "argv", [*command, "--seeds", str(seeds), "--every", "2", *more])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == code
    out, err = capsys.readouterr()
    assert "go on with it by --resume" in err
    assert json.loads(out)["history"] == json.loads((tmp_path / "whole" / "results.json").read_text())["history"]
    assert (stopped / "reconstructions_001.png").read_bytes() == b"as it was"
    assert {path.name for path in stopped.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}
    for name in ("scores.npz", "detector.jaxad", "reconstructions_003.png"):
        assert (stopped / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_training_on_noise_is_one_more_update(tmp_path):
    recipe, protocol = replace(RECIPES["dense-ae"], epochs=3), PROTOCOLS["dense-ae"]
    watched, trained = (
        run_recipe(recipe, protocol=replace(protocol, train_on_noise=on), out=tmp_path / str(on))["history"]["noise"]
        for on in (False, True)
    )
    assert trained[-1] != watched[-1]


@pytest.mark.slow
def test_diverged_run_leaves_no_results(tmp_path):
    recipe = replace(RECIPES["dense-ae"], output_activation="linear", norm=False, weight_decay=0.0)
    run_recipe(replace(recipe, epochs=1), out=tmp_path)
    # The results of an earlier run in the same folder must not vouch for this one.
    with pytest.raises(DivergedError, match="lower the learning rate"):
        run_recipe(replace(recipe, learning_rate=1e30), out=tmp_path)
    assert not (tmp_path / "results.json").exists()
    assert np.isfinite(load(tmp_path / "last_good.jaxad").score(invented_set("mnist", "test").images).score).all()


@pytest.mark.slow
def test_doubts_about_the_data_and_the_detector_are_told(tmp_path, monkeypatch):
    def doubtful(name, split, **options):
        import warnings

        warnings.warn(f"{name} is odd", stacklevel=2)
        return invented_set(name, split, **options)

    monkeypatch.setattr(datasets, "tfds", doubtful)
    results = run_recipe(RECIPES["latent-ocsvm"], out=tmp_path)
    assert results["warnings"][0] == "fashion_mnist is odd"
    assert results["warnings"].count("fashion_mnist is odd") == 1


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("conv-ae", {"validation": 1.0}, r"validation must be a share in \[0, 1\), got 1.0"),
        ("conv-ae", {"contamination": -0.5}, r"contamination must be a share in \[0, 1\), got -0.5"),
        ("patch-vae", {"anomaly": 1}, "normal and anomaly must be different classes, got 1 for both"),
        ("patch-vae", {"contamination": 0.1}, "contamination=0.1 is of no use to .*, which goes by normal, anomaly"),
        ("ssim-ae", {"normal": 3}, "normal=3 is of no use to the protocol of 'ssim-ae', which goes by anomaly_dataset"),
        ("ssim-ae", {"dataset": "mnist"}, "dataset and anomaly_dataset must differ, got mnist for both"),
        ("dense-ae", {"anomaly": 4}, "anomaly=4 is of no use"),
        ("latent-ocsvm", {"noise_test": 5}, "noise_test=5 is of no use"),
        (
            "conv-ae",
            {"experiment": PatchVAEExperiment},
            "of kind 'patch_vae', and 'conv-ae' is of kind 'conv_ae'",
        ),
    ],
)
def test_bad_runs_are_refused(name, change, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run_recipe(RECIPES[name], protocol=replace(PROTOCOLS[name], **change), out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_results_of_another_recipe_are_not_mixed_with(tmp_path):
    (tmp_path / "results.json").write_text('{"recipe": "conv-ae"}')
    with pytest.raises(InputError, match="holds the results of conv-ae; choose another"):
        run_recipe(RECIPES["dense-ae"], out=tmp_path)
    assert (tmp_path / "results.json").exists()


def test_a_recipe_that_was_published_nowhere(tmp_path):
    with pytest.raises(InputError, match="no published protocol to run"):
        protocols.run_recipe(replace(RECIPES["patch-vae"], name="mine"), out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_environment_of_a_checkout_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(output, "PACKAGES", ("numpy", "jaxad-nowhere"))
    found = output.environment()
    assert (found["numpy"], found["jaxad-nowhere"]) == (np.__version__, "not installed")


def test_no_seeds(tmp_path):
    with pytest.raises(InputError, match="seeds must be at least 1, got 0"):
        run_recipe(PATCH_VAE, out=tmp_path, seeds=0)


@pytest.mark.slow
def test_held_out_normals_add_a_calibrated_score(tmp_path):
    results = run_recipe(replace(RECIPES["patch-vae"], holdout=0.25, pool="top"), out=tmp_path, seed=0)
    assert results["auroc"].keys() == AUROCS["patch-vae"] | {"calibrated"}
    assert (tmp_path / "heatmap_calibrated.png").exists()
    with np.load(tmp_path / "scores.npz") as file:
        assert "calibrated" in file.files
