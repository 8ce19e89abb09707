"""What a recipe says of images, whatever its kind: the one place that calls its `model` and its `score`."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PyTree

from jaxad._check import InputError, mend_opacity, need_one_of
from jaxad._types import AnyArray, Images, Maps
from jaxad.calibration import Unit, Usual, unusualness
from jaxad.extents import Batch
from jaxad.pooling import POOLS
from jaxad.recipes import NetworkRecipe, PooledMap, Recipe, Shape, SolvedRecipe, Variables, name_settings


class Scored(NamedTuple):
    """One score of a batch, on the device."""

    score: Float[Array, " n"]
    map: Maps


CALIBRATED = "calibrated"
"""The name of the score that judges where normal images were held out to say what is usual."""
KEPT_COLLECTION = "tables"
"""Variables that keep their precision, whatever a model computes in; see `NetworkRecipe.for_scoring`."""


@dataclass(frozen=True)
class InPrecision:
    """A model that computes in `dtype` whatever it is given, and gives float32."""

    model: Any
    dtype: str

    def apply(self, variables: Variables, *inputs: Any, **options: Any) -> Any:
        """As `apply` of the model."""

        def cast(leaf: Any) -> Any:
            return jnp.asarray(leaf, self.dtype) if getattr(leaf, "dtype", None) == jnp.float32 else leaf

        def cast_unless_kept(path: tuple[Any, ...], leaf: Any) -> Any:
            return leaf if getattr(path[0], "key", None) == KEPT_COLLECTION else cast(leaf)

        variables = jax.tree_util.tree_map_with_path(cast_unless_kept, variables)
        inputs, options = jax.tree.map(cast, (inputs, options))
        return jax.tree.map(_as_float32, self.model.apply(variables, *inputs, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def apply_recipe(
    recipe: Recipe,
    shape: Shape,
    variables: PyTree,
    batch: Batch,
    *,
    dtype: DTypeLike = "float32",
    usual: Usual | None = None,
) -> dict[str, Scored]:
    """Every score of a batch by name, of a recipe that was fitted on images of `shape`; jit-safe.

    Where a photograph goes on beyond its canvas, maps are right from the recipe's `reach` pixels inside on. Scores that
    are pooled from maps are pooled where pixels are counted, by default on all the photograph. With what is `usual` the
    map that judges is there in deviations above it too, with the score pooled from that, or else the recipe's own.
    """
    found: Any
    if recipe.ingredients:
        scored = {
            part.name: apply_recipe(part, shape, variables[part.name]["variables"], batch, dtype=dtype)
            for part in recipe.ingredients
        }
        with naming(recipe, "combine", shape):
            found = recipe.combine(variables, scored)
    else:
        found = call_score(recipe, shape, variables, batch, dtype)
    if not isinstance(found, Mapping):
        found = {recipe.score_name: found}
    n, h, w, _ = batch.images.shape
    scores = {}
    for name, one in found.items():
        _need_scored(recipe, one, (n, h, w))
        one = jax.tree.map(_as_float32, one)
        scores[name] = Scored(*one) if _is_pair(one) else pooled(recipe, one, counted=batch.counted)
    if usual is not None:
        judged = scores[recipe.score_name]
        score, score_map = judged.score, unusualness(judged.map, usual)
        if not _is_pair(found[recipe.score_name]):
            score = pool_anew(recipe, judged, score_map, usual, counted=batch.counted)
        scores[CALIBRATED] = Scored(score, score_map)
    return scores


def score_shapes(recipe: Recipe, fitted: Shape, variables: PyTree, shape: tuple[int, int, int, int]) -> dict[str, Any]:
    """What `apply_recipe` gives for images `[n, h, w, c]` of this `shape`, as shapes; nothing is computed."""

    def score(variables: PyTree, images: Array) -> dict[str, Scored]:
        return apply_recipe(recipe, fitted, variables, Batch(images))

    return dict(jax.eval_shape(score, variables, jax.ShapeDtypeStruct(shape, jnp.float32)))


def call_score(recipe: Recipe, shape: Shape, variables: PyTree, batch: Batch, dtype: DTypeLike) -> Any:
    """What the recipe's own `score` gives for a batch."""
    images = jnp.asarray(batch.images, jnp.float32)
    more = {} if recipe.reach is None else {"extent": batch.extent}
    if isinstance(recipe, NetworkRecipe):
        model = InPrecision(recipe.model(shape), jnp.dtype(dtype).name)
        return recipe.score(model, variables, images, **more)
    assert isinstance(recipe, SolvedRecipe)
    # Sums and distances of closed forms stay in float32.
    return recipe.score(variables, images, **more)


