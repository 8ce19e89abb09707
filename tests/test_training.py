import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxad._check import InputError
from jaxad.training import DivergedError, fit, make_state

pytestmark = pytest.mark.usefixtures("compile_fast")

# An example is two pixels, a number and its target; the model is a line.
X = np.random.default_rng(0).normal(size=40)
Y = 3 * X - 1 + 0.1 * np.random.default_rng(1).normal(size=40)
EXAMPLES = np.stack([X, Y], 1).astype(np.float32).reshape(40, 1, 2, 1)
START = {"slope": jnp.zeros(()), "offset": jnp.zeros(())}


def squared_error(variables, batch, key):
    """Mean squared error of the line; `key` moves the inputs a little, `counts` counts the calls."""
    params, counts = variables["params"], variables["counts"]
    x, y = batch[:, 0, 0, 0], batch[:, 0, 1, 0]
    x = x + counts["noise"] * jax.random.normal(key, x.shape)
    value = jnp.mean((params["slope"] * x + params["offset"] - y) ** 2)
    return value, ({"counts": counts | {"calls": counts["calls"] + 1}}, {"mean_x": jnp.mean(x)})


def start(optimizer, noise=0.1):
    return make_state({"params": START, "counts": {"calls": jnp.zeros(()), "noise": noise}}, optimizer)


def train(*, seed=0, state=None, optimizer=None, loss=squared_error, noise=0.1, epochs=5, batch_size=8, **options):
    optimizer = optimizer or optax.adam(0.05)
    state = start(optimizer, noise) if state is None else state
    options |= {"loss": loss, "optimizer": optimizer, "epochs": epochs, "batch_size": batch_size}
    return fit(jax.random.key(seed), state, EXAMPLES, **options)


def assert_same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.fixture(scope="module")
def whole():
    """State and history of five epochs."""
    return train()


@pytest.fixture(scope="module")
def two_epochs():
    return train(epochs=2)


def test_same_key_same_bits(whole):
    state, history = train()
    assert_same(state, whole[0])
    assert_same(history.terms, whole[1].terms)


def test_another_key_another_result(whole):
    other, _ = train(seed=1)
    assert other.params["slope"] != whole[0].params["slope"]


def test_resumed_is_uninterrupted(whole, two_epochs):
    first, start_of_history = two_epochs
    resumed, rest = train(state=first)
    assert_same(resumed, whole[0])
    for name, values in whole[1].terms.items():
        np.testing.assert_array_equal(np.concatenate([start_of_history.terms[name], rest.terms[name]]), values)
    same, nothing = train(state=resumed)
    assert_same(same, resumed)
    assert nothing.terms == {}
    _, history = train(state=first, so_far=start_of_history)
    assert_same(history.terms, whole[1].terms)
    assert history.seconds > start_of_history.seconds


def test_line_reaches_its_closed_form():
    state, history = train(noise=0.0, optimizer=optax.sgd(0.3), epochs=200, batch_size=len(X))
    expected, (rest,), *_ = np.linalg.lstsq(np.stack([X, np.ones_like(X)], 1), Y)
    np.testing.assert_allclose([state.params["slope"], state.params["offset"]], expected, rtol=1e-6)
    # Each term of the loss is a difference of numbers of about 1, so it is off by a rounding of 1.
    np.testing.assert_allclose(history.terms["loss"][-1], rest / len(X), atol=1e-7)
    assert history.terms["loss"][0] == pytest.approx(np.mean(Y**2), rel=1e-6)
    assert (np.diff(history.terms["loss"][:20]) < 0).all()


def test_first_update_by_hand():
    state, _ = train(noise=0.0, optimizer=optax.sgd(0.5), epochs=1, batch_size=len(X))
    assert state.params["slope"] == pytest.approx(np.mean(X * Y), rel=1e-5)
    assert state.params["offset"] == pytest.approx(np.mean(Y), rel=1e-5)


