"""Products of a pool with vectors in float64, without a float64 copy of a large pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_strategies._gram import Matrix, Vector

#: Pools of at most so many entries are widened once; larger ones block by block, in every product.
COPY_LIMIT = 2**23
#: Entries of one block: small enough to stay in a core's cache between widening and product.
BLOCK = 2**17


class Rows:
    """The rows of a pool, multiplied in float64.

    A large pool stays float32: each product reads it once and widens it in blocks that fit the cache, which
    reads half the memory that a float64 copy would and keeps none.

    Args:
        pool: shape (K, d).
    """

    def __init__(self, pool: NDArray[Any]) -> None:
        self.pool = pool
        self.wide: Matrix | None = pool.astype(np.float64) if pool.size <= COPY_LIMIT else None

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, index: int) -> Vector:
        """Row ``index``, shape (d,)."""
        row: Vector = self.pool[index].astype(np.float64) if self.wide is None else self.wide[index]
        return row

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
        if self.wide is not None:
            product: Vector = self.wide @ vector
            return product
        out = np.empty(len(self))
        for rows, block in self.blocks():
            np.dot(block, vector, out=out[rows])
        return out

    def products(self, items: NDArray[np.int64]) -> Matrix:
        """Inner products of some rows with all, shape (len(items), K)."""
        if self.wide is not None:
            return np.asarray(self.wide[items] @ self.wide.T)
        some = self.pool[items].astype(np.float64)
        out = np.empty((len(items), len(self)))
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
        for rows, block in self.blocks():
            out[rows] = np.einsum("kd,kd->k", block, block)
        return out


def relevance(rows: Rows, query: NDArray[Any]) -> Vector:
    """Similarity of each item to the query row nearest to it, shape (K,): the maximum over the query rows."""
    return np.max([rows.similarity(row) for row in query.astype(np.float64)], axis=0)  # type: ignore[no-any-return]
