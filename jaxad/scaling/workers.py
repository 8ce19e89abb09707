"""What the workers of a cluster do: each has the pipeline, and reads and scores the parts that it is given."""

import contextlib
import itertools
import pickle
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxad import pipeline
from jaxad._addresses import whole
from jaxad._check import InputError
from jaxad.folders.photographs import How, Row, Rows, Size, score_admitted
from jaxad.folders.sources import Source
from jaxad.images import batches
from jaxad.methods import import_kinds
from jaxad.results import Result
from jaxad.scaling.held_back import held_back
from jaxad.sharding import make_mesh

PARTS_EACH = 4
"""Parts that every worker gets at least, where there are so many batches, so that none waits long for the last one."""
MOST_BATCHES = 64
"""In a part: what is done again when a worker dies."""
MOST_ATTEMPTS = 5
"""Times that a part is begun before what it holds is blamed."""


class Packed(NamedTuple):
    """A pipeline on its way: the bytes of its file, its fingerprint, and the modules with its recipes."""

    content: bytes
    fingerprint: str
    modules: tuple[str, ...] = ()


class Task(NamedTuple):
    """What all workers do alike."""

    packed: Packed
    sizes: tuple[Size | None, ...]
    how: How
    shares: int


def score_by_workers(
    ray: Any,
    made: pipeline.Pipeline,
    sources: Sequence[Source],
    sizes: Sequence[Size | None],
    how: How,
    *,
    cpus: int | float,
    gpus: int | float,
    most: int,
    packed: Packed,
) -> Rows:
    """The loop of `jaxad.folders.photographs`, by the workers of a cluster."""
    shares = max(1, int(gpus))
    parts = divide_into_parts(sources, sizes, shares=shares, workers=most)
    if not parts:
        return
    count = min(most, len(parts))
    task = Task(packed, tuple(sizes), how, shares)
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    data = ray.data.from_items([{"part": pickle.dumps(part)} for part in parts], override_num_blocks=len(parts))
    data = data.map_batches(
        Worker,
        fn_constructor_args=(task, attempts),
        batch_size=None,
        # One part waits while another is scored; more would wait in vain where a worker has yet to begin.
        compute=ray.data.ActorPoolStrategy(
            min_size=1, max_size=count, initial_size=count, max_tasks_in_flight_per_actor=2
        ),
        num_cpus=cpus,
        num_gpus=gpus,
    )
    data.context.execution_options.preserve_order = True
    data.context.enable_progress_bars = False
    missing = {one.name for one in sources}
    blocks = iter(data.iter_batches(batch_size=None, batch_format="numpy"))
    try:
        with held_back():  # until workers are there
            first = next(blocks, None)
        for block in () if first is None else itertools.chain([first], blocks):
            for cell in block["rows"]:
                rows: list[Row] = [row for row in pickle.loads(cell) if _name(row) in missing]
                missing -= {_name(row) for row in rows}
                yield rows
    except (ray.exceptions.RayError, ValueError) as error:
        raise InputError(f"the workers failed: {reason_of(error)}; mend that and go on by --resume") from None
    if missing:
        raise InputError(f"{len(missing)} photographs did not come back, such as {min(missing)!r}; go on by --resume")


def divide_into_parts(
    sources: Sequence[Source], sizes: Sequence[Size | None], *, shares: int, workers: int
) -> list[list[Source]]:
    """The photographs in parts of whole batches, by what their headers say of their heights and widths.

    A part ends where a batch does when one process scores all of them, so that the batches are the same.
    """
    blank = np.zeros((), np.uint8)
    pixels = ((place, np.broadcast_to(blank, (*size, 1))) for place, size in enumerate(sizes) if size)
    begins = [batch[0][0] for batch in batches(pixels, shares=shares)]
    step = min(MOST_BATCHES, max(1, len(begins) // (PARTS_EACH * workers)))
    bounds = [0, *begins[step::step], len(sources)] if sources else [0]
    paths = [one._replace(path=Path(whole(one.path))) for one in sources]
    return [paths[begin:end] for begin, end in itertools.pairwise(bounds)]


class Attempts:
    """Counts how often each part was begun, whichever worker began it: Ray tries for ever."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def begin(self, name: str) -> int:
        """How often the part with this first photograph was begun, this time too."""
        self.counts[name] += 1
        return self.counts[name]


class Worker:
    """Scores parts, with the pipeline on the devices that Ray gave to its process."""

    def __init__(self, task: Task, attempts: Any) -> None:
        import_kinds(task.packed.modules)
        self.made = unpack(task.packed.content, task.packed.fingerprint).on_mesh(make_mesh(count=task.shares))
        self.made.admit(size for size in task.sizes if size)
        self.how, self.attempts = task.how, attempts

    def __call__(self, parts: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """What is written of the photographs of parts, batch by batch, pickled."""
        import ray

        for cell in parts["part"]:
            part: list[Source] = pickle.loads(cell)
            need_attempt(ray.get(self.attempts.begin.remote(part[0].name)), part)
            for rows in score_admitted(self.made, part, self.how):
                found = np.empty(1, object)
                found[0] = pickle.dumps(rows)
                yield {"rows": found}


def need_attempt(number: int, part: Sequence[Source]) -> None:
    """Refuse a part that was begun too often: what it holds ends the workers, as by taking all memory."""
    if number > MOST_ATTEMPTS:
        raise InputError(
            f"photographs {part[0].name!r} to {part[-1].name!r} ended the workers that scored them {number - 1} times; "
            "score these alone to see why, or give workers more memory"
        )


def unpack(content: bytes, fingerprint: str) -> pipeline.Pipeline:
    """The pipeline in the bytes of a file.

    Raises:
        InputError: it is not read as it was written, by another version.
    """
    with _kept(content) as path:
        made = pipeline.load_pipeline(path)
    if made.fingerprint() != fingerprint:
        raise InputError("its jaxad reads another pipeline than was sent; install the same on all machines")
    return made


def pack(made: pipeline.Pipeline, modules: Sequence[str]) -> Packed:
    """A pipeline, on its way to the workers."""
    with _kept(b"") as path:
        made.save(path)
        return Packed(path.read_bytes(), made.fingerprint(), tuple(modules))


@contextlib.contextmanager
def _kept(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jaxad-") as folder:
        path = Path(folder) / "pipeline.jaxad"
        path.write_bytes(content)
        yield path


def _name(row: Row) -> str:
    return row.file if isinstance(row, Result) else row[0]


def reason_of(error: BaseException) -> str:
    """The sentence of what went wrong on a worker, without the ways that it came."""
    while True:
        deeper = getattr(error, "cause", None) or error.__cause__
        if not isinstance(deeper, BaseException):
            break
        error = deeper
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")
