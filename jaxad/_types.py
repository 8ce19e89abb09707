"""Array aliases that the rooms share. No logic lives here."""

import numpy as np
from jaxtyping import Array, Float, Key, Shaped

AnyArray = Array | np.ndarray
"""A device array or a NumPy array; device code treats them alike."""

Pixels = Shaped[Array | np.ndarray, "n h w c"]
"""Images as they are given: uint8, uint16, or float in [0, 1]."""

Images = Float[Array | np.ndarray, "n h w c"]
"""Images: float32 in [0, 1]."""

Windows = Float[Array | np.ndarray, "k p q c"]
"""Square or oblong cut-outs of images, one a row."""

Maps = Float[Array | np.ndarray, "n h w"]
"""One score a pixel; higher is more anomalous."""

PRNGKey = Key[Array, ""]
"""A key made by `jax.random.key`."""

PRNGKeys = Key[Array, " members"]
"""A row of keys, one a member."""
