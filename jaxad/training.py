"""Training: state in, state out, one compiled scan an epoch.

Nothing here knows a model, a loss or a recipe by name. Shuffling, noise and batches stay on the device;
the host sees one row of means per epoch.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree

from jaxad import sharding
from jaxad._check import InputError, need_at_least, need_images
from jaxad._types import Images, PRNGKey, PRNGKeys

Terms = dict[str, Float[Array, ""]]
Variables = dict[str, PyTree]
"""A model's collections by name: `params`, which are trained, and any others, such as `batch_stats`."""
LossFunction = Callable[[Variables, Float[Array, "b h w c"], PRNGKey], tuple[Float[Array, ""], tuple[Variables, Terms]]]
"""`loss(variables, batch, key)` gives the scalar to minimise, and collections that it changed with named terms."""

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called on the host with the epochs done and the terms of the last one."""

MembersImages = Float[Array | np.ndarray, "members n h w c"]
ExtraBatch = Float[Array | np.ndarray, "b h w c"]


class State(NamedTuple):
    """All that training changes; a pytree."""

    step: Int[Array, ""]
    """Updates made so far."""
    params: PyTree
    collections: Variables
    """The model's other collections by name, such as running statistics of BatchNorm."""
    opt_state: optax.OptState

    @property
    def variables(self) -> Variables:
        """All that the model is applied with."""
        return {"params": self.params, **self.collections}


class History(NamedTuple):
    """What training reports: `terms[name]` is a float32 array `[epochs]` of means over each epoch.

    Where several members are trained at once it is `[epochs, members]`.
    """

    terms: dict[str, np.ndarray]
    compile_seconds: float
    seconds: float
    """Wall time of the epochs, without compilation."""


class DivergedError(InputError):
    """Training left the finite numbers; `state` is the last good one, `history` what led there."""

    def __init__(self, message: str, state: State, history: History) -> None:
        super().__init__(message)
        self.state = state
        self.history = history


def make_state(variables: Variables, optimizer: optax.GradientTransformation) -> State:
    """The state before the first update, from a model's `init` and an optimiser."""
    params = variables["params"]
    collections = {name: values for name, values in variables.items() if name != "params"}
    return State(jnp.zeros((), jnp.int32), params, collections, optimizer.init(params))


def fit(
    key: PRNGKey | PRNGKeys,
    state: State,
    examples: Images | MembersImages,
    *,
    loss: LossFunction,
    optimizer: optax.GradientTransformation,
    epochs: int,
    batch_size: int,
    extra_batch: ExtraBatch | None = None,
    monitor: Callable[[State], Terms] | None = None,
    on_epoch: OnEpoch | None = None,
    on_state: Callable[[int, State, History], None] | None = None,
    so_far: History | None = None,
    mesh: Mesh | None = None,
) -> tuple[State, History]:
    """Train until `epochs` epochs are complete; the same key gives the same bits.

    Every epoch draws its own order and noise from `key` folded with the step, so a state saved between
    two epochs continues as if nothing had happened. Each epoch goes through whole batches and leaves the
    rest of that epoch's order out.

    A row of keys, `[members]`, with a state whose every leaf has that axis in front trains so many members
    in one compiled program.

    Args:
        key: draws orders and noise.
        state: where to start; see `make_state`.
        examples: `[n, h, w, c]`; a batch is drawn along the first axis. With `[members, n, h, w, c]` every
            member has its own, else they share them.
        loss: see `LossFunction`.
        optimizer: any optax transformation.
        epochs: epochs in all, those in `state` included.
        batch_size: examples an update; all of them where there are fewer.
        extra_batch: `[b, h, w, c]` for one more update after every epoch.
        monitor: what else to report of the state after every epoch, such as the loss on other images.
        on_epoch: called on the host with the epochs done and that epoch's terms, averaged over members.
        on_state: called on the host with the epochs done, the state and the history up to it.
        so_far: the history of the epochs that `state` has behind it; the new one goes on from there.
        mesh: devices to share every batch among, also those of other processes, which then make the same call; the
            result is that of one device to rounding. Each has all examples and the whole state.

    Returns:
        The new state, and the history with the mean of `loss` and of every term per epoch.

    Raises:
        InputError: no examples, `epochs` or `batch_size` below 1, or a term of the monitor called as one of the loss.
        DivergedError: the loss or a weight is no longer finite; carries the last good state.
    """
    members = key.ndim > 0
    own = members and np.ndim(examples) == 5
    need_images(examples[0] if own else examples, what="examples")
    need_at_least(epochs, 1, what="epochs")
    need_at_least(batch_size, 1, what="batch_size")
    count = examples.shape[1 if own else 0]
    batch_size = min(batch_size, count)
    steps = count // batch_size
    arguments = key, state, jnp.asarray(examples), None if extra_batch is None else jnp.asarray(extra_batch)

    began = time.perf_counter()
    mesh = mesh and sharding.automatic(mesh)
    epoch = make_epoch(loss, optimizer, steps=steps, batch_size=batch_size, monitor=monitor, mesh=mesh)
    if members:
        epoch = jax.vmap(epoch, in_axes=(0, 0, 0 if own else None, None))
    updates = steps + (extra_batch is not None)
    first = int(np.max(state.step)) // updates
    if mesh is not None:
        arguments = sharding.put_whole(arguments, mesh)
    with jax.set_mesh(mesh) if mesh else nullcontext():
        compiled = jax.jit(epoch, out_shardings=mesh and sharding.whole(mesh)).lower(*arguments).compile()
    compile_seconds = time.perf_counter() - began

    rows, earlier = (_rows(so_far), so_far.seconds) if so_far else ([], 0.0)
    began = time.perf_counter()

    def history() -> History:
        terms = {name: np.asarray([row[name] for row in rows], np.float32) for name in (rows[0] if rows else {})}
        return History(terms, compile_seconds, earlier + time.perf_counter() - began)

    key, spread, *rest = arguments
    for done in range(first, epochs):
        spread, terms = compiled(key, spread, *rest)
        new_state = sharding.own_copy(spread) if mesh else spread
        row = jax.device_get(terms)
        if not (np.isfinite(row["loss"]).all() and _all_finite(new_state.params)):
            what = "the weights are no longer finite"
            if not np.isfinite(row["loss"]).all():
                what = f"the loss is {row['loss']}"
            raise DivergedError(
                f"training diverged: {what} in epoch {done + 1} of {epochs}; "
                "lower the learning rate, or raise the batch size",
                state,
                history(),
            )
        state = new_state
        rows.append(row)
        if on_epoch is not None:
            on_epoch(done + 1, {name: float(np.mean(value)) for name, value in row.items()})
        if on_state is not None:
            on_state(done + 1, state, history())
    return state, history()


