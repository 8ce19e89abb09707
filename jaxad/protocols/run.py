"""Running a recipe's published protocol: train, score, measure, draw, save."""

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxad import fitting
from jaxad._check import InputError, need_at_least, need_output_folder, raise_problems
from jaxad.checkpoints import open_checkpoints
from jaxad.detector import Detector, Scores
from jaxad.protocols.experiment import Data, Experiment, Numbers, Protocol
from jaxad.protocols.output import environment, read_recipe, save_arrays, save_figure, save_results
from jaxad.protocols.published import SETTINGS, need_protocol
from jaxad.recipes import Recipe, to_document
from jaxad.training import OnEpoch

CLASSES = ("normal", "anomaly", "anomaly_dataset")
"""Fields of a protocol that say what is told from what."""
FAULT_IMAGES = 2048
"""Training images that show whether a code is dead or a score constant; more would not change the answer."""


def run_recipe(
    recipe: Recipe,
    *,
    out: str | os.PathLike[str],
    protocol: Protocol | None = None,
    seed: int = 0,
    seeds: int = 1,
    data_dir: str | os.PathLike[str] | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    every: int = 1,
    resume: bool = False,
) -> Numbers:
    """Run a recipe's protocol on its data and write all it publishes to the folder `out`.

    Writes the system's figures, `scores.npz` (image scores by name, `anomalous`, `labels`, `indices` of the test
    images), the detector as `detector.jaxad` and, last of all, `results.json`.

    Args:
        recipe: a recipe, or a variant by `dataclasses.replace`.
        out: folder for the results; made if need be.
        protocol: what to run; by default the one that `PROTOCOLS` has for the recipe's name.
        seed: of all random choices.
        seeds: members to train at once; figures and files are the first one's, the numbers also have the mean and
            the spread (standard deviation) over all of them.
        data_dir: where TFDS has its sets; its own rule where None.
        on_epoch: called with the epochs done and the means of that epoch's loss terms.
        checkpoints: a folder to keep what training has reached in, every so many epochs; see `jaxad.fit`.
        every: epochs between two checkpoints.
        resume: go on with what the folder of checkpoints holds. `out` is then the folder of the run that was stopped,
            where the pictures of earlier epochs are.

    Returns:
        What `results.json` holds.

    Raises:
        InputError: the data is not there, a label or setting is unknown, the folder cannot be written, or checkpoints
            cannot be used; see `jaxad.fit`.
        FitDivergedError: the loss is no longer finite; the detector of the last good epoch is `last_good.jaxad`.
    """
    need_at_least(seeds, 1, what="seeds")
    open_checkpoints(checkpoints, every=every, resume=resume)
    experiment = make_experiment(recipe, protocol or need_protocol(recipe), seed=seed, data_dir=data_dir)
    folder = need_output_folder(out)
    before = read_recipe(folder)
    if before not in ("", recipe.name):
        raise InputError(f"output folder {str(out)!r} holds the results of {before}; choose another with --out")
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        data = experiment.load()
    loaded = time.perf_counter() - began

    # An old one would vouch for what a run that breaks off leaves here.
    (folder / "results.json").unlink(missing_ok=True)
    key, arguments = jax.random.key(seed), (recipe, data.train.images)
    options: dict[str, Any] = {
        "watched": data.watched,
        "extra_batch": data.extra_batch,
        "on_epoch": on_epoch,
        "on_detector": _keeper(experiment, data, folder),
        "checkpoints": checkpoints,
        "every": every,
        "resume": resume,
    }
    try:
        with warnings.catch_warnings(record=True) as damage:
            warnings.simplefilter("always")
            if seeds == 1:
                fitted, history = fitting.fit(key, *arguments, **options)
                members = [fitted]
            else:
                members, history = fitting.fit_members(key, *arguments, count=seeds, **options)
                history = history._replace(terms={name: values[:, 0] for name, values in history.terms.items()})
    except fitting.FitDivergedError as error:
        error.detectors[0].save(folder / "last_good.jaxad")
        raise
    # The first pass compiles; the second one shows what scoring costs.
    _, first_seconds = _scored(members[0], data)
    scored, score_seconds = _scored(members[0], data)

    numbers = [experiment.measure(members[0], data, scored)]
    numbers += [experiment.measure(member, data, _scored(member, data)[0]) for member in members[1:]]
    for name, figure in experiment.draw(members[0], data, scored, numbers[0], history):
        save_figure(folder, name, figure)
    for name, arrays in (("scores.npz", _arrays(data, scored)), *experiment.extra_arrays()):
        save_arrays(folder, name, arrays)
    members[0].save(folder / "detector.jaxad")

    faults = [
        f"member {i}: {fault}" if seeds > 1 else fault
        for i, member in enumerate(members)
        for fault in fitting.find_faults(member, data.train.images[:FAULT_IMAGES])
    ]
    results = {
        "recipe": recipe.name,
        **{name: getattr(experiment.protocol, name) for name in ("dataset", "normal", "anomaly")},
        "seed": seed,
        **numbers[0],
        "final": {name: float(values[-1]) for name, values in history.terms.items()},
        "seconds": {
            "load": loaded,
            "compile": history.compile_seconds + max(0.0, first_seconds - score_seconds),
            "train": history.seconds,
            "score": score_seconds,
        },
        "images_per_second": len(data.test) / score_seconds,
        **experiment.speeds(data, seconds=score_seconds),
        "warnings": list(dict.fromkeys([*(str(doubt.message) for doubt in (*doubts, *damage)), *faults])),
        "settings": to_document(recipe),
        "data": {name: getattr(experiment.protocol, name) for name in SETTINGS},
        "history": {name: values.tolist() for name, values in history.terms.items()},
        "environment": environment(),
    }
    if seeds > 1:
        results["members"] = numbers
        results["mean"] = _over_members(numbers, np.mean)
        results["spread"] = _over_members(numbers, lambda values: np.std(values, ddof=1))
    save_results(folder, results)
    return results


