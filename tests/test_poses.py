import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, special

from jaxad._check import InputError
from jaxad.poses import Frame, bring_upright, find_poses, fit_frame, put_back
from tests.drawn import examples

pytestmark = pytest.mark.usefixtures("compile_fast")

PLAIN = Frame(jnp.zeros((48, 64)), jnp.float32(1), jnp.float32(0))


def bar(
    size: tuple[int, int], *, angle: float, row: float = 0.0, column: float = 0.0, length: float = 24, head: float = 1
) -> np.ndarray:
    """A dark bar, `head` times as wide at one end, turned about a point that is moved from the middle; `[h, w, 1]`."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    down, across = rows - (size[0] - 1) / 2 - row, columns - (size[1] - 1) / 2 - column
    along, beside = across * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - across * np.sin(angle)
    width = length / 8 * np.where(along > 0.6 * length, head, 1)
    # No sharper than a photograph, so that its middle may lie between pixels.
    inside = special.expit(2 * (length - np.abs(along))) * special.expit(2 * (width - np.abs(beside)))
    return (0.8 - 0.6 * inside).astype(np.float32)[..., None]


def wedge(size: tuple[int, int], **options: float) -> np.ndarray:
    return bar(size, head=3, **options)


def wedges(count: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    draw = np.random.default_rng(1)
    images = [wedge(size, angle=a, row=r, column=c) for a, r, c in draw.uniform(-3, 3, (count, 3))]
    return np.clip(np.stack(images) + draw.normal(0, 0.01, (count, *size, 1)), 0, 1).astype(np.float32)


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from([(96, 128), (128, 96), (150, 200)]), st.floats(-3.1, 3.1), st.floats(-4, 4), st.floats(-4, 4))
def test_the_pose_is_the_one_that_was_drawn(size, angle, row, column):
    drawn = bar(size, angle=angle, row=row, column=column, length=min(size) / 4)
    middle = [(length - 1) / 2 for length in size]
    template = jnp.zeros([max(1, round(length * min(1, 128 / max(size)))) for length in size])
    found = find_poses(drawn[None], PLAIN._replace(template=template))
    # A part upright lies along the longer side.
    wanted = angle if size[1] >= size[0] else angle - np.pi / 2
    between = np.arctan2(found.sine[0], found.cosine[0]) - wanted
    assert abs(np.sin(between)) < 0.02
    # Of which an eighth may be the step of a quarter, in which poses are told.
    np.testing.assert_allclose([found.row[0] - middle[0], found.column[0] - middle[1]], [row, column], atol=0.3)


def test_an_empty_image_is_upright_as_it_is():
    images = np.full((2, 48, 64, 3), 0.3, np.float32)
    pose = find_poses(images, PLAIN)
    np.testing.assert_allclose(pose, np.repeat([[23.5], [31.5], [1.0], [0.0]], 2, axis=1), atol=1e-5)
    noise = np.random.default_rng(0).random((2, 48, 64, 3), np.float32)
    np.testing.assert_allclose(bring_upright(noise, pose, PLAIN), noise, atol=1e-4)
    np.testing.assert_allclose(put_back(noise[..., 0], pose, PLAIN), noise[..., 0], atol=1e-4)


def _in_steps(matrix: np.ndarray) -> np.ndarray:
    """As images are sampled, so that rounding moves no pixel."""
    return np.round(matrix * 4096) / 4096


@pytest.mark.parametrize("zoom", [1.0, 0.7])
def test_images_are_sampled_as_scipy_does(zoom):
    images, frame = wedges(2, (48, 64)), PLAIN._replace(zoom=jnp.float32(zoom))
    pose = find_poses(images, frame)
    upright, middle = bring_upright(images, pose, frame), np.array([23.5, 31.5])
    maps = np.random.default_rng(2).random((2, 48, 64)).astype(np.float32)
    back = put_back(maps, pose, frame)
    for i in range(2):
        row, column, cosine, sine = (np.float64(each[i]) for each in pose)
        to_image = np.array([[cosine, sine], [-sine, cosine]])
        moved = np.array([row, column]) - _in_steps(to_image / zoom) @ middle
        options = {"order": 1, "mode": "nearest"}
        slow = ndimage.affine_transform(images[i, ..., 0], _in_steps(to_image / zoom), moved, **options)
        np.testing.assert_allclose(upright[i, ..., 0], slow, atol=2e-4)
        moved = middle - zoom * to_image.T @ np.array([row, column])
        slow = ndimage.affine_transform(maps[i], zoom * to_image.T, moved, **options)
        np.testing.assert_allclose(back[i], slow, atol=2e-4)


def test_parts_that_lie_anyhow_are_alike_once_upright():
    images = wedges(24)
    frame = fit_frame(images)
    assert frame.left < 0.1
    upright = np.asarray(bring_upright(images, find_poses(images, frame), frame))[..., 0]
    dark = upright < 0.5
    # Widest on one side: that is where every head lies.
    heads = dark[:, :, 32:].sum(axis=(1, 2)) - dark[:, :, :32].sum(axis=(1, 2))
    assert abs(np.sign(heads).sum()) == len(images)
    alike = np.repeat(images[:1], 5, axis=0) + 0.02 * np.random.default_rng(0).random((5, 64, 64, 1), np.float32)
    assert fit_frame(alike).left > 0.5
    assert fit_frame(alike[:1].repeat(12, axis=0)).left == 1


@pytest.mark.parametrize("length", [12, 38])
def test_parts_fill_the_frame_and_none_is_cut(length):
    size = (64, 96)
    images = np.stack([wedge(size, angle=angle, length=length) for angle in np.arctan2(64, 96) * np.array([1, -1, 1])])
    frame = fit_frame(images)
    dark = np.asarray(bring_upright(images, find_poses(images, frame), frame))[..., 0] < 0.6
    columns = np.flatnonzero(dark.any(axis=(0, 1)))
    assert columns[0] > 1
    assert columns[-1] < 94
    assert columns[-1] - columns[0] > 55


@pytest.mark.parametrize("size", [(48, 64), (64, 64), (64, 48)])
def test_round_parts_are_not_turned(size):
    draw = np.random.default_rng(2)
    rows, columns = np.mgrid[: size[0], : size[1]]
    moved = draw.uniform(-2, 2, (6, 2)) + (np.array(size) - 1) / 2
    images = np.stack([special.expit(4 * (np.hypot(rows - r, columns - c) - 12)) for r, c in moved])
    images = (0.2 + 0.6 * images[..., None]).astype(np.float32)
    pose = find_poses(images, fit_frame(images))
    np.testing.assert_array_equal(pose.cosine, 1)
    np.testing.assert_array_equal(pose.sine, 0)


def test_one_pixel_across_gives_numbers():
    frame = fit_frame(np.random.default_rng(0).random((3, 16, 1, 1), np.float32))
    assert np.isfinite([frame.zoom, frame.left]).all()
    assert frame.zoom > 0


def test_what_cannot_be_is_refused(unchecked):
    with pytest.raises(InputError, match=r"those of the frame, 48 x 64 pixels when small, got 48 x 48; resize them"):
        find_poses(np.zeros((1, 48, 48, 1), np.float32), PLAIN)
    with pytest.raises(InputError, match="no axis of length 0"):
        fit_frame(np.zeros((0, 48, 48, 1), np.float32))
    pose = find_poses(np.zeros((1, 48, 64, 1), np.float32), PLAIN)
    with pytest.raises(InputError, match="one pose an image, got 1 for 2"):
        bring_upright(np.zeros((2, 48, 64, 1), np.float32), pose, PLAIN)
    with pytest.raises(InputError, match="one pose a map, got 1 for 2"):
        put_back(np.zeros((2, 48, 64), np.float32), pose, PLAIN)
