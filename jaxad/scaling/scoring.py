"""Scoring a folder of photographs by the workers of a cluster."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from jaxad import pipeline
from jaxad._addresses import AnyPath, at, whole
from jaxad._check import need_at_least
from jaxad.folders import score_folder
from jaxad.folders.photographs import Loop
from jaxad.scaling.cluster import connected, divide, need_fit
from jaxad.scaling.workers import pack, score_by_workers


def score_on_ray(
    made: pipeline.Pipeline,
    source: AnyPath | Sequence[AnyPath],
    out: AnyPath,
    *,
    address: str | None = None,
    cpus: int | float | None = None,
    gpus: int | float | None = None,
    modules: Sequence[str] = (),
    **options: Any,
) -> dict[str, Any]:
    """Score photographs by the workers of a Ray cluster into one folder of results; see `jaxad.folders.score_folder`.

    On machines alike, what is written is to the byte what this process alone would have written, but for times, and
    where it is equal to rounding: behind a file whose header can be read and whose pixels cannot, for batches then
    begin elsewhere.

    Args:
        made: the pipeline.
        source: a folder or files that all machines see under the same path, or at addresses such as s3://bucket/folder.
        out: the folder that this process writes, or an address.
        address: of a cluster that runs, such as "10.0.0.1:6379". By default the one in RAY_ADDRESS or on this machine,
            else one that lasts as long as the call. A Python process that is connected already stays so.
        cpus: CPUs of each worker; by default all of the smallest machine, or 1 where workers have GPUs.
        gpus: GPUs of each worker; by default 1 where there are any.
        modules: modules with recipes of your own, which the workers import too.
        **options: of `score_folder`; `workers` are the threads of each worker.

    Returns:
        What `run.json` holds.

    Raises:
        InputError: as `score_folder`; Ray is not installed or cannot be reached; a machine has another jaxad or none,
            lacks a package or does not see the source; none has so many CPUs or GPUs; or the workers failed.
    """
    for value, what in ((cpus, "cpus"), (gpus, "gpus")):
        need_at_least(0 if value is None else value, 0, what=what)
    loop = _loop(made, _seen(source), address, cpus, gpus, modules)
    return score_folder(made, source, out, loop=loop, **options)


@contextlib.contextmanager
def _loop(
    made: pipeline.Pipeline,
    seen: str | None,
    address: str | None,
    cpus: int | float | None,
    gpus: int | float | None,
    modules: Sequence[str],
) -> Iterator[Loop]:
    """The loop of `score_folder`, by workers that are there as long as it runs."""
    with connected(address) as ray:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        each, most = divide([node["Resources"] for node in nodes], cpus, gpus)
        packed = pack(made, modules)
        need_fit(ray, nodes, packed, seen)
        yield partial(score_by_workers, ray, cpus=each.cpus, gpus=each.gpus, most=most, packed=packed)


def _seen(source: AnyPath | Sequence[AnyPath]) -> str | None:
    """Where the workers must see something too; None where this process sees nothing, which scoring will say."""
    first = source if isinstance(source, str | os.PathLike) else next(iter(source), None)
    try:
        return whole(first) if first is not None and at(first).exists() else None
    except OSError:
        return None
