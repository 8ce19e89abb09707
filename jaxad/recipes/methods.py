"""What a method is: a recipe that says what its model is, what is trained or solved, and how it scores."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import optax
from jaxtyping import Float, Int

from jaxad._check import InputError
from jaxad.recipes.recipe import Recipe, Shape, Variables

ScoreMap = Float[Any, "n h w"]


class PooledMap(NamedTuple):
    """An anomaly map whose pool is a score of the image, and what that score is beyond the pool, in the map's unit.

    The recipe's `judges_beyond_maps` must be True, so that it stays where maps are calibrated.
    """

    map: ScoreMap
    beyond: Float[Any, " n"]


Score = ScoreMap | PooledMap | tuple[Float[Any, " n"], ScoreMap]
Scores = Score | dict[str, Score]
LayerKind = Literal["Dense", "Conv", "ConvTranspose", "BatchNorm"]
ConvertedLayers = tuple[tuple[str, LayerKind | tuple[LayerKind, ...]], ...]
"""(path of the module in the model, kind of the layers that it takes); see `jaxad.convert`."""


class NetworkRecipe(Recipe, kind=""):
    """A method with a network that is trained: subclass it, add fields, and define `model`, `loss` and `score`.

    The subclass is a frozen dataclass without a decorator, and its name is its kind. Its detectors are fitted,
    calibrated, saved, loaded, scored from the command line and exported like those of jaxad's own recipes.

    >>> from flax import linen as nn
    >>> class Tiny(NetworkRecipe):
    ...     '''A linear autoencoder.'''
    ...
    ...     width: int = 8
    ...
    ...     def model(self, shape):
    ...         return nn.Sequential([nn.Dense(self.width), nn.Dense(shape[-1])])
    ...
    ...     def loss(self, model, variables, batch, key):
    ...         return ((batch - model.apply(variables, batch)) ** 2).mean(), {}, {}
    ...
    ...     def score(self, model, variables, images):
    ...         return ((images - model.apply(variables, images)) ** 2).mean(-1)
    >>> Tiny(width=4, epochs=3).name
    'Tiny'
    """

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    learning_rate_decay: float = 0.0
    """The rate is divided by 1 + this x updates made, as in the `decay` of older Keras."""
    one_cycle: bool = False
    """The rate rises to `learning_rate` and falls to nothing again over all updates, along cosines."""
    weight_decay: float = 0.0
    """Times the weights, added to the gradient: PyTorch's L2 form."""
    adam_epsilon: float = 1e-7
    restarts: int = 1
    """Trainings from different random choices, in one compiled program; the one whose last loss is lowest is kept."""

    def optimizer(self, *, updates: int) -> optax.GradientTransformation:
        """The optax transformation that trains, for so many updates in all: by default Adam as the fields say."""

        def decayed(done: Any) -> Any:
            return self.learning_rate / (1.0 + self.learning_rate_decay * done)

        rate: Any = decayed if self.learning_rate_decay else self.learning_rate
        if self.one_cycle:
            rate = optax.cosine_onecycle_schedule(updates, self.learning_rate)
        adam = optax.adam(rate, eps=self.adam_epsilon)
        if not self.weight_decay:
            return adam
        return optax.chain(optax.add_decayed_weights(self.weight_decay), adam)

    def model(self, shape: Shape) -> Any:
        """The flax module for images of height, width and channels `shape`."""
        raise self._lacks("model(self, shape)")

    def init(self, key: Any, model: Any, example: Float[Any, "1 ..."]) -> Variables:
        """The variables before training: a dictionary with `params` and whatever other collections there are.

        The example `[1, ...]` is what the model takes, of zeros.
        """
        return dict(model.init(key, example))

    def examples(self, key: Any, images: Float[Any, "n h w c"]) -> Float[Any, "m ..."] | None:
        """What to train on, `[m, ...]`, drawn once before training, such as windows; by default None: the images."""
        return None

    def loss(
        self, model: Any, variables: Variables, batch: Float[Any, "b ..."], key: Any
    ) -> tuple[Float[Any, ""], Variables, dict[str, Float[Any, ""]]]:
        """The number to minimise by `params` on a batch `[b, ...]`, the collections that changed, and terms by name."""
        raise self._lacks("loss(self, model, variables, batch, key)")

    def finish(self, model: Any, variables: Variables, images: Float[Any, "n h w c"]) -> Variables:
        """The variables after training, with what is fitted then on images `[n, h, w, c]`, such as a memory bank."""
        return variables

    def for_scoring(self, model: Any, variables: Variables) -> Variables:
        """The variables, with what makes scoring faster beside them; never saved.

        What is in the collection `tables` keeps its precision, whatever the model computes in.
        """
        return variables

    def score(self, model: Any, variables: Variables, images: Float[Any, "n h w c"]) -> Scores:
        """The anomaly map `[n, h, w]`, which the recipe's `pool` makes a score of; or scores `[n]` and the map.

        A `PooledMap` adds to the pool what the map does not show. A method with several scores gives them by name, and
        `score_name` says which judges. `model.apply` computes in the precision that is asked for, and gives float32.
        """
        raise self._lacks("score(self, model, variables, images)")

    def reconstruct(self, model: Any, variables: Variables, images: Float[Any, "n h w c"]) -> Any:
        """For autoencoders of whole images: `reconstruction` `[n, h, w, c]` and `code` `[n, ...]` of a named tuple.

        Raises:
            InputError: it is none.
        """
        raise InputError(f"recipe {self.name!r} is no autoencoder of whole images, so it reconstructs none; score them")

    def watch(self, model: Any, variables: Variables, images: Float[Any, "n h w c"]) -> Float[Any, " n"]:
        """The loss of each image `[n, h, w, c]`, as the model is when it scores, to watch while it is trained.

        Raises:
            InputError: the method has none, such as one of windows.
        """
        raise InputError(f"recipe {self.name!r} has no loss of whole images to watch; leave watched out")

    def faults(self, model: Any, variables: Variables, images: Float[Any, "n h w c"]) -> list[str]:
        """What is wrong with a model although its loss looks well, as sentences, by normal images `[n, h, w, c]`."""
        return []

    def template(self, model: Any, start: Variables, arrays: Mapping[str, Any]) -> Variables:
        """What a file must hold, as shapes.

        Args:
            model: see `model`.
            start: the variables before training, as shapes.
            arrays: those of the file by collection; what is not in `start` may be taken from them.
        """
        return {**{name: arrays[name] for name in arrays if name not in start}, **start}

    def converted_layers(self) -> ConvertedLayers:
        """The model's modules with the kind of layer that each takes from other frameworks' files, in forward order.

        Empty where weights cannot be converted; see `jaxad.convert`.
        """
        return ()

    @property
    def least_images(self) -> int:
        """Images that `finish` needs, at the least; fewer are refused before anything is trained."""
        return 1

    def without_finish(self) -> "NetworkRecipe":
        """The recipe for weights alone, where `score` needs what `finish` adds."""
        return self


