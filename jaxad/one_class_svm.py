"""The one-class SVM of scikit-learn: fitted on the host, scored on the device from plain arrays.

Codes are `[n, z]`; a score has no unit, and is positive outside of what the SVM takes for normal.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


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
        """
        difference = codes[:, None, :] - self.support_vectors[None]
        similarity = jnp.exp(-self.gamma * jnp.sum(difference**2, axis=-1))
        return -(similarity @ self.weights + self.intercept)


def reference_scores(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The same SVM, fitted to rows `[n, z]` and scored on rows `[m, z]` by scikit-learn in float64: `[m]`."""
    import sklearn.svm

    return -sklearn.svm.OneClassSVM().fit(train).decision_function(test)


def fit(codes: np.ndarray) -> OneClassSVM:
    """Fit scikit-learn's `OneClassSVM` with its defaults (RBF, gamma "scale", nu 0.5) to codes `[n, z]`."""
    import sklearn.svm

    # A dead code has no spread at all, for which "scale" is defined as 1.
    fitted = sklearn.svm.OneClassSVM().fit(np.asarray(codes, np.float64))
    fields = fitted.support_vectors_, fitted.dual_coef_[0], fitted.intercept_[0], fitted._gamma
    return OneClassSVM(*(np.asarray(field, np.float32) for field in fields))
