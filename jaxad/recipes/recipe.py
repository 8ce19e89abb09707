"""`Recipe`: what to fit, as frozen data; every class of them is a kind, which files and the command line name."""

from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass
from types import MappingProxyType
from typing import Any, ClassVar, dataclass_transform

from jaxtyping import Bool, Float

from jaxad._check import InputError
from jaxad.pooling import whole_score

Shape = tuple[int, int, int]
"""Height, width and channels of an image."""
Variables = dict[str, Any]

_KINDS: dict[str, type["Recipe"]] = {}
KINDS: Mapping[str, type["Recipe"]] = MappingProxyType(_KINDS)
"""Every kind of recipe that was imported, by its name."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every recipe says of itself. Subclasses are frozen dataclasses of keyword arguments without a decorator.

    A subclass is registered under its own name, or under `class Mine(..., kind="mine")`: that is how a file of a
    detector names it. Fields hold numbers, strings, tuples and other recipes, so that recipes hash and can be written
    as JSON.
    """

    kind: ClassVar[str] = "recipe"
    without_use: ClassVar[tuple[str, ...]] = ()
    """Fields that mean nothing to this kind, whatever they hold."""

    name: str = ""
    """By default the name of its kind."""
    summary: str = ""
    source: str = ""
    """Where it was published."""
    pool: str = "mean"
    """How a map becomes one score: `"mean"` or `"max"` over its pixels, or the mean of the highest tenth,
    `"top"`, of the highest twentieth, `"high"`, or of the highest hundredth, `"peak"`."""
    holdout: float = 0.0
    """Share of the normal images kept from training, by which scores are put in units of what is usual at each
    position; see `jaxad.calibration`. With 0 scores keep the unit of the model."""

    def __init_subclass__(cls, *, kind: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclass(frozen=True, kw_only=True)(cls)
        # Those of the base are enough, and whoever decorates the class all the same finds none in the way.
        del cls.__setattr__, cls.__delattr__
        cls.kind = cls.__name__ if kind is None else kind
        if not cls.kind:
            return  # what several kinds have in common
        before = _KINDS.get(cls.kind)
        # A class that is defined again, as in a notebook, takes the place of the one before.
        if before is not None and (before.__module__, before.__qualname__) != (cls.__module__, cls.__qualname__):
            raise InputError(
                f"two kinds of recipe are called {cls.kind!r}, in {before.__module__} and {cls.__module__}; name one "
                f'of them otherwise: class {cls.__name__}(..., kind="another")'
            )
        _KINDS[cls.kind] = cls

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.kind)

    @property
    def score_name(self) -> str:
        """Which of its scores judges an image."""
        return "score"

    @property
    def ingredients(self) -> tuple["Recipe", ...]:
        """The recipes whose scores it puts together, by `combine`; they are fitted first.

        Each has a name of its own and no `holdout`: that of the whole, above 0, holds out for all, to give the units
        of their scores.
        """
        return ()

    @property
    def judges_by_holdout(self) -> bool:
        """Whether maps are in z-scores by position, of the images that `holdout` keeps from training.

        To a recipe with `ingredients` these give the units of their scores instead.
        """
        return bool(self.holdout) and not self.ingredients

    @property
    def reach(self) -> int | None:
        """For recipes of images of any size: pixels from one whose score is asked for to the furthest in it.

        Such a `score` has an argument `extent` more, and leaves out what lies off the photograph; see `jaxad.extents`.
        None where images have the one size that was fitted on; photographs of others are resized.
        """
        return None

    @property
    def step(self) -> int:
        """Where images have any size: the pixels from one window to the next, so that parts of a large one agree."""
        return 1

    @property
    def compares_positions(self) -> bool:
        """Whether pixels are judged by what normal images show at their place, so that all are aligned, of one size."""
        return self.reach is None or bool(self.holdout)

    @property
    def sees_windows(self) -> bool:
        """Whether the model sees windows or spots, so that an image's score is pooled from its map."""
        return self.reach is not None

    @property
    def pools_maps(self) -> bool:
        """Whether an image's score is pooled anew from a map that was calibrated."""
        return self.sees_windows

    @property
    def judges_beyond_maps(self) -> bool:
        """Whether scores are more than the pool of the map; see `PooledMap`. What they are beyond it stays then."""
        return False

    @property
    def leaves_out(self) -> bool:
        """Whether it has a `score_left_out`, so that the images that it was solved on can calibrate it too."""
        return False

    @property
    def stretches(self) -> bool:
        """Whether photographs of several sizes are stretched over one another, border on border, to be compared.

        Otherwise they keep their aspect ratio, and what is left beside them is filled.
        """
        return False

    def seen_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The height and width at which the model sees images of this height and width; more is of no use to it."""
        return size

    @property
    def least_size(self) -> tuple[int, int]:
        """The least height and width that the model can read."""
        return 1, 1

    @property
    def aligned(self) -> bool:
        """Whether maps of images of one size may be put in units of what is usual at each position."""
        return True

    def for_sizes(self, sizes: Sequence[tuple[int, int]]) -> "Recipe":
        """The recipe for photographs of these heights and widths, as they are before they are brought to one size.

        By default itself.
        """
        return self

    def settle(self, images: Float[Any, "n h w c"]) -> "Recipe":
        """The recipe with what its fields leave open decided by the normal images `[n, h, w, c]` to fit on.

        Detectors keep the recipe that comes of it. By default nothing is open. One whose `ingredients` leave something
        open settles them too, as `jaxad.methods.FusionRecipe` does.
        """
        return self

    def check(self, shape: Shape) -> None:
        """Refuse fields that do not go together, or with images of height, width and channels `shape`.

        Raises:
            InputError: what is wanted and what the field holds.
        """

    def combine(self, variables: Variables, scored: Mapping[str, Any]) -> dict[str, Any]:
        """Scores by name, of what each of the `ingredients` says by its name; for recipes that have some.

        Args:
            variables: of each by its name: its own, `"variables"`, and the mean and the deviation of its scores of
                held-out normal images, `"image"`, and of their pixels, `"map"`; see `jaxad.calibration.in_unit`.
            scored: `scored[part.name][part.score_name]` has the scores `[n]` and the maps `[n, h, w]` of one of them,
                as `.score` and `.map`.
        """
        raise self._lacks("combine(self, variables, scored)")

    def whole(
        self,
        name: str,
        parts: Sequence[Mapping[str, float]],
        counts: Sequence[int],
        score_map: Float[Any, "h w"],
        counted: Bool[Any, "h w"] | None,
    ) -> float:
        """The score of that name of a photograph `[h, w]` that was scored part by part; on the host.

        Args:
            name: which score.
            parts: scores by name, one entry a part, each of the pixels that counted there.
            counts: how many those were.
            score_map: the map of that score, put together.
            counted: where its pixels count; by default everywhere.
        """
        return whole_score(self.pool, [part[name] for part in parts], counts, score_map, counted)

    def taken_off(self, variables: Variables) -> float:
        """What an image's score is less than the numbers it was made of, by which it is rounded; in its own unit."""
        return 0.0

    def _lacks(self, method: str) -> InputError:
        return InputError(f"recipe {self.name!r}: its class {type(self).__name__} must define {method}")


def _refuse(recipe: Recipe, name: str, *value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r} of a recipe; dataclasses.replace makes another one")


# Set behind the class, for a frozen dataclass refuses to be given its own; subclasses inherit them.
Recipe.__setattr__ = Recipe.__delattr__ = _refuse  # type: ignore[method-assign, assignment]
