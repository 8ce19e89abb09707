"""Image anomaly detection in JAX: fit on normal images, score new ones, see where they differ.

The public names are listed in the stub beside this file; each room loads when it is first touched.
"""

from jaxad import _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