def make_experiment(
    recipe: Recipe, protocol: Protocol, *, seed: int, data_dir: str | os.PathLike[str] | None
) -> Experiment:
    """The experiment of a protocol.

    Raises:
        InputError: the protocol contradicts itself, has no use for something that it says, or not for this recipe.
    """
    experiment, problems = protocol.experiment, []
    if experiment.takes not in [getattr(kind, "kind", None) for kind in type(recipe).__mro__]:
        problems.append(
            f"the protocol measures scores of a recipe of kind {experiment.takes!r}, and {recipe.name!r} is of kind "
            f"{recipe.kind!r}; score the images by a detector"
        )
    usual = {field.name: None if field.default is MISSING else field.default for field in fields(protocol)}
    for name in (*CLASSES, *SETTINGS):
        value = getattr(protocol, name)
        if name not in experiment.uses and value != usual[name]:
            problems.append(
                f"{name}={value} is of no use to the protocol of {recipe.name!r}, which goes by "
                f"{', '.join(experiment.uses)}"
            )
    if protocol.normal is not None and protocol.normal == protocol.anomaly:
        problems.append(f"normal and anomaly must be different classes, got {protocol.normal} for both")
    if protocol.anomaly_dataset == protocol.dataset:
        problems.append(f"dataset and anomaly_dataset must differ, got {protocol.dataset} for both")
    raise_problems(problems)
    return experiment(recipe, protocol, seed=seed, data_dir=data_dir)


def _scored(detector: Detector, data: Data) -> tuple[dict[str, Scores], float]:
    began = time.perf_counter()
    scored = detector.score_all(data.test.images, any_range=data.any_range)
    return scored, time.perf_counter() - began


def _keeper(experiment: Experiment, data: Data, folder: Path) -> Callable[[int, Detector], None] | None:
    if type(experiment).keep is Experiment.keep:
        return None

    def on_detector(done: int, detector: Detector) -> None:
        for name, kept in experiment.keep(done, detector, data):
            if isinstance(kept, Detector):
                kept.save(folder / name)
            else:
                save_figure(folder, name, kept)

    return on_detector


def _arrays(data: Data, scored: dict[str, Scores]) -> dict[str, np.ndarray]:
    indices = np.arange(len(data.test))
    scores = {name: values.score for name, values in scored.items()}
    return {**scores, "anomalous": data.anomalous, "labels": data.test.labels, "indices": indices}


def _over_members(numbers: list[Numbers], reduce: Callable[[Any], Any]) -> Numbers:
    """The numbers of all members reduced leaf by leaf; what a member lacks is left out."""
    reduced: Numbers = {}
    for name, value in numbers[0].items():
        if isinstance(value, dict):
            reduced[name] = _over_members([n[name] for n in numbers], reduce)
        elif all(n.get(name) is not None for n in numbers):
            reduced[name] = float(reduce([n[name] for n in numbers]))
    return reduced
