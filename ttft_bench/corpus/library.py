"""Documents that any prompt may be answered from: their vectors and index, found in, and added to.

:mod:`ttft_bench.corpus.pools` prepares the prompts of a corpus, all at once and once for all; here one prompt comes
at a time, nobody knows from where, and the documents may grow between two of them. For the same prompt, documents and
embedder both find the same candidates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.approximate import Index, open_any_index
from ttft_bench.corpus.cachefiles import Note, silent
from ttft_bench.corpus.documents import Corpus, Document, normalised
from ttft_bench.corpus.embed import Embedder, embed_texts, unit_rows
from ttft_bench.corpus.embedders import Shuffled
from ttft_bench.corpus.index import FlatIndex
from ttft_bench.corpus.leaks import NEAR, containment
from ttft_bench.corpus.vectors import embed_training
from ttft_bench.errors import CorpusError, UsageError

OnDocuments = Callable[[int, int], None]


@dataclass(frozen=True)
class Found:
    """The candidates of one prompt. Arrays are read-only.

    Attributes:
        query: float32, shape (1, d): unit embedding row of the prompt.
        ids: int64, shape (k,): documents, nearest first, ties by lowest id.
        similarity: float32, shape (k,): inner product of each with the query.
        vectors: float32, shape (k, d): their unit rows.
        copies: documents that were left out because their text is the prompt's, white space aside, or where that was
            asked for, a near-duplicate of it; only those that would have been candidates.
        embed_s: seconds to embed the prompt, tokenisation included.
        retrieve_s: seconds to find the candidates.
    """

    query: NDArray[np.float32]
    ids: NDArray[np.int64]
    similarity: NDArray[np.float32]
    vectors: NDArray[np.float32]
    copies: tuple[int, ...]
    embed_s: float
    retrieve_s: float


class Library:
    """Documents with their vectors and an index. The id of a document is its index; ids never change.

    Args:
        documents: at least one.
        embedder: of documents and prompts.
        index: how the nearest are found; see :mod:`ttft_bench.corpus.approximate`.
        cache: the cache folder; None keeps nothing.
        note: receives one line per thing worth knowing.
        on_progress: called with (done, total) while documents are embedded; never if the cache had them all.

    Raises:
        CorpusError: there is no document.
        EmbeddingError: an embedding is unusable.
        StorageError: the cache cannot be written.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        embedder: Embedder,
        *,
        index: str = "flat",
        cache: Path | None = None,
        note: Note = silent,
        on_progress: OnDocuments | None = None,
    ) -> None:
        if not len(documents):
            raise CorpusError("there is no document to choose from: give at least one with text")
        self._parts: list[Sequence[Document]] = [documents]
        self.embedder = embedder
        self._spec = index
        self._cache = cache
        self._note = note
        self._matrix = embed_training(Corpus("library", documents, ()), embedder, cache, on_progress, note=note)
        self._index: Index = open_any_index(self._matrix, index, cache, note=note)
        embedder.embed(["warm up"])  # first calls read weights, allocate and choose kernels

    def __len__(self) -> int:
        return len(self._matrix)

    def __getitem__(self, position: int) -> Document:
        if position < 0:
            raise IndexError("document ids begin at 0")
        for part in self._parts:
            if position < len(part):
                return part[position]
            position -= len(part)
        raise IndexError("document id out of range")

    def vectors(self, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Unit rows of documents, shape (len(ids), d), read-only."""
        rows: NDArray[np.float32] = np.array(self._matrix[np.asarray(ids, dtype=np.int64)])
        rows.flags.writeable = False
        return rows

    def add(self, documents: Sequence[Document], on_progress: OnDocuments | None = None) -> range:
        """Add documents; only they are embedded, and of them only what the cache lacks.

        An exact index grows; an approximate one, whose cells or links depend on all rows, is built again.

        Returns:
            Their ids.

        Raises:
            UsageError: the embedder is the control that deals out embeddings.
            EmbeddingError: an embedding is unusable; nothing was added.
            StorageError: the cache cannot be written.
        """
        if isinstance(self.embedder, Shuffled):
            raise UsageError(
                f"embedder {self.embedder.name} deals out the vectors of all documents together, so none can be added: "
                "use another embedder"
            )
        first = len(self)
        if not documents:
            return range(first, first)
        texts = [document.text for document in documents]
        # What is added together is hardly ever asked for again as such: its vectors are kept, one by one.
        rows = embed_texts(texts, self.embedder, self._cache, on_progress, note=self._note, in_order=False)
        if isinstance(self._index, FlatIndex):
            self._index = self._index.extended(rows)
            self._matrix = self._index.matrix
        else:
            matrix = np.concatenate([self._matrix, rows])
            self._index = open_any_index(matrix, self._spec, self._cache, note=self._note)
            self._matrix = matrix
        self._parts.append(tuple(documents))
        return range(first, len(self))

    def find(self, prompt: str, k: int, query: str | None = None, *, near_duplicates: bool = True) -> Found:
        """Find the ``k`` documents nearest to a prompt, its copies left out; fewer where there are no more.

        Args:
            prompt: documents with its text, white space aside, are no candidates.
            k: at least 1.
            query: what is embedded and searched with; the prompt if not given.
            near_duplicates: whether they may be candidates; see :mod:`ttft_bench.corpus.leaks`.

        Raises:
            CorpusError: nothing is left: every document is a copy of the prompt, or a near-duplicate.
            EmbeddingError: the prompt's embedding is unusable.
        """
        query = prompt if query is None else query
        start = time.perf_counter()
        raw = self.embedder.embed([query])
        embedded = time.perf_counter()
        rows = unit_rows(raw, [query], self.embedder)
        start_search = time.perf_counter()
        ids, similarity, copies = self._search(rows, k, _copy_of(prompt, near_duplicates))
        retrieve_s = time.perf_counter() - start_search
        if not len(ids):
            also = "" if near_duplicates else " or nearly equals"
            raise CorpusError(f"the prompt equals{also} every document there is: add other documents")
        for array in (rows, ids, similarity):
            array.flags.writeable = False
        return Found(rows, ids, similarity, self.vectors(ids), copies, embedded - start, retrieve_s)

    def _search(
        self, query: NDArray[np.float32], k: int, is_copy: Callable[[str], bool]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], tuple[int, ...]]:
        """Ids and similarities of at most k documents, and the copies among the documents looked at."""
        fetch = k
        while True:
            similarity, ids = (part[0] for part in self._index.search(query, fetch))
            same = np.array([is_copy(self[int(position)].text) for position in ids], dtype=bool)
            if len(ids) < fetch or fetch >= len(self) or len(ids) - same.sum() >= k:
                keep = ~same
                return ids[keep][:k], similarity[keep][:k], tuple(int(position) for position in ids[same])
            fetch = min(len(self), k + int(same.sum()))


def _copy_of(prompt: str, near_duplicates: bool) -> Callable[[str], bool]:
    """Whether a text is the prompt again; if near-duplicates are not allowed, or a near-duplicate of it."""
    text = normalised(prompt)

    def is_copy(other: str) -> bool:
        return normalised(other) == text or (not near_duplicates and containment(prompt, other) >= NEAR)

    return is_copy


__all__ = ["Found", "Library"]
