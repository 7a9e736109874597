"""Candidates prompt by prompt, each step timed alone. :mod:`ttft_bench.corpus.pools` keeps the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.approximate import Index, recall
from ttft_bench.corpus.bm25 import WordIndex
from ttft_bench.corpus.documents import Corpus, Document, normalised
from ttft_bench.corpus.embed import Embedder, unit_rows
from ttft_bench.corpus.index import Neighbours, open_index, rank
from ttft_bench.corpus.sources import BM25, RANDOM
from ttft_bench.corpus.stored import StoredDocuments
from ttft_bench.errors import CorpusError
from ttft_bench.prefix import halves
from ttft_bench.seeds import derive_rng
from ttft_bench.text import printable

#: Called with (stage, done, total); stages are "documents" and "prompts".
OnStage = Callable[[str, int, int], None]
#: Prompts by which the recall of an approximate index is measured.
RECALL_PROMPTS = 100


def retrieve(
    corpus: Corpus,
    embedder: Embedder,
    index: Index | None,
    matrix: NDArray[np.float32],
    k: int,
    source: str,
    seed: int,
    stage: OnStage,
    kept_out: Mapping[str, NDArray[np.int64]] | None = None,
    first_half: bool = False,
) -> dict[str, NDArray[Any]]:
    """Embed each prompt and find its candidates, one prompt at a time.

    Args:
        corpus: prompts and training documents.
        embedder: embeds the prompts.
        index: of the training documents, for the source ``embedding``.
        matrix: their embeddings, shape (n, d).
        k: candidates per prompt.
        source: where candidates come from; see :mod:`ttft_bench.corpus.sources`.
        seed: of random draws.
        stage: told how far it has come.
        first_half: search with the first half of each prompt (:mod:`ttft_bench.prefix`), not with all of it.
        kept_out: ids that are never candidates, by prompt key; a copy of the prompt never is, in any case.

    Returns:
        Per prompt ``query`` (P, m, d), ``sizes``, ``embed_s`` and ``retrieve_s`` (P,); ``ids`` and
        ``similarity`` of all prompts one after the other.

    Raises:
        CorpusError: nothing is left for a prompt: every training document is a copy of it, or kept out.
        EmbeddingError: an embedding is unusable.
    """
    prompts = corpus.prompts
    asked = [halves(prompt.text)[0] if first_half else prompt.text for prompt in prompts]
    # What is stored was held against the prompts when it was stored.
    copies = {} if isinstance(corpus.train, StoredDocuments) else _copies(prompts, corpus.train)
    # Warm up with the first prompt: first calls read weights, allocate and choose kernels.
    first = unit_rows(embedder.embed([asked[0]]), [asked[0]], embedder)
    words = WordIndex(document.text for document in corpus.train) if source == BM25 else None
    if words is not None:
        words.search(asked[0], k, np.array([], dtype=np.int64))
    elif index is not None:
        index.search(first, k)
    query, sizes, embed_s, retrieve_s, found = [], [], [], [], []
    for done, (prompt, text) in enumerate(zip(prompts, asked, strict=True), start=1):
        own = np.array(copies.get(normalised(prompt.text), []), dtype=np.int64)
        if kept_out is not None:
            own = np.union1d(own, kept_out[prompt.key])
        if len(own) == len(matrix):
            near = "" if kept_out is None else " or nearly equals"
            raise CorpusError(
                f'prompt "{printable(prompt.text, 60)}" equals{near} every training document of {corpus.name}: '
                "add other documents"
            )
        start = time.perf_counter()
        raw = embedder.embed([text])
        embed_s.append(time.perf_counter() - start)
        rows = unit_rows(raw, [text], embedder)
        start = time.perf_counter()
        if source == RANDOM:
            candidates = _draw(matrix, rows[0], own, k, ("pool", "random", prompt.key, seed))
        elif words is not None:
            candidates = rank(matrix, rows[0], words.search(text, k, own))
        else:
            assert index is not None
            candidates = _nearest(index, rows[0], own, k)
        retrieve_s.append(time.perf_counter() - start)
        query.append(rows)
        sizes.append(len(candidates[1]))
        found.append(candidates)
        stage("prompts", done, len(prompts))
    return {
        "query": np.stack(query),
        "ids": np.concatenate([ids for _, ids in found]),
        "similarity": np.concatenate([similarity for similarity, _ in found]),
        "sizes": np.array(sizes, dtype=np.int64),
        "embed_s": np.array(embed_s, dtype=np.float64),
        "retrieve_s": np.array(retrieve_s, dtype=np.float64),
    }


def measure_recall(index: Index, matrix: NDArray[np.float32], query: NDArray[np.float32], k: int) -> float:
    """Recall at k of an index against an exact scan, over the first :data:`RECALL_PROMPTS` prompts.

    Args:
        index: what is measured.
        matrix: the rows it indexes, shape (n, d).
        query: unit rows of the prompts, shape (P, 1, d).
        k: neighbours asked for.
    """
    queries = query[:RECALL_PROMPTS, 0]
    exact = open_index(matrix).search(queries, k)[1]
    # One by one: an approximate index may find less for one query than for another.
    found = (index.search(row, k)[1] for row in queries)
    return float(np.mean([recall(ids, want[None]) for ids, want in zip(found, exact, strict=True)]))


def _nearest(index: Index, query: NDArray[np.float32], own: NDArray[np.int64], k: int) -> Neighbours:
    similarity, ids = (part[0] for part in index.search(query, k + len(own)))
    keep = ~np.isin(ids, own)
    return similarity[keep][:k], ids[keep][:k]


def _draw(
    matrix: NDArray[np.float32],
    query: NDArray[np.float32],
    own: NDArray[np.int64],
    k: int,
    coordinates: tuple[str | int, ...],
) -> Neighbours:
    eligible = np.setdiff1d(np.arange(len(matrix)), own)
    drawn = derive_rng(*coordinates).choice(eligible, size=min(k, len(eligible)), replace=False)
    return rank(matrix, query, drawn)


def _copies(prompts: Sequence[Document], train: Sequence[Document]) -> dict[str, list[int]]:
    """For each prompt text, white space aside, the training documents that have it too."""
    found: dict[str, list[int]] = {normalised(prompt.text): [] for prompt in prompts}
    for position, document in enumerate(train):
        text = normalised(document.text)
        if text in found:
            found[text].append(position)
    return found


__all__ = ["OnStage", "measure_recall", "retrieve"]