@pytest.mark.parametrize(("batch_size", "steps"), [(7, 5), (40, 1), (1000, 1)])
def test_epochs_are_whole_batches(batch_size, steps):
    state, history = train(epochs=3, batch_size=batch_size)
    assert state.step == state.collections["counts"]["calls"] == 3 * steps
    assert {name: (values.shape, values.dtype) for name, values in history.terms.items()} == dict.fromkeys(
        ("loss", "mean_x"), ((3,), np.float32)
    )
    assert history.seconds > 0
    assert history.compile_seconds > 0


def test_an_epoch_sees_every_example_once():
    _, history = train(noise=0.0, batch_size=8)
    # Means of five batches of eight: all forty numbers, whatever their order.
    np.testing.assert_allclose(history.terms["mean_x"], np.full(5, X.mean()), atol=1e-7)


@pytest.mark.parametrize(("noise", "batch_size"), [(0.0, 39), (0.1, 40)], ids=["order", "noise"])
def test_every_epoch_draws_anew(noise, batch_size):
    """One batch an epoch: the example left out, or the noise of all, tells epochs apart."""
    _, history = train(noise=noise, batch_size=batch_size)
    assert len(set(history.terms["mean_x"].tolist())) > 1


def test_on_epoch_is_told_the_means():
    told = []
    _, history = train(epochs=3, on_epoch=lambda done, terms: told.append((done, terms)))
    assert [done for done, _ in told] == [1, 2, 3]
    for name, values in history.terms.items():
        np.testing.assert_array_equal(np.float32([terms[name] for _, terms in told]), values)


@jax.custom_jvp
def scale_gradient(value, factor):
    return value


scale_gradient.defjvp(lambda primals, tangents: (primals[0], primals[1] * tangents[0]))


def broken_after(updates, *, gradient_alone):
    """The squared error; after so many updates NaN, or finite with a gradient of NaN."""

    def loss(variables, batch, key):
        value, aux = squared_error(variables, batch, key)
        factor = jnp.where(variables["counts"]["calls"] >= updates, jnp.nan, 1.0)
        return (scale_gradient(value, factor) if gradient_alone else factor * value), aux

    return loss


@pytest.mark.parametrize("gradient_alone", [False, True])
@pytest.mark.parametrize("updates", [10, 14])
def test_diverged_carries_the_last_good_state(updates, gradient_alone, whole, two_epochs):
    """Five updates make an epoch, so both break in the third; the loss of its last update need not show it."""
    what = "the weights are no longer finite" if gradient_alone and updates == 14 else "the loss is nan"
    with pytest.raises(DivergedError, match=f"{what} in epoch 3 of 3; lower the learning") as caught:
        train(epochs=3, loss=broken_after(updates, gradient_alone=gradient_alone))
    np.testing.assert_array_equal(caught.value.history.terms["mean_x"], whole[1].terms["mean_x"][:2])
    assert caught.value.state.step == 10
    assert_same(caught.value.state.params, two_epochs[0].params)


def test_huge_learning_rate_diverges():
    with pytest.raises(DivergedError, match="epoch 1 of 5") as caught:
        train(optimizer=optax.sgd(1e30))
    assert_same(caught.value.state, start(optax.sgd(1e30)))
    assert caught.value.history.terms == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_bad_numbers(options, message):
    with pytest.raises(InputError, match=message):
        train(**options)


def test_no_examples():
    options = {"loss": squared_error, "optimizer": optax.adam(0.05), "epochs": 1, "batch_size": 8}
    with pytest.raises(InputError, match=r"examples must hold at least one image.*got shape \(0, 1, 2, 1\)"):
        fit(jax.random.key(0), start(optax.adam(0.05)), EXAMPLES[:0], **options)


# One more update after every epoch

EXTRA = np.float32([[[[5.0], [-2.0]]], [[[4.0], [3.0]]]])


def test_extra_batch_is_one_more_update_an_epoch():
    state, history = train(epochs=3, extra_batch=EXTRA)
    assert state.step == state.collections["counts"]["calls"] == 3 * (5 + 1)
    # The means of an epoch leave it out.
    np.testing.assert_allclose(train(epochs=3, noise=0.0, extra_batch=EXTRA)[1].terms["mean_x"], X.mean(), atol=1e-7)
    assert history.terms["loss"].shape == (3,)


