"""Approximate nearest neighbours for corpora that are too large to scan: FAISS's IVF and HNSW, in shards.

An index is written as text, ``ivf[lists=1024,probes=32]`` or ``hnsw[m=32,build=200,search=256]``; ``flat`` scans. Each
:data:`SHARD` rows have a file of their own, so that building goes on where it was stopped and no more than one shard
is built in memory; searching memory-maps them. What the shards propose is scored again exactly and sorted as
:mod:`ttft_bench.corpus.index` does, so only *which* rows are found is approximate: recall says how much.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ttft_bench.corpus.cachefiles import Note, digest, is_intact, one_at_a_time, silent, write_sealed
from ttft_bench.corpus.index import MARGIN, Neighbours, as_queries, matrix_digest, open_index, rank
from ttft_bench.errors import SpecError
from ttft_bench.specs import fit_parameters, format_spec, nearest, parse_spec

#: Rows in one file.
SHARD = 200_000
#: Vectors that k-means sees for each list.
TRAINED_PER_LIST = 64


@dataclass(frozen=True)
class Flat:
    """Exact scan of all rows."""


@dataclass(frozen=True)
class IVF:
    """Inverted lists of k-means cells (Jégou et al. 2011).

    Attributes:
        lists: number of cells; 0 takes four times the square root of the number of rows.
        probes: cells that a search looks into.
    """

    lists: int = 0
    probes: int = 32

    def __post_init__(self) -> None:
        if self.lists < 0 or self.probes < 1:
            raise SpecError(f"ivf: lists must be at least 0 and probes at least 1, got {self.lists} and {self.probes}")


@dataclass(frozen=True)
class HNSW:
    """Hierarchical navigable small worlds (Malkov & Yashunin 2020).

    Attributes:
        m: links of a row.
        build: candidates looked at while building.
        search: candidates looked at in a search; at least as many as are asked for.
    """

    m: int = 32
    build: int = 200
    search: int = 256

    def __post_init__(self) -> None:
        if min(self.m, self.build, self.search) < 1:
            raise SpecError("hnsw: m, build and search must be at least 1")


Kind = Flat | IVF | HNSW
_KINDS: dict[str, type[Flat] | type[IVF] | type[HNSW]] = {"flat": Flat, "ivf": IVF, "hnsw": HNSW}


class Index(Protocol):
    """What finds the nearest rows."""

    def search(self, queries: ArrayLike, k: int) -> Neighbours:
        """Similarities and ids, shape (q, k), nearest first; see :meth:`ttft_bench.corpus.index.FlatIndex.search`."""


def parse_index(text: str) -> tuple[str, Kind]:
    """Read the spec of an index: its canonical form, with non-default parameters only, and what it says.

    Raises:
        SpecError: unknown name or parameter, or a value that cannot be.
    """
    spec = parse_spec(text, "index")
    if spec.name not in _KINDS:
        raise SpecError(f"unknown index {spec.name!r}{nearest(spec.name, _KINDS)} (there are: {', '.join(_KINDS)})")
    kind = _KINDS[spec.name]
    built: Kind = kind(**fit_parameters(spec, inspect.signature(kind).parameters))
    unusual = {f.name: getattr(built, f.name) for f in fields(built) if getattr(built, f.name) != f.default}
    return format_spec(spec.name, unusual), built


class ShardedIndex:
    """Approximate search over the rows of a matrix; build with :func:`open_any_index`."""

    def __init__(self, matrix: NDArray[np.float32], shards: Sequence[tuple[int, Any]], kind: IVF | HNSW) -> None:
        self._matrix = matrix
        self._shards = shards
        self._kind = kind

    def __len__(self) -> int:
        return len(self._matrix)

    def search(self, queries: ArrayLike, k: int) -> Neighbours:
        """Find about the k nearest rows of each query.

        Returns:
            Similarities (float32) and row ids (int64), shape (q, k'): nearest first, ties by lowest id; k' is below k
            only if the cells that were looked into hold fewer rows for some query.
        """
        rows = as_queries(queries, k, self._matrix.shape[1])
        fetch = min(k + MARGIN, len(self))
        for _, shard in self._shards:
            if isinstance(self._kind, HNSW):
                shard.hnsw.efSearch = max(self._kind.search, fetch)
            else:
                shard.nprobe = min(self._kind.probes, shard.nlist)
        proposed = [(start, shard.search(rows, min(fetch, shard.ntotal))[1]) for start, shard in self._shards]
        found = []
        for number, row in enumerate(rows):
            ids = np.concatenate([ids[number][ids[number] >= 0] + start for start, ids in proposed])
            similarity, ids = rank(self._matrix, row, ids)
            found.append((similarity[:k], ids[:k]))
        width = min(len(ids) for _, ids in found)
        return (
            np.array([similarity[:width] for similarity, _ in found], dtype=np.float32).reshape(len(rows), width),
            np.array([ids[:width] for _, ids in found], dtype=np.int64).reshape(len(rows), width),
        )


def open_any_index(
    matrix: NDArray[np.float32], spec: str = "flat", cache: Path | None = None, *, note: Note = silent
) -> Index:
    """Load the index of these rows from the cache, or build it, shard by shard, and keep it there.

    Args:
        matrix: shape (n, d), n >= 1, float32 unit rows.
        spec: which index; see the module.
        cache: the cache folder; None builds in memory only.
        note: told what takes long.

    Raises:
        SpecError: ``spec`` cannot be read.
        EmbeddingError: the matrix is empty.
        StorageError: the cache cannot be written.
    """
    name, kind = parse_index(spec)
    if isinstance(kind, Flat) or not matrix.size:
        return open_index(matrix, cache, note=note)
    kind = _sized(kind, len(matrix))
    starts = range(0, len(matrix), SHARD)
    if cache is None:
        trained = _train(matrix, kind)
        return ShardedIndex(matrix, [(start, _build(matrix, kind, trained, start)) for start in starts], kind)
    folder = cache / "indexes" / f"{type(kind).__name__.lower()}-{digest(matrix_digest(matrix), _built_by(kind))}"
    with one_at_a_time(folder / "build", "building the same index", note):
        trained = None
        shards = []
        for start in starts:
            path = folder / f"shard-{start:010d}.faiss"
            shard = _read(path, kind)
            if shard is None:
                note(f"index {name}: rows {start:,} to {min(start + SHARD, len(matrix)):,} of {len(matrix):,}")
                trained = trained or _trained(folder / "trained.faiss", matrix, kind)
                _write(path, _build(matrix, kind, trained, start))
                shard = _read(path, kind)
            shards.append((start, shard))
    return ShardedIndex(matrix, shards, kind)


def recall(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """Share of the exact neighbours that were found: mean over queries, both of shape (q, k)."""
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact, strict=True)]))


def _sized(kind: IVF | HNSW, n: int) -> IVF | HNSW:
    if isinstance(kind, HNSW):
        return kind
    return IVF(min(kind.lists or int(4 * n**0.5), n), kind.probes)


def _built_by(kind: IVF | HNSW) -> str:
    """The part of a kind that building depends on; the rest is only used in searches."""
    return f"lists={kind.lists}" if isinstance(kind, IVF) else f"m={kind.m},build={kind.build}"


def _train(matrix: NDArray[np.float32], kind: IVF | HNSW) -> Any:
    """An index without rows, ready to take some: cells are those of evenly spaced rows, so the same every time."""
    import faiss

    d = matrix.shape[1]
    if isinstance(kind, HNSW):
        empty = faiss.IndexHNSWFlat(d, kind.m, faiss.METRIC_INNER_PRODUCT)
        empty.hnsw.efConstruction = kind.build
        return empty
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, kind.lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1  # small corpora: faiss would print a warning
    step = max(1, len(matrix) // (TRAINED_PER_LIST * kind.lists))
    index.train(np.ascontiguousarray(matrix[::step]))
    return index


def _trained(path: Path, matrix: NDArray[np.float32], kind: IVF | HNSW) -> Any:
    if is_intact(path):
        import faiss

        return faiss.read_index(str(path))
    index = _train(matrix, kind)
    _write(path, index)
    return index


def _build(matrix: NDArray[np.float32], kind: IVF | HNSW, trained: Any, start: int) -> Any:
    import faiss

    index = faiss.clone_index(trained)
    # Threads would link a graph in another order every time.
    with _threads(1 if isinstance(kind, HNSW) else 0):
        index.add(np.ascontiguousarray(matrix[start : start + SHARD]))
    return index


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let faiss use so many threads; 0 leaves it as it is."""
    import faiss

    before = faiss.omp_get_max_threads()
    if count:
        faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _write(path: Path, index: Any) -> None:
    import faiss

    data = faiss.serialize_index(index)
    write_sealed(path, lambda handle: handle.write(data.tobytes()))


def _read(path: Path, kind: IVF | HNSW) -> Any | None:
    import faiss

    if not is_intact(path):
        return None
    try:
        # Lists are mapped by one flag, vectors and links by the other, which old releases lack.
        flag = faiss.IO_FLAG_MMAP if isinstance(kind, IVF) else getattr(faiss, "IO_FLAG_MMAP_IFC", 0)
        return faiss.read_index(str(path), flag)
    except RuntimeError:  # whole, but written by a faiss that this one cannot read
        return None


__all__ = ["HNSW", "IVF", "SHARD", "Flat", "Index", "ShardedIndex", "open_any_index", "parse_index", "recall"]
