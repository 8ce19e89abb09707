"""Methods that a recipe defines itself, as systems; see `jaxad.NetworkRecipe` and `jaxad.SolvedRecipe`."""

import contextlib
import inspect
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, PyTree

from jaxad._check import InputError, need_one_of
from jaxad._types import AnyArray, Images, PRNGKey
from jaxad.detector.system import POOLS, Scored, System
from jaxad.extents import Extent
from jaxad.one_class_svm import OneClassSVM
from jaxad.recipes import MethodRecipe, NetworkRecipe, SolvedRecipe
from jaxad.training import LossFunction, Terms, Variables

SCORE = "score"
"""The one score of a method of one's own."""


class MethodSystem(System):
    """What both kinds of methods have in common."""

    recipe: MethodRecipe
    scores: ClassVar[tuple[str, ...]] = (SCORE,)
    losses: ClassVar[tuple[str, ...]] = ()

    def need_sound(self) -> None:
        """See `System`."""
        need_one_of(self.recipe.pool, POOLS, what="pool")

    @property
    def score_name(self) -> str:
        """See `System`."""
        return SCORE

    @property
    def reach(self) -> int | None:
        """See `System`."""
        return self.recipe.reach

    @property
    def step(self) -> int:
        """See `System`."""
        return self.recipe.step

    def need_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse another shape `[h, w, c]`, or another channel count where images have any size."""
        if self.recipe.reach is None:
            super().need_shape(shape)
        else:
            self.need_channels(shape)

    def need_method(self, images: Images) -> None:
        """Refuse a method that does not give what it should for images `[n, h, w, c]`; nothing is computed."""
        try:
            hash(self.recipe)
        except TypeError as error:
            raise InputError(
                f"{self._what}: its fields must hash, so that programs are compiled once: {error}; use tuples"
            ) from None

    @abstractmethod
    def score_images(self, variables: Variables, images: Array, extent: Extent | None) -> Any:
        """What the recipe's `score` gives for images `[n, h, w, c]`."""

    def template(self, arrays: Mapping[str, Any]) -> PyTree:
        """See `System`; what is not known before it is fitted is read off the file."""
        shapes = {path: jax.ShapeDtypeStruct(array.shape, array.dtype) for path, array in arrays.items()}
        return unflatten_dict(shapes, sep="/").get("variables", {})

    def score(self, variables: PyTree, head: OneClassSVM | None, images: Images, dtype: DTypeLike) -> dict[str, Scored]:
        """See `System`; images are `[n, h, w, c]`."""
        return self.score_canvases(variables, images, dtype, None, None)

    def score_canvases(
        self,
        variables: PyTree,
        images: Images,
        dtype: DTypeLike,
        extent: Extent | None,
        counted: Bool[AnyArray, "n h w"] | None,
    ) -> dict[str, Scored]:
        """See `System`; canvases are `[n, h, w, c]`."""
        pixels = jnp.asarray(images, dtype)
        inside = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype if leaf.dtype == jnp.float32 else None), variables)

        found = self.score_images(inside, pixels, extent)
        self._need_scored(found, pixels.shape)
        found = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), found)
        if isinstance(found, tuple):
            return {SCORE: Scored(*found)}
        return {SCORE: Scored(self.pool(found, counted=counted), found)}

    @property
    def _what(self) -> str:
        return f"recipe {self.recipe.name!r} ({type(self.recipe).__module__}.{type(self.recipe).__qualname__})"

    def _need_score(self, variables: PyTree, images: Images) -> None:
        def score(height: int, width: int) -> None:
            some = jax.ShapeDtypeStruct((2, height, width, self.shape[2]), jnp.float32)
            jax.eval_shape(lambda variables, images: self.score(variables, None, images, "float32"), variables, some)

        height, width = images.shape[1:3]
        if self.recipe.reach is None:
            score(height, width)
            return
        if "extent" not in inspect.signature(cast(Any, self.recipe).score).parameters:
            raise InputError(
                f"{self._what}: its reach says that it takes images of any size, so score must have an argument extent "
                "that says where they lie; see jaxad.extents"
            )
        score(height, width)
        try:
            score(height + 3, width + 5)
        except (TypeError, ValueError) as error:
            reason = str(error).partition(chr(10))[0]
            raise InputError(
                f"{self._what}: its reach says that it takes images of any size, and fitted on {height} x {width} it "
                f"cannot score {height + 3} x {width + 5} ({reason}); leave reach out, or score windows"
            ) from None

    def _need_scored(self, found: Any, shape: tuple[int, ...]) -> None:
        n, h, w, _ = shape
        pair = isinstance(found, tuple)
        wanted = ((n,), (n, h, w)) if pair else ((n, h, w),)
        seen = tuple(getattr(one, "shape", type(one).__name__) for one in (found if pair else (found,)))
        if seen != wanted or (pair and self.recipe.reach is not None):
            raise InputError(
                f"{self._what}: score must give the anomaly map [n, h, w], or scores [n] and the map for images of one "
                f"size, so {wanted[-1]} for images of shape {shape}; it gave {', '.join(map(str, seen))}"
            )