def make_epoch(
    loss: LossFunction,
    optimizer: optax.GradientTransformation,
    *,
    steps: int,
    batch_size: int,
    monitor: Callable[[State], Terms] | None = None,
    mesh: Mesh | None = None,
) -> Callable[[PRNGKey, State, Array, Array | None], tuple[State, Terms]]:
    """A pure function that runs one epoch and gives the new state with the mean of every term.

    Its arguments are the key, the state, the examples `[n, h, w, c]` and a batch `[b, h, w, c]` for one more
    update at the end, or None. On a `mesh` every device has its share of each batch.
    """

    def update(state: State, batch: Array, key: Array) -> tuple[State, Terms]:
        if mesh is not None:
            batch = jax.lax.with_sharding_constraint(batch, sharding.shares(mesh))

        def lost(params: PyTree) -> tuple[Array, tuple[Variables, Terms]]:
            return loss({"params": params, **state.collections}, batch, key)

        (value, (changed, terms)), gradients = jax.value_and_grad(lost, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(state.step + 1, params, {**state.collections, **changed}, opt_state), {"loss": value, **terms}

    def epoch(key: PRNGKey, state: State, examples: Array, extra_batch: Array | None = None) -> tuple[State, Terms]:
        shuffle_key, noise_key, extra_key = jax.random.split(jax.random.fold_in(key, state.step), 3)
        order = jax.random.permutation(shuffle_key, examples.shape[0])[: steps * batch_size]

        def body(state: State, pick: tuple[Array, Any]) -> tuple[State, Terms]:
            indices, number = pick
            return update(state, examples[indices], jax.random.fold_in(noise_key, number))

        picks = order.reshape(steps, batch_size), jnp.arange(steps)
        state, terms = jax.lax.scan(body, state, picks)
        terms = jax.tree.map(jnp.mean, terms)
        if extra_batch is not None:
            state, _ = update(state, extra_batch, extra_key)
        if monitor is not None:
            seen = monitor(state)
            if taken := sorted(terms.keys() & seen.keys()):
                raise InputError(f"no watched images may be called {taken[0]!r}: the loss has a term of that name")
            terms = {**terms, **seen}
        return state, terms

    return epoch


def _rows(history: History) -> list[dict[str, np.ndarray]]:
    """The terms of each epoch, every one still an array."""
    epochs = len(next(iter(history.terms.values()), ()))
    return [{name: values[done, ...] for name, values in history.terms.items()} for done in range(epochs)]


def _all_finite(params: PyTree) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(params)))
