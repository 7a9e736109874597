"""Texts to unit vectors, each text embedded once in its life.

A vector is kept under the hash of its text and the fingerprint of its embedder, so that a corpus which
grows, or of which a part is taken, embeds only what is new. On disk, under ``embeddings/<fingerprint>/``:

* ``rows-*.npz``: finished work, a few hundred texts each, never changed (:mod:`ttft_bench.corpus.rowfiles`). An
  interrupted run loses the last seconds and goes on from there.
* ``matrix-*.npy``: the vectors of one sequence of texts in order, memory-mapped by whoever asks again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.cachefiles import (
    Note,
    digest,
    discard,
    is_intact,
    one_at_a_time,
    silent,
    write_sealed,
)
from ttft_bench.corpus.rowfiles import RowFiles, row_files
from ttft_bench.corpus.sentence import DEFAULT_EMBEDDER, load_embedder
from ttft_bench.errors import EmbeddingError
from ttft_bench.text import printable

#: Texts whose batches are formed together, sorted by length: long enough to fill batches of like length.
WINDOW = 512
#: Finished work is written when there is this much of it, or when this much time has passed.
PERSIST_ROWS = 512
PERSIST_S = 10.0

OnProgress = Callable[[int, int], None]


class Embedder(Protocol):
    """What turns texts into vectors. ``name`` and ``fingerprint`` must not cost the loading of weights."""

    @property
    def name(self) -> str:
        """What people call it; the value of the result column ``embedder``."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vectors may; names the cache folder, so letters, digits and ``-._`` only."""

    @property
    def dimension(self) -> int:
        """Length d of a vector."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts as one batch, tokenisation included: shape (n, d), unit rows, in the order given."""


def embed_texts(
    texts: Sequence[str],
    embedder: Embedder,
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
    *,
    note: Note = silent,
    in_order: bool = True,
) -> NDArray[np.float32]:
    """Embed texts, or read from the cache what was embedded before.

    Args:
        texts: any number; equal ones are embedded once.
        embedder: asked only for what the cache lacks.
        cache: the cache folder; None computes everything and keeps nothing.
        on_progress: called with (done, total), counting the texts that had to be embedded; never called if
            the cache had them all.
        note: told when another process embeds with the same embedder, which is waited for.
        in_order: keep also the matrix of just these texts in this order, for who asks for the same again.

    Returns:
        Read-only float32 unit rows, shape (n, d), in the order of ``texts``; memory-mapped if kept in order.

    Raises:
        EmbeddingError: a vector is not finite, has no direction, or has the wrong shape.
        StorageError: the cache cannot be written.
    """
    if not texts:
        return _frozen(np.empty((0, embedder.dimension), dtype=np.float32))
    keys = [digest(text) for text in texts]
    if cache is None:
        return _frozen(_gather(keys, texts, embedder, None, on_progress))
    folder = cache / "embeddings" / embedder.fingerprint
    path = folder / f"matrix-{digest(*keys)}.npy"
    matrix = open_matrix(path, len(texts)) if in_order else None
    if matrix is not None:
        return matrix
    with one_at_a_time(folder / "rows", f"embedding with {embedder.name}", note):
        matrix = open_matrix(path, len(texts)) if in_order else None
        if matrix is not None:
            return matrix
        rows = _gather(keys, texts, embedder, row_files(folder), on_progress)
        if not in_order:
            return _frozen(rows)
        write_sealed(path, lambda handle: np.save(handle, rows, allow_pickle=False))
        matrix = open_matrix(path, len(texts))
    return _frozen(rows) if matrix is None else matrix


def count_cached(texts: Iterable[str], cache: Path) -> dict[str, int]:
    """Count, per embedder fingerprint, how many of the texts have a vector in the cache."""
    wanted = {digest(text) for text in texts}
    root = cache / "embeddings"
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    counts = {}
    for folder in folders:
        counts[folder.name] = len(wanted & set(RowFiles(folder).keys()))
    return counts


def unit_rows(rows: NDArray[Any], texts: Sequence[str], embedder: Embedder) -> NDArray[np.float32]:
    """Check what an embedder gave and scale each row to length 1.

    Raises:
        EmbeddingError: names the first words of the first text whose vector is unusable.
    """
    wide = np.asarray(rows, dtype=np.float64)
    if wide.ndim != 2 or len(wide) != len(texts) or wide.shape[1] == 0:
        raise EmbeddingError(
            f"embedder {embedder.name} gave an array of shape {wide.shape} for {len(texts)} texts: "
            "it must give one row per text"
        )
    norms = np.linalg.norm(wide, axis=1)
    for bad, what in ((~np.isfinite(norms), "NaN or infinity"), (norms < 1e-12, "a vector of length zero")):
        if bad.any():
            text = texts[int(np.flatnonzero(bad)[0])]
            raise EmbeddingError(
                f'embedder {embedder.name} gave {what} for the document that begins "{printable(text, 60)}": '
                "remove that document, or use another embedder"
            )
    unit: NDArray[np.float32] = (wide / norms[:, None]).astype(np.float32)
    return unit


def _gather(
    keys: list[str],
    texts: Sequence[str],
    embedder: Embedder,
    kept: RowFiles | None,
    on_progress: OnProgress | None,
) -> NDArray[np.float32]:
    """Find what is kept, embed the rest (keeping it too), and put all rows in order."""
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    vectors = kept.find(first) if kept else {}
    missing = sorted(row for key, row in first.items() if key not in vectors)
    pending: list[str] = []
    persisted = time.monotonic()

    def persist() -> None:
        if kept and pending:
            kept.keep(pending, np.stack([vectors[key] for key in pending]))
            pending.clear()

    done = 0
    if missing:
        _ = embedder.dimension  # reads the weights, so that the rate shown is that of embedding alone
        if on_progress:
            on_progress(0, len(missing))
    try:
        for batch in batches(missing, texts, getattr(embedder, "batch_size", 32)):
            batch_texts = [texts[row] for row in batch]
            batch_keys = [keys[row] for row in batch]
            rows = unit_rows(embedder.embed(batch_texts), batch_texts, embedder)
            vectors.update(zip(batch_keys, rows, strict=True))
            pending.extend(batch_keys)
            done += len(batch)
            if len(pending) >= PERSIST_ROWS or time.monotonic() - persisted > PERSIST_S:
                persist()
                persisted = time.monotonic()
            if on_progress:
                on_progress(done, len(missing))
    finally:  # an interrupt or a bad document must not cost what was finished
        persist()
    return np.stack([vectors[key] for key in keys])


def batches(rows: Sequence[int], texts: Sequence[str], size: int) -> Iterator[list[int]]:
    """Batches of like length, so that little is padded; windows keep the rate steady, for the estimate."""
    for start in range(0, len(rows), WINDOW):
        window = sorted(rows[start : start + WINDOW], key=lambda row: len(texts[row]), reverse=True)
        for offset in range(0, len(window), size):
            yield window[offset : offset + size]


def open_matrix(path: Path, n: int) -> NDArray[np.float32] | None:
    """Memory-map a matrix of n rows; None if there is none, or it was damaged (and is gone)."""
    if not is_intact(path):
        return None
    matrix: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    if matrix.ndim != 2 or len(matrix) != n or matrix.dtype != np.float32:
        discard(path)
        return None
    return matrix


def _frozen(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    rows.flags.writeable = False
    return rows


__all__ = [
    "DEFAULT_EMBEDDER",
    "Embedder",
    "OnProgress",
    "batches",
    "count_cached",
    "embed_texts",
    "load_embedder",
    "open_matrix",
    "unit_rows",
]
