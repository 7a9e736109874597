"""Exact nearest neighbours by inner product, with an answer that depends on the vectors alone.

FAISS scans (``IndexFlatIP``); its float32 sums depend on how it blocks and batches the scan, so equal rows
may come out unequal in the last bit. The few rows that it returns are therefore scored again in float64,
each row by itself, and sorted by similarity, then by id.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ttft_bench.corpus.cachefiles import Note, digest, is_intact, one_at_a_time, silent, write_sealed
from ttft_bench.errors import EmbeddingError, UsageError

#: Similarities and row ids, nearest first.
Neighbours = tuple[NDArray[np.float32], NDArray[np.int64]]

#: How far FAISS's float32 inner product of unit vectors may be from the float64 one, generously.
ROUNDING = 1e-5
#: Rows asked for beyond k, so that a tie across the cut is seen at once in nearly all cases.
MARGIN = 16
#: A larger matrix is not copied into an index but scanned where it lies, so many rows at a time.
IN_MEMORY_BYTES = 1 << 30
BLOCK = 1 << 17


class FlatIndex:
    """Exact search over the rows of a matrix; build with :func:`open_index`."""

    def __init__(self, matrix: NDArray[np.float32], index: Any) -> None:
        self._matrix = matrix
        self._index = index

    def __len__(self) -> int:
        return len(self._matrix)

    def search(self, queries: ArrayLike, k: int) -> Neighbours:
        """Find the k rows with the largest inner product with each query.

        Args:
            queries: shape (q, d) or (d,), finite.
            k: at least 1; capped at the number of rows.

        Returns:
            Similarities (float32) and row ids (int64), shape (q, k): nearest first, ties by lowest id.

        Raises:
            UsageError: k is below 1.
            EmbeddingError: a query is not finite or has another dimension than the index.
        """
        rows = as_queries(queries, k, self._matrix.shape[1])
        k = min(k, len(self))
        found = [self._search_one(row, k) for row in rows]
        similarity = np.array([similarity for similarity, _ in found], dtype=np.float32).reshape(len(rows), k)
        ids = np.array([ids for _, ids in found], dtype=np.int64).reshape(len(rows), k)
        return similarity, ids

    def extended(self, rows: NDArray[np.float32]) -> FlatIndex:
        """The index of these rows and, after them, of ``rows``, shape (n, d): nothing that was there is indexed again.

        The new index takes over the old one's memory: use the new one only.

        Raises:
            EmbeddingError: the rows have another dimension.
        """
        if rows.ndim != 2 or rows.shape[1] != self._matrix.shape[1]:
            raise EmbeddingError(
                f"rows of shape {rows.shape} do not fit an index of {self._matrix.shape[1]} dimensions: embed both "
                "with the same model"
            )
        matrix: NDArray[np.float32] = np.concatenate([self._matrix, rows])
        matrix.flags.writeable = False
        if isinstance(self._index, _Blocks):
            return FlatIndex(matrix, _Blocks(matrix))
        self._index.add(np.ascontiguousarray(rows))
        return FlatIndex(matrix, self._index)

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The rows, shape (n, d)."""
        return self._matrix

    def _search_one(self, query: NDArray[np.float32], k: int) -> Neighbours:
        fetch = min(k + MARGIN, len(self))
        while True:
            rough, found = self._index.search(query[None, :], fetch)
            similarity, ids = rank(self._matrix, query, found[0])
            # Rows that were not fetched score at most the last fetched one; only if that is clearly below
            # the k-th can none of them tie with it and have a lower id.
            if fetch == len(self) or similarity[k - 1] > rough[0, -1] + ROUNDING:
                return similarity[:k], ids[:k]
            fetch = min(4 * fetch, len(self))