class SolvedRecipe(Recipe, kind=""):
    """A method in closed form: subclass it, add fields, and define `solve` and `score`. See `NetworkRecipe`.

    >>> class Typical(SolvedRecipe):
    ...     '''The distance of each pixel to the mean of normal ones.'''
    ...
    ...     def solve(self, images):
    ...         return {"mean": images.mean(axis=0)}
    ...
    ...     def score(self, variables, images):
    ...         return ((images - variables["mean"][None]) ** 2).mean(-1)
    >>> Typical(pool="max").pool
    'max'
    """

    def solve(self, images: Float[Any, "n h w c"]) -> Variables:
        """What is fitted on normal images, a NumPy array `[n, h, w, c]`: nested dictionaries of arrays."""
        raise self._lacks("solve(self, images)")

    def score(self, variables: Variables, images: Float[Any, "n h w c"]) -> Scores:
        """The anomaly map `[n, h, w]`, or more; see `NetworkRecipe.score`."""
        raise self._lacks("score(self, variables, images)")

    def score_left_out(
        self, variables: Variables, images: Float[Any, "n h w c"], places: Int[Any, " n"]
    ) -> ScoreMap | PooledMap:
        """The anomaly maps `[n, h, w]` of images that were solved on, each as if it had not been among them.

        It is called outside `jax.jit`, so that it may compile what it shares with `solve` but once.

        Args:
            variables: what `solve` gave.
            images: some of those that were solved on, `[n, h, w, c]`.
            places: where each of them stood there, `[n]`.
        """
        raise self._lacks("score_left_out(self, variables, images, places)")

    def template(self, shape: Shape, arrays: Mapping[str, Any]) -> Variables:
        """What a file must hold, as shapes, for images of `shape`; `arrays` are those of the file."""
        return dict(arrays)


class ChoiceRecipe(Recipe, kind=""):
    """A choice among recipes by normal images alone; the one that is chosen is fitted in its place.

    See `jaxad.detector.choose_recipe`.
    """

    without_use: ClassVar[tuple[str, ...]] = ("pool",)

    candidates: tuple[Recipe, ...]
    photographs: tuple[Recipe, ...] = ()
    """What to fit on a folder of photographs that show more than the candidates see; one recipe, or none."""
    holdout: float = 0.2
    """Share of the normal images to judge the candidates by; the winner is then fitted on all."""
    images: int = 2000
    """Normal images to judge by, at most; random ones where there are more."""
    large: int = 96
    """Pixels of the shorter side, at the median, from which on photographs are that large."""

    @property
    def compares_positions(self) -> bool:
        """See `Recipe`; what the candidates do depends on the images."""
        return False

    @property
    def sees_windows(self) -> bool:
        """See `Recipe`."""
        return True
