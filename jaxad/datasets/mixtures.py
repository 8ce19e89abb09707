"""Image sets made of others: contaminated by anomalies, or of pure noise."""

import numpy as np

from jaxad._check import InputError, need_at_least
from jaxad.datasets.image_set import ImageSet


def contaminate(normal: ImageSet, anomalies: ImageSet, *, share: float, seed: int = 42) -> ImageSet:
    """Hide anomalies among normal images, as an unlabelled training set would.

    Args:
        normal: n images, all kept.
        anomalies: of these, `int(n * share)` are drawn.
        share: anomalies per normal image, in [0, 1).
        seed: of the draw and of the order.

    Returns:
        The mixture in random order: images `[n + int(n share), h, w, c]`, labels 0 (normal) or 1 (anomaly) and
        names for judging afterwards; training looks at neither.

    Raises:
        InputError: the share is not in [0, 1), there are fewer anomalies than it asks for, the sizes differ, or the
            seed is negative.
    """
    if not 0.0 <= share < 1.0:
        raise InputError(f"contamination must be a share in [0, 1), got {share}; 0.01 hides 1 anomaly per 100 normals")
    need_at_least(seed, 0, what="seed")
    wanted = int(len(normal) * share)
    if wanted > len(anomalies):
        raise InputError(
            f"contamination {share} of {len(normal)} normal images asks for {wanted} anomalies, "
            f"there are {len(anomalies)}; lower it"
        )
    if normal.images.shape[1:] != anomalies.images.shape[1:]:
        raise InputError(
            f"normal images and anomalies must have one size, got {normal.images.shape[1:]} and "
            f"{anomalies.images.shape[1:]}"
        )
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(anomalies))[:wanted]
    order = generator.permutation(len(normal) + wanted)
    labels = np.repeat([0, 1], [len(normal), wanted])
    hidden = anomalies.names or ("anomaly",) * len(anomalies)
    names = (*(normal.names or ("normal",) * len(normal)), *(hidden[i] for i in chosen))
    return ImageSet(
        images=np.concatenate([normal.images, anomalies.images[chosen]])[order],
        labels=labels[order],
        names=tuple(names[i] for i in order),
    )


def noise(count: int, shape: tuple[int, int, int], *, seed: int = 0) -> ImageSet:
    """Images of Gaussian noise, N(0, 1) in every pixel, so most pixels lie outside [0, 1].

    Args:
        count: number of images.
        shape: height, width and channels.
        seed: of the noise.

    Returns:
        Images `[count, *shape]`, labels 1, names "noise".

    Raises:
        InputError: a count or a size below 1, or a negative seed.
    """
    need_at_least(count, 1, what="count of noise images")
    need_at_least(min(shape), 1, what="height, width and channels of noise")
    need_at_least(seed, 0, what="seed")
    pixels = np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)
    return ImageSet(images=pixels, labels=np.ones(count, np.int64), names=("noise",) * count)