def as_queries(queries: ArrayLike, k: int, d: int) -> NDArray[np.float32]:
    """Queries as rows, shape (q, d), contiguous.

    Raises:
        UsageError: k is below 1.
        EmbeddingError: a query is not finite or has another dimension than the index.
    """
    rows = np.ascontiguousarray(np.atleast_2d(np.asarray(queries, dtype=np.float32)))
    if k < 1:
        raise UsageError(f"k must be at least 1, got {k}")
    if rows.ndim != 2 or rows.shape[1] != d:
        raise EmbeddingError(
            f"queries of shape {rows.shape} do not fit an index of {d} dimensions: embed both with the same model"
        )
    if not np.isfinite(rows).all():
        raise EmbeddingError("a query holds NaN or infinity: embed that text again")
    return rows


def rank(matrix: NDArray[np.float32], query: NDArray[np.float32], ids: NDArray[np.int64]) -> Neighbours:
    """Score rows ``ids`` of the matrix against one query and sort them: nearest first, ties by lowest id."""
    ids = np.sort(np.asarray(ids, dtype=np.int64))
    # Not a matrix product: BLAS may round equal rows differently according to where they stand.
    products = matrix[ids].astype(np.float64) * query.astype(np.float64)
    similarity = products.sum(axis=1).astype(np.float32)
    order = np.argsort(-similarity, kind="stable")
    return similarity[order], ids[order]


def open_index(matrix: NDArray[np.float32], cache: Path | None = None, *, note: Note = silent) -> FlatIndex:
    """Load the index of these rows from the cache, or build it and keep it there.

    Args:
        matrix: shape (n, d), n >= 1, float32 unit rows.
        cache: the cache folder; None builds in memory only.
        note: told when another process builds the same index, which is waited for.

    Raises:
        EmbeddingError: the matrix is empty.
        StorageError: the cache cannot be written.
    """
    import faiss

    if matrix.ndim != 2 or 0 in matrix.shape:
        raise EmbeddingError(f"nothing to index: the embeddings have shape {matrix.shape}")
    if matrix.nbytes > IN_MEMORY_BYTES:
        return FlatIndex(matrix, _Blocks(matrix))
    rows = np.ascontiguousarray(matrix, dtype=np.float32)
    if cache is None:
        return FlatIndex(matrix, _build(rows))
    path = cache / "indexes" / f"flat-ip-{matrix_digest(rows)}.faiss"
    index = _read(path, rows.shape)
    if index is None:
        with one_at_a_time(path, "building the same index", note):
            index = _read(path, rows.shape)
            if index is None:
                index = _build(rows)
                data = faiss.serialize_index(index)
                write_sealed(path, lambda handle: handle.write(data.tobytes()))
    return FlatIndex(matrix, index)


def matrix_digest(matrix: NDArray[np.float32]) -> str:
    """Hash of shape and contents, read without a copy."""
    return digest(str(matrix.shape), np.ascontiguousarray(matrix).data.cast("B"))


class _Blocks:
    """Scans a matrix that does not fit in memory block by block; searches as an index of FAISS does."""

    def __init__(self, matrix: NDArray[np.float32]) -> None:
        self._matrix = matrix

    def search(self, queries: NDArray[np.float32], k: int) -> Neighbours:
        import faiss

        best: tuple[NDArray[Any], NDArray[Any]] | None = None
        for start in range(0, len(self._matrix), BLOCK):
            block = np.ascontiguousarray(self._matrix[start : start + BLOCK])
            similarity, ids = faiss.knn(queries, block, min(k, len(block)), faiss.METRIC_INNER_PRODUCT)
            ids = ids + start
            if best is not None:
                similarity = np.concatenate([best[0], similarity], axis=1)
                ids = np.concatenate([best[1], ids], axis=1)
            order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
            best = (np.take_along_axis(similarity, order, axis=1), np.take_along_axis(ids, order, axis=1))
        assert best is not None
        return best


def _build(rows: NDArray[np.float32]) -> Any:
    import faiss

    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index


def _read(path: Path, shape: tuple[int, ...]) -> Any | None:
    import faiss

    if not is_intact(path):
        return None
    try:
        index = faiss.read_index(str(path))
    except RuntimeError:  # whole, but written by a faiss that this one cannot read
        return None
    return index if (index.ntotal, index.d) == shape else None


__all__ = ["MARGIN", "FlatIndex", "Neighbours", "as_queries", "matrix_digest", "open_index", "rank"]
