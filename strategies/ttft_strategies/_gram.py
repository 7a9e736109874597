"""Inner products of a pool with itself and with a target, computed when asked for.

Everything a reconstruction ``x = P^T w`` of a target q needs is in ``b = P q`` and in columns of the Gram
matrix ``G = P P^T``, so that no solver has the embedding dimension d in its inner loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
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
#: Entries of a pool up to which a float64 copy of all of it is kept (64 MiB); above, rows are widened in chunks.
_KEPT_ENTRIES = 2**23
_CHUNK_ENTRIES = 2**18


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
        b: ``P q``, shape (K,).
        target_square: ``<q, q>``.
    """

    def __init__(self, pool: NDArray[Any], target: NDArray[Any]) -> None:
        self._pool = np.asarray(pool)
        self.target: Vector = np.asarray(target, dtype=np.float64)
        self.b: Vector = self.product(self.target)
        self.target_square = float(self.target @ self.target)
        self._columns: dict[int, Vector] = {}

    @cached_property
    def rows(self) -> Matrix:
        """The whole pool in float64, shape (K, d)."""
        return np.asarray(self._pool, dtype=np.float64)

    @cached_property
    def diagonal(self) -> Vector:
        """``<p_i, p_i>``, shape (K,)."""
        return np.concatenate([np.einsum("kd,kd->k", part, part) for part in self._chunks()])

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

    def take(self, indices: Any) -> Matrix:
        """Rows of the pool in float64, shape (m, d)."""
        if "rows" in self.__dict__:
            return np.asarray(self.rows[indices])
        return np.asarray(self._pool[indices], dtype=np.float64)

    def product(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """``P @ right`` for ``right`` of shape (d,) or (d, m). O(K d m)."""
        if self.kept:
            return np.asarray(self.rows @ right)
        return np.concatenate([part @ right for part in self._chunks()])

    def column(self, index: int) -> Vector:
        """Column ``G[:, index]``, shape (K,); O(K d) the first time, O(1) after."""
        if index not in self._columns:
            self._columns[index] = self.product(self.take(index))
        return self._columns[index]

    def columns(self, indices: Any) -> Matrix:
        """``G[indices, :]``, shape (m, K), in one pass over the pool."""
        return np.ascontiguousarray(self.product(self.take(indices).T).T)

    def block(self, indices: NDArray[np.int64]) -> Matrix:
        """``G[indices, indices]``, shape (m, m)."""
        rows = self.take(indices)
        return np.asarray(rows @ rows.T)

    def certify(self, weights: Vector) -> tuple[float, float]:
        """Objective and Frank-Wolfe gap at convex ``weights``, from the residual itself.

        ``f(w) = ||q - x||^2`` and ``g(w) = max_p <grad f(w), w - e_p> = 2 max_p <q - x, p - x>``. One O(K d)
        product: the expanded ``qq - 2 b^T w + w^T G w`` cancels when the target is (almost) reached.
        """
        residual, slopes = self.residual(weights)
        x = self.target - residual
        gap = 2.0 * float(slopes.max() - residual @ x)
        return float(residual @ residual), max(gap, 0.0)

    def residual(self, weights: Vector) -> tuple[Vector, Vector]:
        """``q - x`` of shape (d,) and ``P (q - x)`` of shape (K,) for ``x = P^T w``. O(K d)."""
        support = np.flatnonzero(weights)
        residual = self.target - weights[support] @ self.take(support)
        return residual, self.product(residual)

    @property
    def kept(self) -> bool:
        """Whether a float64 copy of the whole pool is (or will be) in memory."""
        return self._pool.dtype == np.float64 or self._pool.size <= _KEPT_ENTRIES

    def _chunks(self) -> Iterator[Matrix]:
        """The pool in float64, in parts that stay in the cache of the processor."""
        step = max(_CHUNK_ENTRIES // self._pool.shape[1], 1)
        for start in range(0, len(self._pool), step):
            yield self._pool[start : start + step].astype(np.float64)
