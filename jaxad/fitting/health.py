"""What can be wrong with a trained detector although its loss looks well."""

import jax
import numpy as np

from jaxad import metrics
from jaxad._types import Images, PRNGKey
from jaxad.defects import draw_on_each
from jaxad.detector import Detector
from jaxad.recipes import NetworkRecipe

BLIND = 0.6
"""AUROC between normal images and copies made wrong below which a detector is no use."""
FEW = 16
"""Images that are scored first, and as many with defects at least; the others only where these leave doubt."""
PLAIN = 0.8
"""AUROC of the first ones that leaves no doubt."""
DRAWN = 64
"""Images with defects to judge all by, at least."""
TIMES = 8
"""How often one image is drawn on then, at most."""


def find_faults(detector: Detector, images: Images) -> list[str]:
    """Sentences on a dead code, a collapsed posterior, a blind reconstruction and a constant score.

    The list is empty where all is well.

    Args:
        detector: the detector.
        images: normal images `[n, h, w, c]` to look at, such as those it was trained on.
    """
    recipe, shape = detector.recipe, detector.shape
    faults = []
    if isinstance(recipe, NetworkRecipe):
        faults += recipe.faults(recipe.model(shape), detector.variables, images)
    for looked_at in (images[:FEW], images):
        scores = detector.score(looked_at).score
        if len(scores) < 2 or np.ptp(scores) > 1e-6 * max(1.0, float(np.abs(scores).max())):
            break
    else:
        faults.append(f"constant score: every image scores {scores[0]:.6g}; the detector cannot tell them apart")
    return faults


def tell_drawn_defects(key: PRNGKey, detector: Detector, images: Images) -> float:
    """AUROC between held-out normal images `[n, h, w, c]` and copies with a defect drawn on each; see `jaxad.defects`.

    Near a half the detector has no eye for defects: it may copy whatever it sees, or the images vary too much. Images
    that it was trained on would flatter it: to nearest neighbours they are at no distance at all. Where the first 16
    leave no doubt, the others are not looked at.
    """
    first_key, key = jax.random.split(key)
    told = _told(first_key, detector, images[:FEW], FEW)
    wanted = min(DRAWN, TIMES * len(images))
    return told if told >= PLAIN or wanted <= FEW else _told(key, detector, images, wanted)


def _told(key: PRNGKey, detector: Detector, images: Images, least: int) -> float:
    drawn = draw_on_each(key, np.tile(images, (-(-least // len(images)), 1, 1, 1)))
    return metrics.auroc_between(detector.score(images).score, detector.score(drawn).score)
