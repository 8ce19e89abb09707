"""The one-class SVM of scikit-learn: fitted on the host, scored on the device from plain arrays.

Codes are `[n, z]`, finite and within 1e9 of zero, for they are squared, and those to fit to differ by 1e-18 or more, or
not at all. A score has no unit, and is positive outside of what the SVM takes for normal.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxad._check import InputError, need_finite, need_floats

LARGEST = 1e9
"""Of the codes to fit to; their squares, added up, are numbers in float32 yet."""


class OneClassSVM(NamedTuple):
    """A fitted SVM with the kernel exp(-gamma |x - s|^2); a pytree of float32 arrays."""

    support_vectors: Float[Array | np.ndarray, "m z"]
    weights: Float[Array | np.ndarray, " m"]
    """One a support vector, scikit-learn's `dual_coef_`."""
    intercept: Float[Array | np.ndarray, ""]
    gamma: Float[Array | np.ndarray, ""]

    def score(self, codes: Float[Array | np.ndarray, "n z"]) -> Float[Array, " n"]:
        """Minus the decision function, `-(sum_i weights_i exp(-gamma |x - s_i|^2) + intercept)`, `[n]`.

        Schölkopf et al., Estimating the support of a high-dimensional distribution, 2001.

        Raises:
            InputError: codes that are no floats, or of another length than those it was fitted on.
        """
        need_floats(codes, "n z", what="codes")
        length = self.support_vectors.shape[1]
        if codes.shape[1] != length:
            raise InputError(f"codes must hold {length} numbers each, as those it was fitted on, got {codes.shape[1]}")
        # Squares of small codes would be lost before gamma, which is large then, could multiply them.
        difference = jnp.sqrt(self.gamma) * (codes[:, None, :] - self.support_vectors[None])
        similarity = jnp.exp(-jnp.sum(difference**2, axis=-1))
        return -(similarity @ self.weights + self.intercept)


def _need_codes(codes: np.ndarray) -> None:
    need_floats(codes, "n z", what="codes")
    need_finite(codes, what="codes")


def reference_scores(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The same SVM, fitted to rows `[n, z]` and scored on rows `[m, z]` by scikit-learn in float64: `[m]`.

    Raises:
        InputError: no float rows, NaN or infinity among them, or numbers too large to be squared.
    """
    _need_codes(test)
    return -_fit(train).decision_function(test)


def fit(codes: np.ndarray) -> OneClassSVM:
    """Fit scikit-learn's `OneClassSVM` with its defaults (RBF, gamma "scale", nu 0.5) to codes `[n, z]`.

    Raises:
        InputError: no float codes, NaN or infinity among them, or numbers too large to be squared.
    """
    fitted = _fit(codes)
    # One that nearly has none asks for more than float32 holds.
    gamma = min(fitted._gamma, np.finfo(np.float32).max)
    fields = fitted.support_vectors_, fitted.dual_coef_[0], fitted.intercept_[0], gamma
    return OneClassSVM(*(np.asarray(field, np.float32) for field in fields))


def _fit(codes: np.ndarray) -> Any:
    import sklearn.svm

    _need_codes(codes)
    codes = np.asarray(codes, np.float64)
    largest = np.abs(codes).max(initial=0.0)
    if largest > LARGEST:
        raise InputError(
            f"codes of a one-class SVM must be within {LARGEST:g} of zero, got {largest:.3g}; scale them down"
        )
    # A dead code has no spread at all, for which "scale" is defined as 1.
    return sklearn.svm.OneClassSVM().fit(codes)
