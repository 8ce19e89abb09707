"""`AnomalyDetector`: the scikit-learn interface over `jaxad.fit` and `Detector`.

Scores follow scikit-learn's convention here and nowhere else in jaxad: higher is more normal. X is rows
`[n, features]` of any numbers, or images `[n, h, w]` or `[n, h, w, c]`: float in [0, 1], or uint8 or uint16, which are
divided by 255 or 65535.
"""

import contextlib
import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxad import bundle
from jaxad._check import InputError, need_channels_last, need_one_of, raise_problems
from jaxad.batching import filled
from jaxad.detector import each_left_out, from_contents, pooled
from jaxad.fitting import fit
from jaxad.images.reading import WHOLE, unit_pixels
from jaxad.methods import RECIPES, named
from jaxad.recipes import Recipe

BATCH_PIXELS = 2**14
"""Pixels scored in one call, or one image where it is larger."""
MOST_SAMPLES = 256
"""Samples scored in one call at most."""
FARTHEST = 1e9
"""Ranges of a feature beyond which a row is no further away: squares of larger numbers would leave float32."""
MOST_COMPONENTS = 16
"""Principal components that the default recipe for rows keeps at most."""
OF_RECIPE = "recipe__"
"""Before the name of a field of the recipe, in scikit-learn's way with parameters of parameters."""


