"""What surrounds a command: streams of any encoding, jax with the devices it is told to use, and how a command ends."""

import contextlib
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from os.path import exists
from pathlib import Path
from typing import Any, NoReturn

from typer.core import TyperGroup

from jaxad._check import InputError, need_output_folder
from jaxad._files import cache_folder

ANY_RAY = "any"
"""Where `--ray` names no address: the cluster that runs here, or else a new one."""
RAY_ADDRESS = re.compile(r".+:\d+|.+://.*|auto|local")
"""What behind `--ray` is its address, and neither an option nor a folder."""
_NAME = re.compile(r"(?!-)[^/\\]+(?<!\.jaxad)")
"""Behind `--ray` probably a host, and no path."""
INTERRUPTED, PIPE_CLOSED, TERMINATED = 128 + 2, 128 + 13, 128 + 15
"""Exit codes as a shell gives them to what the signals SIGINT, SIGPIPE and SIGTERM end."""
_terminated = threading.Event()
"""Whether SIGTERM has come."""


class Commands(TyperGroup):
    """All commands. Typer would end an interrupted one without a word, and one whose reader has gone by code 1."""

    def make_context(self, info_name: Any, args: list[str], *arguments: Any, **options: Any) -> Any:
        """Read the arguments; what `--help` prints is printed here."""
        with _quiet():
            _need_words(args)
            return super().make_context(info_name, with_ray_address(args), *arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with _quiet():
            return super().invoke(ctx)


def with_ray_address(args: list[str]) -> list[str]:
    """Arguments with `ANY_RAY` behind each `--ray` that no address follows: typer has no options without a value."""
    found: list[str] = []
    for word, following in zip(args, [*args[1:], ""], strict=True):
        found.append(word)
        if word == "--ray" and not RAY_ADDRESS.fullmatch(following):
            if _NAME.fullmatch(following) and not exists(following):
                raise InputError(
                    f"--ray takes the address of a cluster, HOST:PORT, or none, got {following!r}, which is no file or "
                    "folder either"
                )
            found.append(ANY_RAY)
    return found


def _need_words(args: list[str]) -> None:
    """Refuse empty arguments, which would stand for the folder of the command."""
    for before, word in zip(["jaxad", *args], args, strict=False):
        if not word or re.fullmatch(r"--[\w-]+=", word):
            where = f"of {word[:-1]}" if word else f"behind {before!r}"
            raise InputError(f"the argument {where} is empty, as from a variable that is not set; name what is meant")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _end_interrupted()
    except BrokenPipeError:
        _end_unread()
    except SystemExit as ended:
        # rich, which prints help, ends the process itself, by code 1.
        if isinstance(ended.__context__, BrokenPipeError):
            _end_unread()
        raise


def run(command: Callable[[], object]) -> None:
    """Run the command line; what it raises for bad input becomes one sentence on standard error and exit code 2."""
    _settle_streams()
    # Figures are files and belong to no window, so what notebooks and desktops set here is not even looked up.
    os.environ["MPLBACKEND"] = "Agg"
    warnings.showwarning = _show_warning
    sys.unraisablehook = _interrupt_again
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # nobody has it ignored
        signal.signal(signal.SIGTERM, _terminate)
    try:
        try:
            command()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _end_unread()
    except KeyboardInterrupt:
        _end_interrupted()
    except InputError as error:
        _say(str(error))
        sys.exit(2)
    except OSError as error:
        _say(f"{error.strerror or error}{f': {error.filename!r}' if error.filename else ''}")
        sys.exit(2)
    except MemoryError as error:
        _say(f"there is not enough memory{f': {error}' if str(error) else ''}; use smaller images, or fewer at once")
        sys.exit(2)


def start_jax() -> None:
    """Import jax, which keeps what it compiles from now on, and find its devices.

    Raises:
        InputError: the environment asks for devices that there are not, or for what jax does not know.
    """
    keep_compilations()
    _need_flags(os.environ.get("XLA_FLAGS", ""))
    try:
        import jax

        jax.devices()
    except Exception as error:  # jax has no kind of its own for this: AssertionError, RuntimeError and ValueError come
        asked = os.environ.get("JAX_PLATFORMS")
        told = f" with JAX_PLATFORMS={asked!r}" if asked else ""
        reason = (str(error).strip().splitlines() or ["there is no such device, or it is not supported here"])[0]
        mend = "; set JAX_PLATFORMS=cpu, or unset it to take what is there" if asked else ""
        raise InputError(
            f"jax cannot start{told}: {reason.partition(' (set JAX_PLATFORMS')[0].rstrip('.')}{mend}"
        ) from None


def import_modules(modules: Iterable[str] | None) -> None:
    """Start jax and import modules with recipes of the user's own, from the folder of the command too."""
    start_jax()
    if not modules:
        return  # a folder of photographs may hold files that are named like modules
    if "" not in sys.path:
        sys.path.insert(0, "")

    from jaxad.methods import import_kinds

    import_kinds(modules)


def _need_flags(flags: str) -> None:
    """Refuse flags that are none, for which XLA would abort the process; which flags there are, it alone knows."""
    words = flags.split()
    # Quotes may hold anything; and what does not begin like a flag is taken for a file of flags.
    if not words or set(flags) & set("\"'") or (not words[0].startswith("-") and Path(flags.strip()).is_file()):
        return
    for word in words:
        if not word.startswith("--"):
            raise InputError(
                f"XLA_FLAGS must be flags that begin with --, or name a file of them, got {word!r}; mend or unset it"
            )


def keep_compilations() -> None:
    """Let the next process find what this one compiles; jax reads these when it is imported, later."""
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = cache_folder() / "compiled"
    try:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(
            need_output_folder(folder, what="cache", option="JAXAD_CACHE_DIR")
        )
    except InputError as error:
        _say(f"warning: compiled programs are not kept: {error}")


def _settle_streams() -> None:
    """What the encoding of a stream cannot hold, such as a name in Chinese, is written as its number, never refused."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before the command began
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  (as long as the process)
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _say(f"warning: {' '.join(str(message).split())}")


def _interrupt_again(unraisable: Any) -> None:
    """Let an interruption come once more that Python has dropped, as it does inside jax's callback of the collector."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    # Later, for here it would be dropped again; as a signal, which ends a wait too.
    main = threading.main_thread().ident or 0
    again = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))
    again.daemon = True
    again.start()


def _say(text: str) -> None:
    print(f"jaxad: {text}", file=sys.stderr)


def _terminate(*_: object) -> NoReturn:
    """Let SIGTERM, by which services and schedulers end a command, be an interruption like another."""
    _terminated.set()
    raise KeyboardInterrupt


def _end_interrupted() -> NoReturn:
    # A second one ends the process at once, while threads finish what they are at.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    _say("terminated" if _terminated.is_set() else "interrupted")
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of the compiler may still be at work, and would meet an interpreter that is gone.
    os._exit(TERMINATED if _terminated.is_set() else INTERRUPTED)


def _end_unread() -> NoReturn:
    # Python flushes once more when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(PIPE_CLOSED)
