"""The vectors of all training documents of a corpus, in memory-mapped files whatever their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.cachefiles import (
    Note,
    digest,
    discard,
    load_arrays,
    one_at_a_time,
    save_arrays,
    silent,
    write_sealed,
)
from ttft_bench.corpus.documents import Corpus
from ttft_bench.corpus.embed import Embedder, OnProgress, batches, embed_texts, open_matrix, unit_rows
from ttft_bench.corpus.embedders import Shuffled
from ttft_bench.corpus.stored import StoredDocuments
from ttft_bench.errors import UsageError

#: Documents that are embedded between two files of finished work.
BLOCK = 2_000


def embed_training(
    corpus: Corpus,
    embedder: Embedder,
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
    *,
    note: Note = silent,
) -> NDArray[np.float32]:
    """Embed the training documents of a corpus, or read from the cache what was embedded before.

    Documents in memory go through :func:`ttft_bench.corpus.embed.embed_texts`. Documents on disk are embedded block
    by block, each block a file of its own, and put together once all are there, so that neither texts nor vectors
    are ever in memory together.

    Returns:
        Read-only float32 unit rows, shape (n, d), in the order of the documents; memory-mapped if cached.

    Raises:
        EmbeddingError: a vector is not finite, has no direction, or has the wrong shape.
        UsageError: the control with shuffled embeddings is asked of documents on disk.
        StorageError: the cache cannot be written.
    """
    documents = corpus.train
    if isinstance(embedder, Shuffled):
        return _dealt_out(corpus, embedder, cache, on_progress, note)
    if cache is None or not isinstance(documents, StoredDocuments):
        return embed_texts([document.text for document in documents], embedder, cache, on_progress, note=note)
    path = cache / "embeddings" / embedder.fingerprint / f"matrix-stored-{digest(documents.digest)}.npy"
    matrix = open_matrix(path, len(documents))
    if matrix is None:
        with one_at_a_time(path, f"embedding with {embedder.name}", note):
            matrix = open_matrix(path, len(documents))
            if matrix is None:
                parts = list(_embed_blocks(documents, embedder, path, on_progress))
                _join(parts, path, len(documents))
                matrix = open_matrix(path, len(documents))
                for part in parts:
                    discard(part)
    assert matrix is not None
    return matrix


def _dealt_out(
    corpus: Corpus, embedder: Shuffled, cache: Path | None, on_progress: OnProgress | None, note: Note
) -> NDArray[np.float32]:
    if isinstance(corpus.train, StoredDocuments):
        raise UsageError(
            f"embedder {embedder.name} holds all vectors in memory, which is not done for a corpus on disk: "
            "use another corpus for this control"
        )
    matrix = embed_training(corpus, embedder.base, cache, on_progress, note=note)
    dealt: NDArray[np.float32] = matrix[embedder.deal(len(matrix))]
    dealt.flags.writeable = False
    return dealt


def _embed_blocks(
    documents: StoredDocuments, embedder: Embedder, path: Path, on_progress: OnProgress | None
) -> Iterator[Path]:
    """The file of each block, made if it is not there whole."""
    done = 0
    todo = [start for start in range(0, len(documents), BLOCK) if _rows(_part(path, start)) is None]
    total = sum(min(BLOCK, len(documents) - start) for start in todo)
    if todo and on_progress:
        _ = embedder.dimension  # reads the weights, so that the rate shown is that of embedding alone
        on_progress(0, total)
    for start in range(0, len(documents), BLOCK):
        part = _part(path, start)
        if start in todo:
            texts = [document.text for document in documents[start : start + BLOCK]]
            rows = np.empty((len(texts), embedder.dimension), dtype=np.float32)
            for batch in batches(range(len(texts)), texts, getattr(embedder, "batch_size", 32)):
                some = [texts[row] for row in batch]
                rows[batch] = unit_rows(embedder.embed(some), some, embedder)
                done += len(batch)
                if on_progress:
                    on_progress(done, total)
            save_arrays(part, rows=rows)
        yield part


def _join(parts: Sequence[Path], path: Path, n: int) -> None:
    """Write the rows of all parts as one array file, one part in memory at a time."""
    first = _rows(parts[0])
    assert first is not None

    def write(handle: object) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (n, first.shape[1])}
        np.lib.format.write_array_header_1_0(handle, header)  # type: ignore[arg-type]
        for part in parts:
            rows = _rows(part)
            assert rows is not None, f"{part} was damaged while it was used"
            handle.write(np.ascontiguousarray(rows, dtype="<f4").tobytes())  # type: ignore[attr-defined]

    write_sealed(path, write)


def _part(path: Path, start: int) -> Path:
    return path.with_name(f"{path.stem}.part-{start:010d}.npz")


def _rows(path: Path) -> NDArray[np.float32] | None:
    arrays = load_arrays(path)
    return None if arrays is None else arrays.get("rows")


__all__ = ["BLOCK", "embed_training"]
