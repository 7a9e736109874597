"""Inner products of a pool with itself and with a target, computed when asked for.

Everything a reconstruction ``x = P^T w`` of a target q needs is in ``b = P q`` and in columns of the Gram
matrix ``G = P P^T``, so that no solver has the embedding dimension d in its inner loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

#: Scores closer than this are a tie. A matrix product may round equal rows differently, so equality of
#: floats would let the row order decide between exact duplicates.
TIE_TOLERANCE = 1e-12
#: Weights up to this are rounding, not support.
SUPPORT_TOLERANCE = 1e-9


def first_best(scores: Vector) -> int:
    """Index of the largest score; the lowest index among ties."""
    return int(np.argmax(scores >= scores.max() - TIE_TOLERANCE))


def support_of(weights: Vector) -> NDArray[np.int64]:
    """Indices with real weight, ascending."""
    return np.flatnonzero(weights > SUPPORT_TOLERANCE)


class Gram:
    """Lazy Gram matrix of a pool, with one target.

    Args:
        pool: shape (K, d).
        target: shape (d,), not necessarily of unit norm.

    Attributes:
        rows: the pool in float64, shape (K, d).
        b: ``P q``, shape (K,).
        diagonal: ``<p_i, p_i>``, shape (K,).
    """

    def __init__(self, pool: NDArray[Any], target: NDArray[Any]) -> None:
        self.rows: Matrix = np.asarray(pool, dtype=np.float64)
        self.target: Vector = np.asarray(target, dtype=np.float64)
        self.b: Vector = self.rows @ self.target
        self.target_square = float(self.target @ self.target)
        self.diagonal: Vector = np.einsum("kd,kd->k", self.rows, self.rows)
        self._columns: dict[int, Vector] = {}

    def column(self, index: int) -> Vector:
        """Column ``G[:, index]``, shape (K,); O(K d) the first time, O(1) after."""
        if index not in self._columns:
            self._columns[index] = self.rows @ self.rows[index]
        return self._columns[index]

    def block(self, indices: NDArray[np.int64]) -> Matrix:
        """``G[indices, indices]``, shape (m, m)."""
        rows = self.rows[indices]
        return np.asarray(rows @ rows.T)

    def certify(self, weights: Vector) -> tuple[float, float]:
        """Objective and Frank-Wolfe gap at convex ``weights``, from the residual itself.

        ``f(w) = ||q - x||^2`` and ``g(w) = max_p <grad f(w), w - e_p> = 2 max_p <q - x, p - x>``. One O(K d)
        product: the expanded ``qq - 2 b^T w + w^T G w`` cancels when the target is (almost) reached.
        """
        support = np.flatnonzero(weights)
        x = weights[support] @ self.rows[support]
        residual = self.target - x
        gap = 2.0 * float((self.rows @ residual).max() - residual @ x)
        return float(residual @ residual), max(gap, 0.0)
