"""Guards of the public face, read from the source: what a machine can see of docs/design.md, "Naming and form".

Looked at are the functions, classes and methods whose names have no leading underscore, in every module of every
room whose name has none. So constructors and `__call__` are exempt: a dataclass or a flax module lists its fields.
The command line's functions are exempt from the keyword-only rule, for typer calls them, never a user; so are the
estimator's methods, for scikit-learn calls `fit(X, y)`.
"""

import ast
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

import jaxad
from jaxad import _check, patches
from tests.public_names import ARRAY, public_names

ROOT = Path(__file__).resolve().parent.parent
SEED_ROOMS = {"cli", "datasets", "folders", "protocols"}


def positional_defaults(tree: Path) -> list[str]:
    return [
        f"{public.place}: a parameter with a default is keyword-only"
        for public in public_names(tree)
        if public.room not in {"cli", "estimator"}
        and not isinstance(public.node, ast.ClassDef)
        and public.node.args.defaults
    ]


def misplaced_keys(tree: Path) -> list[str]:
    """A required `key` comes first; only an optional one (`key=None`) may be among the options.

    A method `loss` has the order of `jaxad.training.LossFunction`.
    """
    problems = []
    for public in public_names(tree):
        if "key" in [arg.arg for arg in public.parameters[1:]] and not public.place.endswith(".loss"):
            problems.append(f"{public.place}: key comes first")
        for arg in public.options:
            default = public.node.args.kw_defaults[public.options.index(arg)]  # type: ignore[union-attr]
            if arg.arg == "key" and not (isinstance(default, ast.Constant) and default.value is None):
                problems.append(f"{public.place}: a required key comes first, an optional one is None")
    return problems


def wrong_randomness(tree: Path) -> list[str]:
    problems = []
    for public in public_names(tree):
        names = {arg.arg for arg in [*public.parameters, *public.options]}
        problems += [f"{public.place}: call it key, not {name}" for name in names & {"rng", "prng", "rng_key"}]
        if "seed" in names and public.room not in SEED_ROOMS:
            problems.append(f"{public.place}: seed belongs in {', '.join(sorted(SEED_ROOMS))}; take a key")
    return problems


def undocumented(tree: Path) -> list[str]:
    """Public names without a docstring."""
    return [f"{public.place}: no docstring" for public in public_names(tree) if not ast.get_docstring(public.node)]


def shapeless(tree: Path) -> list[str]:
    """Functions of annotated arrays that show no shape such as [n, h, w, c], nor does the module once for all."""
    return [
        f"{public.place}: the docstring mentions no shape in [brackets]"
        for public in public_names(tree)
        if any(arg.annotation and ARRAY.search(ast.unparse(arg.annotation)) for arg in public.parameters)
        and "[" not in public.module + (ast.get_docstring(public.node) or "")
    ]


Guard = Callable[[Path], list[str]]
GUARDS: list[Guard] = [positional_defaults, misplaced_keys, wrong_randomness, undocumented, shapeless]

SOUND = '''
"""A room."""
import jax

class Model:
    """A model."""

    features: int = 3

    def __call__(self, x, train=False):
        return x

    def score(self, x: "Float[Array, 'n']", *, key=None):
        """Score images [n]."""

@jax.jit
def draw(key, images: "Images", *, count: int = 3):
    """Draw from images [n, h, w, c]."""

def make_scorer(size: int):
    """Make a scorer."""

def _private(x, rng=None, seed=0):
    return x
'''

PLANTED: list[tuple[Guard, str]] = [
    (positional_defaults, 'def f(x, size=3):\n    """Do."""'),
    (positional_defaults, 'def f(x, size=3, /):\n    """Do."""'),
    (positional_defaults, 'class A:\n    """Be."""\n    def f(self, size=3):\n        """Do."""'),
    (misplaced_keys, 'def f(x, key):\n    """Do."""'),
    (misplaced_keys, 'def f(x, *, key):\n    """Do."""'),
    (misplaced_keys, 'def f(x, *, key=make_key(0)):\n    """Do."""'),
    (misplaced_keys, 'class A:\n    """Be."""\n    def f(self, x, key):\n        """Do."""'),
    (wrong_randomness, 'def f(rng, x):\n    """Do."""'),
    (wrong_randomness, 'def f(x, *, seed=0):\n    """Do."""'),
    (undocumented, "def f(x):\n    return x"),
    (undocumented, "class A:\n    pass"),
    (undocumented, 'class A:\n    """Be."""\n    def f(self):\n        return 1'),
    (shapeless, 'def f(x: Float[Array, "n"]):\n    """Do."""'),
    (shapeless, 'def f(x: Images):\n    """Do."""'),
]


def plant(tree: Path, **rooms: str) -> Path:
    (tree / "jaxad").mkdir()
    for room, text in rooms.items():
        (tree / "jaxad" / f"{room}.py").write_text(text)
    return tree


@pytest.mark.parametrize("guard", GUARDS)
def test_public_face_keeps_the_rules(guard: Guard) -> None:
    problems = guard(ROOT)
    assert not problems, "\n".join(problems)


def test_walk_finds_the_public_names() -> None:
    names = {f"{public.room}.{public.node.name}" for public in public_names(ROOT)}
    assert {"patches.extract", "patches.fold", "heatmaps.heatmap", "datasets.ImageSet"} <= names


@pytest.mark.parametrize("guard", GUARDS)
def test_guard_accepts_a_sound_tree(guard: Guard, tmp_path: Path) -> None:
    seeded = 'def f(x, *, seed=0):\n    """Do."""'
    command = 'def f(x=1, seed=0):\n    """Do."""'
    assert guard(plant(tmp_path, patches=SOUND, datasets=seeded, cli=command, _check="def f(x, y=1): ...")) == []


@pytest.mark.parametrize(("guard", "room"), PLANTED)
def test_guard_refuses(guard: Guard, room: str, tmp_path: Path) -> None:
    assert guard(plant(tmp_path, patches=room))


def test_every_guard_has_a_planted_violation() -> None:
    assert {guard for guard, _ in PLANTED} == set(GUARDS)


def test_every_public_name_loads() -> None:
    names = jaxad.__all__
    assert "fit" in names
    for name in names:
        assert hasattr(jaxad, name), f"jaxad.{name} is promised and not there"


BAD_IMAGES = np.zeros((2, 8, 8), np.float32)


def test_shapes_are_checked_at_run_time() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        patches.extract(BAD_IMAGES, size=(4, 4), stride=(2, 2))


def test_unchecked_leaves_bad_input_to_the_library(unchecked: None) -> None:
    with pytest.raises(_check.InputError, match="four axes"):
        patches.extract(BAD_IMAGES, size=(4, 4), stride=(2, 2))