class NetworkSystem(MethodSystem):
    """A network of one's own."""

    recipe: NetworkRecipe

    def make_model(self) -> Any:
        """See `System`."""
        return self.recipe.model(self.shape)

    def example(self) -> Array:
        """See `System`; the first of what is trained on."""
        image = jax.ShapeDtypeStruct((2, *self.shape), jnp.float32)
        examples = jax.eval_shape(self.recipe.examples, jax.random.key(0), image)
        return jnp.zeros((1, *(self.shape if examples is None else examples.shape[1:])))

    def init(self, key: PRNGKey) -> Variables:
        """See `System`."""
        variables = self.recipe.init(key, self.make_model(), self.example())
        if not isinstance(variables, Mapping) or "params" not in variables:
            raise InputError(f"{self._what}: init must give a dictionary with `params`; the model has no weights")
        return dict(variables)

    def make_examples(self, key: PRNGKey, images: Images) -> Array | None:
        """See `System`; images are `[n, h, w, c]`."""
        return self.recipe.examples(key, jnp.asarray(images))

    def make_loss(self) -> LossFunction:
        """See `System`."""
        model = self.make_model()

        def loss(variables: Variables, batch: Array, key: Array) -> tuple[Array, tuple[Variables, Terms]]:
            value, changed, terms = self._need_loss(self.recipe.loss(model, variables, batch, key), variables)
            return value, (changed, terms)

        return loss

    def finish(self, variables: Variables, images: Images) -> Variables:
        """See `System`; images are `[n, h, w, c]`."""
        finished = self.recipe.finish(self.make_model(), variables, images)
        _need_tree(finished, self._what)
        self._need_score(finished, images)
        return finished

    def need_method(self, images: Images) -> None:
        """See `System`; the loss too, images are `[n, h, w, c]`."""
        super().need_method(images)
        variables = jax.eval_shape(self._start, jax.random.key(0), images)
        _need_tree(variables, self._what)
        # What is only there when training is done cannot be missed before.
        with contextlib.suppress(KeyError):
            self._need_score(variables, images)

    def _start(self, key: PRNGKey, images: Images) -> PyTree:
        init_key, draw_key, loss_key = jax.random.split(key, 3)
        variables = self.init(init_key)
        examples = self.make_examples(draw_key, images)
        batch = jnp.asarray(images)[:2] if examples is None else examples[:2]
        try:
            with jax.debug_key_reuse(True):
                jax.eval_shape(jax.jit(self.make_loss()), variables, batch, loss_key)
        except jax.errors.KeyReuseError:
            raise InputError(
                f"{self._what}: loss draws twice from one key, so that its noise is correlated; split it first with "
                "jax.random.split"
            ) from None
        return variables

    def score_images(self, variables: Variables, images: Array, extent: Extent | None) -> Any:
        """See `MethodSystem`; images are `[n, h, w, c]`."""
        more = {} if self.recipe.reach is None else {"extent": extent}
        return self.recipe.score(self.make_model(), variables, images, **more)

    def _need_loss(self, found: Any, variables: Variables) -> tuple[Array, Variables, Terms]:
        if not (isinstance(found, tuple) and len(found) == 3 and all(isinstance(one, Mapping) for one in found[1:])):
            raise InputError(
                f"{self._what}: loss must give a scalar, a dictionary of the collections that changed and a dictionary "
                f"of terms; it gave {type(found).__name__}"
            )
        value, changed, terms = found
        if jnp.shape(value) != ():
            raise InputError(f"{self._what}: loss must be a scalar, got shape {jnp.shape(value)}; take its mean")
        strange = [name for name in changed if name not in variables or name == "params"]
        if strange:
            raise InputError(
                f"{self._what}: loss changes collections {strange}, and those beside params are "
                f"{[name for name in variables if name != 'params']}"
            )
        return value, dict(changed), dict(terms)


class SolvedSystem(MethodSystem):
    """A closed form of one's own."""

    recipe: SolvedRecipe
    fitted_at_once = True

    def solve(self, images: Images) -> PyTree:
        """See `System`; images are `[n, h, w, c]`."""
        variables = self.recipe.solve(jnp.asarray(images))
        _need_tree(variables, self._what)
        self._need_score(variables, images)
        return variables

    def score_images(self, variables: Variables, images: Array, extent: Extent | None) -> Any:
        """See `MethodSystem`; images are `[n, h, w, c]`."""
        more = {} if self.recipe.reach is None else {"extent": extent}
        return self.recipe.score(variables, images, **more)


def _need_tree(variables: Any, what: str) -> None:
    """Refuse variables that no file can hold."""
    if isinstance(variables, Mapping):
        for name, value in variables.items():
            if not isinstance(name, str) or "/" in name or not name:
                raise InputError(f"{what}: variables must have names without a slash, got {name!r}")
            _need_tree(value, what)
    elif not hasattr(variables, "shape"):
        raise InputError(
            f"{what}: variables must be nested dictionaries of arrays, so that a file can hold them; got "
            f"{type(variables).__name__}"
        )