def reconstruct_images(recipe: Recipe, shape: Shape, variables: PyTree, images: Images) -> Any:
    """What the model makes of images `[n, h, w, c]`, and its code of them; jit-safe.

    Raises:
        InputError: it is no autoencoder of whole images.
    """
    if not isinstance(recipe, NetworkRecipe):
        raise InputError(f"recipe {recipe.name!r} has no network that reconstructs images; score them")
    return recipe.reconstruct(recipe.model(shape), variables, images)


def pool_maps(recipe: Recipe, maps: Maps, *, counted: Bool[AnyArray, "n h w"] | None = None) -> Float[Array, " n"]:
    """What the recipe's pool makes of maps `[n, h, w]`, where they are counted: `[n]`."""
    return POOLS[recipe.pool](maps, where=counted)


def pooled(recipe: Recipe, found: Maps | PooledMap, *, counted: Bool[AnyArray, "n h w"] | None = None) -> Scored:
    """Maps `[n, h, w]` with the scores that the recipe makes of them, where they are counted."""
    if isinstance(found, PooledMap):
        return Scored(pool_maps(recipe, found.map, counted=counted) + found.beyond, found.map)
    return Scored(pool_maps(recipe, found, counted=counted), found)


def pool_anew(
    recipe: Recipe, scored: Scored, maps: Maps, usual: Usual, *, counted: Bool[AnyArray, "n h w"] | None = None
) -> Float[Array, " n"]:
    """Scores `[n]` that follow from maps `[n, h, w]` in deviations above the usual, of what was scored before.

    What a score is beyond the pool of its map is then in deviations as well, in their mean over the positions.
    """
    score = pool_maps(recipe, maps, counted=counted)
    if not recipe.judges_beyond_maps:
        return score
    beyond = scored.score - pool_maps(recipe, scored.map, counted=counted)
    return score + beyond / jnp.mean(usual.deviation)


def for_scoring(recipe: Recipe, shape: Shape, variables: PyTree) -> PyTree:
    """The variables, with what makes scoring faster beside them; on the host."""
    if recipe.ingredients:
        return {
            part.name: {
                **variables[part.name],
                "variables": for_scoring(part, shape, variables[part.name]["variables"]),
            }
            for part in recipe.ingredients
        }
    if isinstance(recipe, NetworkRecipe):
        return recipe.for_scoring(recipe.model(shape), variables)
    return variables


def template(recipe: Recipe, shape: Shape, arrays: Mapping[str, Any]) -> PyTree:
    """The variables of a recipe as shapes; what depends on the training images is read off `arrays`, by path."""
    shapes = {path: jax.ShapeDtypeStruct(array.shape, array.dtype) for path, array in arrays.items()}
    return _template(recipe, shape, unflatten_dict(shapes, sep="/").get("variables", {}))


def _template(recipe: Recipe, shape: Shape, held: Mapping[str, Any]) -> PyTree:
    if recipe.ingredients:
        number = jax.ShapeDtypeStruct((), jnp.float32)
        unit = dict.fromkeys(Unit._fields, number)
        return {
            part.name: {
                "variables": _template(part, shape, held.get(part.name, {}).get("variables", {})),
                "image": unit,
                "map": unit,
            }
            for part in recipe.ingredients
        }
    if isinstance(recipe, NetworkRecipe):
        model = recipe.model(shape)
        return recipe.template(model, start_shapes(recipe, shape), held)
    assert isinstance(recipe, SolvedRecipe)
    return recipe.template(shape, held)


def start_shapes(recipe: NetworkRecipe, shape: Shape) -> Variables:
    """The variables before training, as shapes."""
    model, example = recipe.model(shape), example_of(recipe, shape)
    return dict(jax.eval_shape(lambda key: recipe.init(key, model, example), jax.random.key(0)))


def example_of(recipe: NetworkRecipe, shape: Shape) -> Array:
    """One input of the model, `[1, ...]`, of zeros: the first of what is trained on."""
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    examples = jax.eval_shape(recipe.examples, jax.random.key(0), images)
    return jnp.zeros((1, *(shape if examples is None else examples.shape[1:])))


