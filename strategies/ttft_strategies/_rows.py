"""Products of a pool with vectors in float64, without a float64 copy of a large pool."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_strategies import _fast

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

#: Pools of at most so many entries are widened once (64 MiB); larger ones block by block, in every product.
COPY_LIMIT = 2**23
#: Entries of one block: small enough to stay in a core's cache between widening and product.
BLOCK = 2**17
_COMPILED = (np.float32, np.float64)


class Rows:
    """The rows of a pool, multiplied in float64.

    Where compiled loops run, a float32 pool is widened in the registers as it is read. Else a small pool is
    widened once, when first needed, and a large one in blocks that fit the cache, in every product.

    Args:
        pool: shape (K, d).

    Attributes:
        compiled: whether compiled loops read the pool as it is.
    """

    def __init__(self, pool: NDArray[Any]) -> None:
        self.pool = pool
        self.compiled = pool.dtype in _COMPILED and pool.flags.c_contiguous and _fast.available()

    @property
    def one_by_one(self) -> bool:
        """Whether products cost as much each alone as several at once."""
        return self.compiled or self.pool.dtype == np.float64 or self.pool.size <= COPY_LIMIT

    @cached_property
    def wide(self) -> Matrix | None:
        """The whole pool in float64, or None for one that is too large."""
        if self.pool.dtype != np.float64 and self.pool.size > COPY_LIMIT:
            return None
        return np.asarray(self.pool, dtype=np.float64)

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, index: int) -> Vector:
        """Row ``index``, shape (d,)."""
        row: Vector = self.take(index)
        return row

    def take(self, indices: Any) -> Matrix:
        """Rows in float64, shape (m, d), or (d,) for one index."""
        if "wide" in self.__dict__ and self.wide is not None:
            return np.asarray(self.wide[indices])
        return np.asarray(self.pool[indices], dtype=np.float64)

    def blocks(self) -> Iterator[tuple[slice, Matrix]]:
        """Slices of rows, each with those rows in float64; a block is overwritten by the next one."""
        if self.wide is not None:
            yield slice(0, len(self)), self.wide
            return
        height = max(BLOCK // self.pool.shape[1], 1)
        buffer = np.empty((height, self.pool.shape[1]))
        for start in range(0, len(self), height):
            stop = min(start + height, len(self))
            block = buffer[: stop - start]
            block[...] = self.pool[start:stop]
            yield slice(start, stop), block

    def dot(self, vector: Vector) -> Vector:
        """``P v``, shape (K,). Equal rows may differ in the last bit: compare with a tolerance."""
        if not self.compiled and self.wide is not None:
            product: Vector = self.wide @ vector
            return product
        out = np.empty(len(self))
        if self.compiled:
            return _fast.dots(self.pool, vector, out)
        for rows, block in self.blocks():
            np.dot(block, vector, out=out[rows])
        return out

    def products(self, items: NDArray[np.int64]) -> Matrix:
        """Inner products of some rows with all, shape (len(items), K)."""
        some, out = self.take(items), np.empty((len(items), len(self)))
        if self.compiled and len(items) <= 4:
            for row, products in zip(some, out, strict=True):
                _fast.dots(self.pool, row, products)
            return out
        for rows, block in self.blocks():
            np.matmul(some, block.T, out=out[:, rows])
        return out

    def similarity(self, vector: Vector) -> Vector:
        """``P v`` summed row by row in one order, so that equal rows have equal figures; shape (K,)."""
        out = np.empty(len(self))
        for rows, block in self.blocks():
            out[rows] = np.einsum("kd,d->k", block, vector)
        return out

    def squares(self) -> Vector:
        """``<p_i, p_i>``, shape (K,)."""
        out = np.empty(len(self))
        if self.compiled:
            return _fast.squares(self.pool, out)
        for rows, block in self.blocks():
            out[rows] = np.einsum("kd,kd->k", block, block)
        return out


def relevance(rows: Rows, query: NDArray[Any]) -> Vector:
    """Similarity of each item to the query row nearest to it, shape (K,): the maximum over the query rows."""
    return np.max([rows.similarity(row) for row in query.astype(np.float64)], axis=0)  # type: ignore[no-any-return]
