"""What a method of your own is: a recipe that says what its model is, what is trained or solved, and how it scores."""

from typing import Any

from jaxtyping import Float

from jaxad.recipes.recipe import Recipe

# Arrays are any, and no annotation loads jax: the command line reads recipes before it starts it.
Variables = dict[str, Any]
Shape = tuple[int, int, int]
ScoreMap = Float[Any, "n h w"]
Score = ScoreMap | tuple[Float[Any, " n"], ScoreMap]


class TrainedRecipe(Recipe, kind=""):
    """What every recipe of one network says of its training."""

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

    def optimizer(self, *, updates: int) -> Any:
        """The optax transformation that trains, for so many updates in all: by default Adam as the fields say."""
        import optax

        def decayed(done: Any) -> Any:
            return self.learning_rate / (1.0 + self.learning_rate_decay * done)

        rate: Any = decayed if self.learning_rate_decay else self.learning_rate
        if self.one_cycle:
            rate = optax.cosine_onecycle_schedule(updates, self.learning_rate)
        adam = optax.adam(rate, eps=self.adam_epsilon)
        if not self.weight_decay:
            return adam
        return optax.chain(optax.add_decayed_weights(self.weight_decay), adam)


class MethodRecipe(Recipe, kind=""):
    """What methods of your own have in common; subclass `NetworkRecipe` or `SolvedRecipe`."""

    @property
    def reach(self) -> int | None:
        """For methods that take images of any size: pixels from one whose score is asked for to the furthest in it.

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
        """See `Recipe`."""
        return self.reach is None or bool(self.holdout)

    @property
    def sees_windows(self) -> bool:
        """See `Recipe`."""
        return self.reach is not None


class NetworkRecipe(MethodRecipe, TrainedRecipe, kind=""):
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

    def model(self, shape: Shape) -> Any:
        """The flax module for images of height, width and channels `shape`."""
        raise NotImplementedError(f"{type(self).__name__} must define model(self, shape)")

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
        raise NotImplementedError(f"{type(self).__name__} must define loss(self, model, variables, batch, key)")

    def finish(self, model: Any, variables: Variables, images: Float[Any, "n h w c"]) -> Variables:
        """The variables after training, with what is fitted then on images `[n, h, w, c]`, such as a memory bank."""
        return variables

    def score(self, model: Any, variables: Variables, images: Float[Any, "n h w c"]) -> Score:
        """The anomaly map `[n, h, w]`, which the recipe's `pool` makes a score of; or scores `[n]` and the map."""
        raise NotImplementedError(f"{type(self).__name__} must define score(self, model, variables, images)")


class SolvedRecipe(MethodRecipe, kind=""):
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
        """What is fitted on normal images `[n, h, w, c]`: nested dictionaries of arrays."""
        raise NotImplementedError(f"{type(self).__name__} must define solve(self, images)")

    def score(self, variables: Variables, images: Float[Any, "n h w c"]) -> Score:
        """The anomaly map `[n, h, w]`, which the recipe's `pool` makes a score of; or scores `[n]` and the map."""
        raise NotImplementedError(f"{type(self).__name__} must define score(self, variables, images)")