class AnomalyDetector(OutlierMixin, BaseEstimator):
    """A `Detector` as a scikit-learn estimator: for pipelines, cross-validation and searches over recipes.

    The decision limit is the `contamination` quantile of the training samples' own scores, as elsewhere in
    scikit-learn, each left out of what it is judged by where the recipe can do that; other models score what they were
    fitted on as a little too normal. `jaxad.thresholds` sets limits by held-out images instead.

    Args:
        recipe: a name among `jaxad.RECIPES` or a recipe. None takes `"auto"` for images, and for rows the Mahalanobis
            distance by up to 16 principal components, as many as the rows allow.
        image_shape: height, width and, where there is more than one, channels of the images that the rows of X are,
            pixel by pixel; then X is taken as images are. None takes rows as numbers of any range: each feature is
            scaled by its range in the training rows, and a row is an image of one row of pixels.
        contamination: the share of the training samples to call outliers, in (0, 0.5].
        random_state: an int gives the bits of `jaxad.fit(jax.random.key(random_state), ...)`; a `RandomState`, or
            None for NumPy's own, draws one.

    Attributes:
        detector_: the fitted `Detector`; its `score` has maps too, and takes other sizes where the recipe does.
        offset_: what separates inliers from outliers in `score_samples`.
        image_shape_: height, width and channels of what the detector sees.
        low_, range_: of each feature in the training rows; 0 and 1 for images.

    >>> rows = np.random.default_rng(0).normal(size=(200, 3))
    >>> estimator = AnomalyDetector(contamination=0.05).fit(rows)
    >>> estimator.predict([[0, 0, 0], [9, -9, 9]])
    array([ 1, -1])
    """

    def __init__(
        self,
        *,
        recipe: str | Recipe | None = None,
        image_shape: tuple[int, ...] | None = None,
        contamination: float = 0.1,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.recipe = recipe
        self.image_shape = image_shape
        self.contamination = contamination
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "AnomalyDetector":
        """Fit on normal samples, rows or images; y is ignored.

        Raises:
            InputError: an argument that cannot be used, float images outside [0, 1], images with their channels in
                front, or samples that the recipe does not take; also scikit-learn's own ValueError and TypeError for
                what is no array of finite numbers.
        """
        raise_problems(self._problems())
        X = _with_shape(X)
        as_images = len(X.shape) > 2 or self.image_shape is not None
        rows = self._need_rows(X, as_images=as_images, reset=True)
        self.image_shape_ = self._find_shape(X, rows.shape[1])
        self.low_, self.range_ = rows.dtype.type(0), rows.dtype.type(1)
        if not as_images:
            # A feature that is constant keeps its unit.
            with np.errstate(over="ignore"):
                self.low_, width = rows.min(axis=0), np.ptp(rows, axis=0)
            if not np.isfinite(width).all():
                at = int(np.argmax(~np.isfinite(width)))
                raise InputError(f"feature {at} of X spans more than {width.dtype} holds; scale it down")
            self.range_ = np.where(width > 0, width, 1)
        self._any_range = not as_images
        images = self._as_images(rows)
        self.detector_, _ = fit(self._key(), self._choose_recipe(rows, as_images=as_images), images)
        # Where samples can be left out of what they are judged by they score as new ones will.
        left_out = [pooled(self.detector_.recipe, one).score for one in each_left_out(self.detector_, images)]
        scores = -np.concatenate(left_out).astype(np.float64) if left_out else self._score(images)
        self.offset_ = float(np.percentile(scores, 100 * self.contamination))
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """As of scikit-learn; with `deep` the fields of the recipe too, as `recipe__NAME`."""
        params: dict[str, Any] = super().get_params(deep=deep)
        if deep and isinstance(self.recipe, str | Recipe):
            with contextlib.suppress(InputError):  # a name that is none is refused when fitting, as elsewhere
                recipe = named(self.recipe)
                params |= {f"{OF_RECIPE}{one.name}": getattr(recipe, one.name) for one in dataclasses.fields(recipe)}
        return params

    def set_params(self, **params: Any) -> "AnomalyDetector":
        """As of scikit-learn; `recipe__NAME` changes a field of the recipe, which is then no longer a name.

        Raises:
            InputError: the recipe has no such field, or there is none.
        """
        fields = {name: params.pop(name) for name in list(params) if name.startswith(OF_RECIPE)}
        super().set_params(**params)
        if not fields:
            return self
        if self.recipe is None:
            raise InputError(f"{next(iter(fields))} is a field of a recipe; name that too: recipe='pixel-components'")
        known = [name for name in self.get_params() if name.startswith(OF_RECIPE)]
        for name in fields:
            need_one_of(name, known, what="parameter")
        changes: dict[str, Any] = {name.removeprefix(OF_RECIPE): value for name, value in fields.items()}
        self.recipe = dataclasses.replace(named(self.recipe), **changes)
        return self

    def score_samples(self, X: Any) -> Float[np.ndarray, " n"]:
        """`-detector_.score(...).score` for rows or images, float64 [n]: higher is more normal.

        A sample's score does not depend on what else is in X, to the last bit.

        Raises:
            InputError: images of another shape or outside [0, 1]; also scikit-learn's own errors.
        """
        check_is_fitted(self)
        X = _with_shape(X)
        rows = self._need_rows(X, as_images=not self._any_range, reset=False)
        if len(X.shape) > 2 and _with_channels(X.shape[1:]) != self.image_shape_:
            raise InputError(
                f"images must have height, width and channels {self.image_shape_}, as those it was fitted on; "
                f"got X of shape {X.shape}"
            )
        return self._score(self._as_images(rows))

    def decision_function(self, X: Any) -> Float[np.ndarray, " n"]:
        """`score_samples` less `offset_`, float64 [n]: negative for outliers; errors as there."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Int[np.ndarray, " n"]:
        """1 for inliers and -1 for outliers, int64 [n]; errors as for `score_samples`."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def _problems(self) -> list[str]:
        problems = []
        share: Any = self.contamination
        shape: Any = self.image_shape
        recipe: Any = self.recipe
        if not (isinstance(share, int | float | np.number) and 0 < share <= 0.5):
            problems.append(f"contamination must be a number above 0 and at most 0.5, got {share!r}")
        sizes = shape if isinstance(shape, tuple | list) else ()
        whole = all(isinstance(size, int | np.integer) and size > 0 for size in sizes)
        if shape is not None and not (len(sizes) in (2, 3) and whole):
            problems.append(f"image_shape must be (height, width) or (height, width, channels), got {shape!r}")
        if not isinstance(recipe, str | Recipe | None):
            problems.append(f"recipe must be a name, a recipe or None, got {recipe!r}")
        return problems

    def _need_rows(self, X: Any, *, as_images: bool, reset: bool) -> np.ndarray:
        """The samples as rows `[n, d]`, checked by scikit-learn; whole numbers of images scaled by their range."""
        if len(X.shape) == 4:
            need_channels_last(X.shape, what="X")
        if len(X.shape) > 2:
            X = X.reshape(len(X), math.prod(X.shape[1:]))
        # The first dtype is what others become; float32 stays, for images are large.
        dtypes = [np.float64, np.float32, *(WHOLE if as_images else ())]
        rows: np.ndarray = validate_data(self, X, reset=reset, dtype=dtypes, ensure_min_samples=2 if reset else 1)
        return unit_pixels(rows[:, None, :, None])[:, 0, :, 0] if rows.dtype in WHOLE else rows

    def _find_shape(self, X: Any, features: int) -> tuple[int, int, int]:
        given = None if self.image_shape is None else _with_channels(tuple(self.image_shape))
        if len(X.shape) > 2:
            found = _with_channels(X.shape[1:])
            if given not in (None, found):
                raise InputError(f"image_shape is {given}, but X holds images of {found}; leave image_shape out")
            return found
        if given is None:
            return (1, features, 1)
        if math.prod(given) != features:
            raise InputError(
                f"image_shape {given} takes rows of {math.prod(given)} numbers, got X with {features} feature(s)"
            )
        return given

    def _as_images(self, rows: np.ndarray) -> Float[np.ndarray, "n h w c"]:
        with np.errstate(over="ignore"):
            scaled = np.clip((rows - self.low_) / self.range_, -FARTHEST, FARTHEST)
        return scaled.astype(np.float32).reshape(-1, *self.image_shape_)

    def _choose_recipe(self, rows: np.ndarray, *, as_images: bool) -> Recipe:
        if self.recipe is not None:
            return named(self.recipe)
        if as_images:
            return RECIPES["auto"]
        if rows.shape[1] < 2:
            raise InputError(
                "the default recipe compares features, got X with 1 feature(s); take recipe='pixel-neighbours'"
            )
        count = min(MOST_COMPONENTS, *(size - 1 for size in rows.shape))
        changes: dict[str, Any] = {"score_name": "mahalanobis", "count": count}
        return dataclasses.replace(RECIPES["pixel-components"], **changes)

    def _key(self) -> Any:
        state: Any = self.random_state
        whole = isinstance(state, int | np.integer)
        return jax.random.key(int(state) if whole else check_random_state(state).randint(2**31 - 1))

    def _score(self, images: Float[np.ndarray, "n h w c"]) -> Float[np.ndarray, " n"]:
        # Batches of one size run one compiled program: another one rounds differently.
        size = min(MOST_SAMPLES, max(1, BATCH_PIXELS // math.prod(self.image_shape_[:2])))
        batches = (filled(images[begin : begin + size], size) for begin in range(0, len(images), size))
        scores = [self.detector_.score(batch, any_range=self._any_range).score for batch in batches]
        return -np.concatenate(scores)[: len(images)].astype(np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "detector_" in state:
            state["detector_"] = bundle.pack(*self.detector_.contents())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "detector_" in state:
            state = {**state, "detector_": from_contents(*bundle.unpack(state["detector_"]), "in memory")}
        super().__setstate__(state)


def _with_shape(X: Any) -> Any:
    """X itself, such as a data frame or a sparse matrix, or the array of a list and of what else has no shape."""
    if hasattr(X, "shape"):
        return X
    shapes = dict.fromkeys(one.shape for one in X if hasattr(one, "shape")) if isinstance(X, list | tuple) else ()
    if len(shapes) > 1:
        raise InputError(
            f"samples of X must have one shape, got {' and '.join(map(str, list(shapes)[:2]))}; bring images to one "
            "size, or save them as files, which jaxad.folders.fit_folder takes in any sizes"
        )
    return np.asarray(X)


def _with_channels(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) not in (2, 3):
        raise InputError(
            f"X must be rows [n, features] or images [n, h, w] or [n, h, w, c], got samples of shape {shape}"
        )
    return shape[0], shape[1], shape[2] if len(shape) == 3 else 1
