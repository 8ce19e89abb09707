"""A Ray cluster: reached, divided among workers, and asked whether its machines can score."""

import contextlib
import importlib.metadata
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxad._check import InputError, raise_problems
from jaxad.scaling.held_back import held_back
from jaxad.scaling.workers import Packed, reason_of

PATIENCE = 5.0
"""Seconds until an address counts as one that does not answer."""

TOKEN = "give the cluster's token in RAY_AUTH_TOKEN, or in ~/.ray/auth_token, and set RAY_AUTH_MODE=token"


class Each(NamedTuple):
    """What every worker has of its machine."""

    cpus: int | float
    gpus: int | float


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to the cluster at an address; where there is none, to the one here, or else a new one.

    Raises:
        InputError: Ray is not installed, or cannot be used there.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(f"scoring by Ray needs a package ({error}); do pip install 'jaxad[ray]'") from None
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS")
    need_answer(address)
    with held_back() as said, _own_signals():
        try:
            with warnings.catch_warnings():
                # What Ray starts are other programs, which have no threads of jax.
                warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # RuntimeError, ConnectionError and ValueError among others
            reason = "; ".join(filter(None, (" ".join(str(error).split()), said.take_reason())))
            mend = f"; {TOKEN}" if "token" in reason.lower() else ""
            raise InputError(f"Ray at {address or 'this machine'} cannot be used: {reason}{mend}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what SIGTERM does in this process where it is told, for Ray has it end the process its own way."""
    before = signal.getsignal(signal.SIGTERM)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        yield
    except SystemExit:  # it came, and Ray has ended the process
        before(signal.SIGTERM, None)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def need_answer(address: str | None) -> None:
    """Refuse an address where nobody listens, for which Ray would wait much longer."""
    if address is None or address in ("auto", "local"):
        return
    if "://" in address:
        raise InputError(
            f"the address of Ray must be one of the cluster's own, such as 10.0.0.1:6379, got {address!r}; run the "
            "command on a machine of the cluster"
        )
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()):
        raise InputError(f"the address of Ray must be HOST:PORT, such as 10.0.0.1:6379, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"no Ray answers at {address} ({error}); begin one there by `ray start --head`, or mend the address"
        ) from None


def divide(
    machines: Sequence[Mapping[str, int | float]], cpus: int | float | None, gpus: int | float | None
) -> tuple[Each, int]:
    """What each worker has, and how many there can be, of these machines' resources."""
    if gpus is None:
        gpus = 1.0 if cpus is None and any(one.get("GPU", 0) for one in machines) else 0.0
    if cpus is None:
        cpus = 1.0 if gpus else min((one["CPU"] for one in machines if one.get("CPU", 0)), default=1.0)
    wanted = {name: value for name, value in (("CPU", cpus), ("GPU", gpus)) if value}
    if not wanted:
        raise InputError("a worker must have CPUs or GPUs, got none of both")
    most = sum(int(min(one.get(name, 0) // value for name, value in wanted.items())) for one in machines)
    if not most:
        largest = {name: max((one.get(name, 0) for one in machines), default=0) for name in wanted}
        words = [" and ".join(f"{value:g} {name}" for name, value in some.items()) for some in (wanted, largest)]
        raise InputError(
            f"every worker must have {words[0]}, and no machine of the cluster has more than {words[1]}; "
            "set --cpus and --gpus lower"
        )
    return Each(cpus, gpus), most


def need_fit(ray: Any, nodes: Sequence[dict[str, Any]], packed: Packed, source: str | None) -> None:
    """Refuse machines whose workers could not do what is asked, before anything is written."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=0)(make_question(_version(), packed, source))
    nodes = [node for node in nodes if node["Resources"].get("CPU") or node["Resources"].get("GPU")]
    asked = [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote()
        for node in nodes
    ]
    problems = []
    for node, answer in zip(nodes, asked, strict=True):
        try:
            problem = ray.get(answer)
        except ray.exceptions.RayError as error:
            problem = f"it ends with {reason_of(error)}"
        if problem:
            problems.append(f"a worker on {node['NodeManagerAddress']} cannot score: {problem}")
    raise_problems(dict.fromkeys(problems))


def make_question(version: str, packed: Packed, source: str | None) -> Callable[[], str]:
    """A function that says why the machine where it runs cannot score; "" where it can.

    It is defined in here so that Ray sends it whole: there may be no jaxad to import it from.
    """
    content, fingerprint, modules = packed

    def why_not() -> str:
        import importlib.metadata

        try:
            there = importlib.metadata.version("jaxad")
            if there != version:
                return f"it has jaxad {there}, and this is {version}; install the same on all machines"
            for module in ("ray.data", *modules):
                importlib.import_module(module)
            importlib.import_module("jaxad.scaling.workers").unpack(content, fingerprint)
            if source is not None and not importlib.import_module("jaxad._addresses").at(source).exists():
                return f"it does not see {source!r}; mount it there too, or put it into a bucket"
        except ImportError as error:
            return f"it lacks a package ({error}); install jaxad with the same extras on all machines"
        except OSError as error:
            return f"{source!r}: {error.strerror}"
        except ValueError as error:  # InputError is one, and cannot be named before jaxad is found
            return str(error)
        return ""

    return why_not


def _version() -> str:
    return importlib.metadata.version("jaxad")
