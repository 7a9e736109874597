"""Inner products of a pool with itself and with a target, computed when asked for.

Everything a reconstruction ``x = P^T w`` of a target q needs is in ``b = P q`` and in columns of the Gram
matrix ``G = P P^T``, so that no solver has the embedding dimension d in its inner loop.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_strategies._rows import Matrix, Rows, Vector

__all__ = ["SUPPORT_TOLERANCE", "TIE_TOLERANCE", "Gram", "Matrix", "Vector", "first_best", "support_of"]

#: Scores closer than this are a tie. A matrix product may round equal rows differently, so equality of
#: floats would let the row order decide between exact duplicates.
TIE_TOLERANCE = 1e-12
#: Weights up to this are rounding, not support.
SUPPORT_TOLERANCE = 1e-9


def first_best(scores: Vector, tolerance: float = TIE_TOLERANCE) -> int:
    """Index of the largest score; the lowest index among ties."""
    return int((scores >= scores.max() - tolerance).argmax())


def support_of(weights: Vector) -> NDArray[np.int64]:
    """Indices with real weight, ascending."""
    return np.flatnonzero(weights > SUPPORT_TOLERANCE)


class Gram:
    """Lazy Gram matrix of a pool, with one target; sums are in float64.

    Args:
        pool: shape (K, d), float32 or float64.
        target: shape (d,), not necessarily of unit norm.

    Attributes:
        rows: the pool.
        b: ``P q``, shape (K,).
        target_square: ``<q, q>``.
    """

    def __init__(self, pool: NDArray[Any], target: NDArray[Any]) -> None:
        self.rows = Rows(np.asarray(pool))
        self.target: Vector = np.asarray(target, dtype=np.float64)
        self.b: Vector = self.rows.dot(self.target)
        self.target_square = float(self.target @ self.target)

    @cached_property
    def has_ties(self) -> bool:
        """Whether two entries of b are tied, as those of equal rows are. O(K log K), once."""
        return bool((np.diff(np.sort(self.b)) <= TIE_TOLERANCE).any())

    @cached_property
    def tied(self) -> NDArray[np.bool_]:
        """Items whose entry of b is tied with another's, shape (K,): equal rows are among them."""
        tied = np.zeros(len(self.b), dtype=np.bool_)
        if self.has_ties:
            order = np.argsort(self.b)
            close = np.flatnonzero(np.diff(self.b[order]) <= TIE_TOLERANCE)
            tied[order[close]] = tied[order[close + 1]] = True
        return tied

    def block(self, indices: NDArray[np.int64]) -> Matrix:
        """``G[indices, indices]``, shape (m, m)."""
        rows = self.rows.take(indices)
        return np.asarray(rows @ rows.T)

    def residual(self, weights: Vector) -> tuple[Vector, Vector]:
        """``q - x`` of shape (d,) and ``P (q - x)`` of shape (K,) for ``x = P^T w``, in one O(K d) product.

        The certificates come from these: the expanded ``qq - 2 b^T w + w^T G w`` cancels when the target is
        (almost) reached.
        """
        support = np.flatnonzero(weights)
        residual = self.target - weights[support] @ self.rows.take(support)
        return residual, self.rows.dot(residual)