def need_shape(recipe: Recipe, fitted: Shape, shape: tuple[int, ...]) -> None:
    """Refuse images of height, width and channels `shape` that a recipe fitted on images of `fitted` cannot read."""
    wanted, got = fitted[-1], shape[-1]
    if got != wanted:
        mend = "turn colour into grey or repeat grey three times, or fit a pipeline with `jaxad fit`, which does it"
        if got in (2, 4):
            mend = mend_opacity(got) + ("" if wanted == got - 1 else f", and {mend}")
        raise InputError(f"images must have {wanted} channel(s) in the last axis, got {got} (shape {shape}); {mend}")
    if recipe.reach is None and tuple(shape) != tuple(fitted):
        raise InputError(
            f"images must be {times(fitted)} (height x width x channels), as those it was fitted on; got {times(shape)}"
        )
    need_least(recipe, shape)


def need_least(recipe: Recipe, shape: tuple[int, ...]) -> None:
    """Refuse images smaller than a recipe can read."""
    height, width = recipe.least_size
    if shape[0] < height or shape[1] < width:
        raise InputError(
            f"images must be at least {height} x {width} pixels for recipe {recipe.name!r}, got {times(shape[:2])}; "
            "use larger images"
        )


def need_sound(recipe: Recipe, shape: Shape) -> None:
    """Refuse a recipe whose names or sizes do not go together, or with images of `shape`; nothing is computed.

    Raises:
        InputError: an unknown pool, or what the recipe's own `check` refuses.
    """
    need_one_of(recipe.pool, POOLS, what="pool")
    need_least(recipe, shape)
    with naming(recipe, "check", shape):
        check: Callable[[Shape], Any] = recipe.check
        said = check(shape)
    if said is not None:
        raise InputError(f"{what_is(recipe)}: check must raise InputError for what cannot be, it gave {said!r}")
    for part in recipe.ingredients:
        need_sound(part, shape)


def shape_of(images: Images) -> Shape:
    """Height, width and channels of images `[n, h, w, c]`."""
    return images.shape[1], images.shape[2], images.shape[3]


def times(shape: tuple[int, ...]) -> str:
    """Sizes for a sentence, such as `28 x 28 x 1`."""
    return " x ".join(str(int(length)) for length in shape)


def what_is(recipe: Recipe) -> str:
    """A recipe and its class for a sentence."""
    return f"recipe {recipe.name!r} ({type(recipe).__module__}.{type(recipe).__qualname__})"


@contextlib.contextmanager
def naming(recipe: Recipe, function: str, shape: Shape) -> Iterator[None]:
    """Say of whatever a function of a recipe raises, anyone's or one with fields that do not do, what it ended in.

    Raises:
        InputError: it raised something else than that; the cause is kept.
    """
    try:
        yield
    except (InputError, jax.errors.KeyReuseError):
        raise
    except Exception as error:  # anyone's code may raise anything
        reason = (str(error).splitlines() or [""])[0]
        settings = name_settings(recipe)
        raise InputError(
            f"{what_is(recipe)}: {function} ends in {type(error).__name__} ({reason}) for images of {times(shape)}; "
            f"mend it{', or its fields: ' if settings else ''}{settings}"
        ) from error


def _is_pair(found: Any) -> bool:
    """Whether a score gave numbers of its own beside its map."""
    return isinstance(found, tuple) and not isinstance(found, PooledMap)


def _as_float32(leaf: Any) -> Any:
    return leaf.astype(jnp.float32) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def _need_scored(recipe: Recipe, found: Any, shape: tuple[int, int, int]) -> None:
    beyond = isinstance(found, PooledMap)
    pair = isinstance(found, tuple)
    parts = (found.beyond, found.map) if beyond else found if pair else (found,)
    wanted = ((shape[0],), shape) if pair else (shape,)
    seen = tuple(getattr(one, "shape", type(one).__name__) for one in parts)
    if beyond and not recipe.judges_beyond_maps:
        raise InputError(
            f"{what_is(recipe)}: score gave a PooledMap, and what is beyond its pool would be lost where maps are "
            "calibrated; let judges_beyond_maps be True"
        )
    if seen != wanted or (pair and not beyond and recipe.reach is not None and not recipe.ingredients):
        function = "combine" if recipe.ingredients else "score"
        raise InputError(
            f"{what_is(recipe)}: {function} must give the anomaly map [n, h, w], or scores [n] and the map for images "
            f"of one size, so {wanted[-1]} for {shape[0]} images of {shape[1]} x {shape[2]} pixels; it gave "
            f"{', '.join(map(str, seen))}"
        )
    strange = [str(one.dtype) for one in parts if not jnp.issubdtype(one.dtype, jnp.floating)]
    if strange:
        raise InputError(f"{what_is(recipe)}: score must give floating-point numbers, it gave {', '.join(strange)}")
