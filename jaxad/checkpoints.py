"""Checkpoints: what a training has reached so far, in a folder from which it goes on after any crash.

Each epoch that is kept is a subfolder, written by orbax beside its place and renamed when it is whole. It carries the
SHA-256 of what it holds, so that damage is found where the disk reports none, and the one before it takes over.
"""

import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxad import bundle
from jaxad._check import InputError, name_changes, need_at_least, need_output_folder

KEPT = 2


class Checkpoints(NamedTuple):
    """Where and how often a training is kept; see `open_checkpoints`."""

    folder: Path
    every: int
    """Epochs between two checkpoints."""
    resume: bool
    """Whether to go on with what the folder holds."""

    def part(self, name: str) -> "Checkpoints":
        """Those of one part of a training that has several."""
        return self._replace(folder=self.folder / name)

    def save(self, epoch: int, tree: PyTree, *, training: Mapping[str, str], report: Mapping[str, bundle.JSON]) -> None:
        """Keep a tree of arrays and a report of the epochs done, and drop all but the newest two.

        Args:
            epoch: epochs done.
            tree: the state.
            training: what is trained, in words or digests; `newest` compares it.
            report: anything that JSON can hold.

        Raises:
            InputError: it cannot be written; the ones before it are still there.
        """
        import orbax.checkpoint as ocp

        leaves = jax.tree.leaves(jax.device_get(tree))
        # By number: a name in a tree may hold anything.
        arrays = {str(index): np.asarray(leaf) for index, leaf in enumerate(leaves)}
        record: dict[str, bundle.JSON] = {"training": dict(training), "report": dict(report)}
        record["sha256"] = bundle.fingerprint(arrays, record)
        items = ocp.args.Composite(arrays=ocp.args.StandardSave(arrays), record=ocp.args.JsonSave(record))
        try:
            with _manager(self.folder) as manager:
                manager.save(epoch, args=items)
        except Exception as error:  # orbax passes on whatever its layers raise
            raise InputError(
                f"the checkpoint of epoch {epoch} cannot be written to {str(self.folder)!r}: {_reason(error)}; make "
                "room or choose another folder; those written before it are whole"
            ) from None

    def newest(self, like: PyTree, *, training: Mapping[str, str]) -> tuple[PyTree, dict[str, Any]] | None:
        """The newest tree and report that can be read, or None where nothing is kept yet.

        A damaged one is removed and warned of; what was left half-written is removed.

        Args:
            like: a tree of the same structure.
            training: what is trained; see `save`.

        Raises:
            InputError: there is something and it is not to be resumed, is of another training, or is all damaged.
        """
        _need_folder(self.folder)
        # orbax would do it from a thread, which may take the next checkpoint for a leftover. Errors are ignored, for
        # another process of the same training may be removing it as well.
        for unfinished in self.folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        with _manager(self.folder) as manager:
            epochs = sorted(manager.all_steps(), reverse=True)
        where = f"folder {str(self.folder)!r}"
        if not epochs:
            return None
        if not self.resume:
            raise InputError(
                f"{where} holds checkpoints of a training already (epoch {epochs[0]}); go on with it by --resume "
                "(in Python resume=True), or choose another folder"
            )
        damaged: dict[int, str] = {}
        for epoch in epochs:
            try:
                arrays, record = _read(self.folder, epoch)
                break
            except Exception as error:  # as above
                damaged[epoch] = _reason(error)
        else:
            raise InputError(
                f"{where} holds no checkpoint that can be read ({damaged[epochs[0]]}); remove it to start anew"
            )
        changes = name_changes(record["training"], training)
        if changes:
            raise InputError(
                f"{where} holds checkpoints of another training: {', '.join(changes)}; choose another folder"
            )
        for broken, reason in damaged.items():
            shutil.rmtree(self.folder / str(broken), ignore_errors=True)
            warnings.warn(
                f"the checkpoint of epoch {broken} in {where} was damaged ({reason}) and is removed; training goes on "
                f"from epoch {epoch}",
                stacklevel=2,
            )
        leaves = [jax.numpy.asarray(arrays[str(index)]) for index in range(len(arrays))]
        return jax.tree.unflatten(jax.tree.structure(like), leaves), record["report"]


def open_checkpoints(
    folder: str | os.PathLike[str] | None, *, every: int = 1, resume: bool = False
) -> Checkpoints | None:
    """The checkpoints in a folder, which is made if need be; None where there is no folder.

    Raises:
        InputError: the folder cannot be written, `every` is below 1, or there is no folder to resume from, or to keep
            them in every so many epochs.
    """
    need_at_least(every, 1, what="every")
    if folder is None:
        if resume:
            raise InputError("resume needs a folder of checkpoints to go on with; name it by checkpoints")
        if every != 1:
            raise InputError(f"every={every} has no use without a folder of checkpoints; name it by checkpoints")
        return None
    return Checkpoints(_need_folder(folder).absolute(), every, resume)


def _need_folder(path: str | os.PathLike[str]) -> Path:
    return need_output_folder(path, what="folder of checkpoints", option="--checkpoints")


def _manager(folder: Path) -> Any:
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, enable_async_checkpointing=False)
    return ocp.CheckpointManager(folder, options=options)


def _read(folder: Path, epoch: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    import orbax.checkpoint as ocp

    items = ocp.args.Composite(arrays=ocp.args.StandardRestore(), record=ocp.args.JsonRestore())
    with _manager(folder) as manager:
        found = manager.restore(epoch, args=items)
    record = dict(found.record)
    if record.pop("sha256") != bundle.fingerprint(found.arrays, record):
        raise InputError("its checksum does not match")
    return found.arrays, record


def _reason(error: Exception) -> str:
    """What went wrong in one line: the layers below add pages."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = str(error).partition("\n")[0][:400]
    return first if isinstance(error, InputError) else f"{type(error).__name__}: {first}"
