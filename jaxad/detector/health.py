"""What can be wrong with a trained detector although its loss looks well."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxad import metrics
from jaxad._types import Images, PRNGKey
from jaxad.defects import draw_on_each
from jaxad.detector.autoencoders import AutoencoderSystem
from jaxad.detector.detector import Detector
from jaxad.detector.patch_vae import PatchVAESystem
from jaxad.losses import divergence
from jaxad.models import PatchVAEOutput

DEAD = 1e-6
"""A code unit that varies less than this over the training images says nothing of them."""
COLLAPSED = 0.01
"""Nats: a latent dimension below this carries no information."""
WINDOWS = 4096
"""Windows of a patch model to look at."""
BLIND = 0.6
"""AUROC between normal images and copies made wrong below which a detector is no use."""
DRAWN = 64
"""Images with defects to judge by, at least; few images are drawn on several times."""


def find_faults(detector: Detector, images: Images) -> list[str]:
    """Sentences on a dead code, a collapsed posterior, a blind reconstruction and a constant score.

    The list is empty where all is well.

    Args:
        detector: the detector.
        images: normal images `[n, h, w, c]` to look at, such as those it was trained on.
    """
    faults = []
    system = detector.system
    seen = made = np.asarray(images)
    if isinstance(system, AutoencoderSystem):
        made = detector.reconstruct(images)
        codes = detector.encode(images).reshape(len(images), -1)
        dead = int(np.count_nonzero(codes.std(axis=0) < DEAD))
        if 2 * dead >= codes.shape[1]:
            faults.append(
                f"dead code: {dead} of {codes.shape[1]} code units give the same number for every image; "
                "train with another seed or a linear code"
            )
    if isinstance(system, PatchVAESystem):
        windows = system.make_examples(jax.random.key(0), jnp.asarray(images))[:WINDOWS]
        output = PatchVAEOutput(*system.make_model().apply(detector.variables, windows))
        seen, made = np.asarray(windows), np.asarray(output.mean)
        # `divergence` sums the last axis, so each latent dimension goes in as codes of one entry.
        columns = (code.T[..., None] for code in (output.z_mean, output.z_log_variance))
        each = [float(value) for value in jnp.mean(jax.vmap(divergence)(*columns), axis=1)]
        if max(each) < COLLAPSED:
            shown = ", ".join(f"{value:.4f}" for value in each)
            faults.append(
                f"collapsed posterior: the divergence is {shown} nats in the latent dimensions, so the code says "
                "nothing of the image; train longer, or with another seed"
            )
    error, spread = float(np.mean((seen - made) ** 2)), float(np.mean(seen.var(axis=0)))
    if error > spread > 0:
        faults.append(
            f"blind reconstruction: its squared error is {error:.4g} a pixel, but {spread:.4g} for the mean of the "
            "training images, so it says less than one fixed picture; lower the learning rate, or train with "
            "another seed"
        )
    scores = detector.score(images).score
    if np.ptp(scores) <= 1e-6 * max(1.0, float(np.abs(scores).max())):
        faults.append(f"constant score: every image scores {scores[0]:.6g}; the detector cannot tell them apart")
    return faults


def tell_drawn_defects(key: PRNGKey, detector: Detector, images: Images) -> float:
    """AUROC between held-out normal images `[n, h, w, c]` and copies with a defect drawn on each; see `jaxad.defects`.

    Near a half the detector has no eye for defects: it may copy whatever it sees, or the images vary too much. Images
    that it was trained on would flatter it: to nearest neighbours they are at no distance at all.
    """
    drawn = draw_on_each(key, np.tile(images, (-(-DRAWN // len(images)), 1, 1, 1)))
    return metrics.auroc_between(detector.score(images).score, detector.score(drawn).score)