@pytest.mark.slow
def test_extra_update_by_hand():
    rate = 0.01
    options = {"noise": 0.0, "optimizer": optax.sgd(rate), "epochs": 1, "batch_size": len(X)}
    (before, _), (after, _) = train(**options), train(**options, extra_batch=EXTRA)
    x, y = EXTRA[:, 0, 0, 0].astype(np.float64), EXTRA[:, 0, 1, 0].astype(np.float64)
    slope, offset = (float(before.params[name]) for name in ("slope", "offset"))
    error = slope * x + offset - y
    assert after.params["slope"] == pytest.approx(slope - rate * 2 * np.mean(error * x), rel=1e-5)
    assert after.params["offset"] == pytest.approx(offset - rate * 2 * np.mean(error), rel=1e-5)


def test_resumed_with_extra_batch_is_uninterrupted():
    whole_state, whole_history = train(epochs=4, extra_batch=EXTRA)
    first, start_of_history = train(epochs=2, extra_batch=EXTRA)
    resumed, rest = train(epochs=4, state=first, extra_batch=EXTRA)
    assert_same(resumed, whole_state)
    for name, values in whole_history.terms.items():
        np.testing.assert_array_equal(np.concatenate([start_of_history.terms[name], rest.terms[name]]), values)


# What else is reported


def test_monitor_and_on_state_see_the_state_after_the_epoch(whole):
    told = []
    state, history = train(
        monitor=lambda state: {"slope": state.params["slope"]},
        on_state=lambda done, state, history: told.append((done, state, history)),
        extra_batch=None,
    )
    assert [done for done, *_ in told] == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(history.terms["slope"], [state.params["slope"] for _, state, _ in told])
    assert_same(told[-1][1], state)
    for done, _, so_far in told:
        assert_same(so_far.terms, {name: values[:done] for name, values in history.terms.items()})
    # Watching changes nothing.
    assert_same(state, whole[0])
    assert set(history.terms) == {"loss", "mean_x", "slope"}


# Members


def train_members(seeds, examples=EXAMPLES, **options):
    optimizer = optax.adam(0.05)
    state = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * len(seeds)), start(optimizer))
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    options = {"loss": squared_error, "optimizer": optimizer, "epochs": 3, "batch_size": 8} | options
    return fit(keys, state, examples, **options)


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("extra", [None, EXTRA], ids=["plain", "extra"])
def test_members_equal_single_fits(own, extra):
    """To rounding: a vectorised sum may be added in another order."""
    seeds = (0, 1, 5)
    each = [EXAMPLES + np.float32(0.1 * i) if own else EXAMPLES for i in range(3)]
    told = []
    state, history = train_members(
        seeds, np.stack(each) if own else EXAMPLES, extra_batch=extra, on_epoch=lambda *news: told.append(news)
    )
    assert history.terms["loss"].shape == (3, 3)
    np.testing.assert_allclose([news["loss"] for _, news in told], history.terms["loss"].mean(1), rtol=1e-5)
    for i, seed in enumerate(seeds):
        options = {"loss": squared_error, "optimizer": optax.adam(0.05), "epochs": 3, "batch_size": 8}
        alone, its_history = fit(jax.random.key(seed), start(optax.adam(0.05)), each[i], extra_batch=extra, **options)
        assert state.step[i] == alone.step
        member = jax.tree.map(lambda leaf, i=i: leaf[i], state.params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), member, alone.params)
        for name, values in its_history.terms.items():
            np.testing.assert_allclose(history.terms[name][:, i], values, rtol=1e-5, atol=1e-6)


def test_one_diverging_member_stops_all():
    def loss(variables, batch, key):
        value, aux = squared_error(variables, batch, key)
        return value * jnp.where(variables["params"]["offset"] > 100, jnp.nan, 1.0), aux

    optimizer = optax.sgd(0.01)
    state = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 2), start(optimizer))
    state = state._replace(params=state.params | {"offset": jnp.array([0.0, 101.0])})
    keys = jax.random.split(jax.random.key(0), 2)
    with pytest.raises(DivergedError, match="epoch 1 of 2"):
        fit(keys, state, EXAMPLES, loss=loss, optimizer=optimizer, epochs=2, batch_size=8)
