"""Candidate pools: the K training documents that a strategy may choose from, per prompt.

Made once per corpus, embedder, K and source, and kept together with the times it took to make them, so
that a second run embeds nothing, searches nothing and loads no embedder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ttft_bench.corpus.approximate import open_any_index, parse_index
from ttft_bench.corpus.bm25 import import_library
from ttft_bench.corpus.cachefiles import Note, digest, one_at_a_time, silent
from ttft_bench.corpus.documents import Corpus
from ttft_bench.corpus.embed import Embedder
from ttft_bench.corpus.leaks import PARAMETERS, Leaks
from ttft_bench.corpus.poolfile import cached_pools, describe, pool_path, read_pools, write_pools
from ttft_bench.corpus.retrieve import OnStage, measure_recall, retrieve
from ttft_bench.corpus.sources import BM25, EMBEDDING, POOL_SOURCES, RANDOM, hashed_name
from ttft_bench.corpus.vectors import embed_training
from ttft_bench.errors import CorpusError, UsageError
from ttft_bench.prefix import FIRST_HALF

#: Candidates per prompt, as in the papers.
DEFAULT_K = 200


@dataclass(frozen=True)
class Pool:
    """The candidates of one prompt. Arrays are read-only.

    Attributes:
        prompt_id: key of the prompt document.
        query: float32, shape (m, d): unit embedding rows of the prompt.
        ids: int64, shape (K,): indices into ``corpus.train``, nearest first, ties by lowest id.
        similarity: float32, shape (K,): inner product of each candidate with the query.
        embed_s: seconds to embed this prompt alone, tokenisation included, after a warm-up.
        retrieve_s: seconds to find its candidates alone, after a warm-up.
        source: where the candidates come from; see :mod:`ttft_bench.corpus.sources`.
        hash: identifies the candidates: prompt, embedder, source, ids and contents of the documents in order.
    """

    prompt_id: str
    query: NDArray[np.float32]
    ids: NDArray[np.int64]
    similarity: NDArray[np.float32]
    embed_s: float
    retrieve_s: float
    source: str
    hash: str


@dataclass(frozen=True)
class PoolSet:
    """The pools of all prompts of a corpus.

    Attributes:
        pools: by prompt id, in the order of the prompts.
        embedder: name of the embedder.
        fingerprint: what the embedder's vectors depend on.
        k: candidates per prompt (fewer only where the corpus has no more).
        source: where the candidates come from; see :mod:`ttft_bench.corpus.sources`.
        seed: what the random source drew from; 0 for the others.
        excluded: what is kept out beyond copies of the prompt: :data:`ttft_bench.corpus.leaks.PARAMETERS`, or empty.
        query: what of a prompt was searched with: :data:`ttft_bench.prefix.FIRST_HALF`, or empty for all of it.
        index: how the nearest were found; empty for the exact scan.
        recall: share of the exact neighbours that the index finds, mean over prompts; None for the exact scan.
        corpus_hash: the corpus they were made from.
        hash: identifies all pools together.
        cached: whether they were read rather than made.
        path: the cache file; None without a cache.
        matrix: float32, shape (n, d): unit rows of all training documents, memory-mapped if cached.
    """

    pools: Mapping[str, Pool]
    embedder: str
    fingerprint: str
    k: int
    source: str
    seed: int
    excluded: str
    query: str
    index: str
    recall: float | None
    corpus_hash: str
    hash: str
    cached: bool
    path: Path | None
    matrix: NDArray[np.float32] = field(repr=False, compare=False)

    def vectors(self, ids: ArrayLike) -> NDArray[np.float32]:
        """Unit rows of training documents, shape (len(ids), d), read-only."""
        rows: NDArray[np.float32] = np.array(self.matrix[np.asarray(ids, dtype=np.int64)])
        rows.flags.writeable = False
        return rows

    @property
    def embed_s(self) -> float:
        """Median seconds to embed a prompt."""
        return median(pool.embed_s for pool in self.pools.values())

    @property
    def retrieve_s(self) -> float:
        """Median seconds to find a prompt's candidates."""
        return median(pool.retrieve_s for pool in self.pools.values())


def build_pools(
    corpus: Corpus,
    embedder: Embedder | Callable[[], Embedder],
    *,
    k: int = DEFAULT_K,
    source: str = EMBEDDING,
    seed: int = 0,
    leaks: Leaks | None = None,
    first_half: bool = False,
    index: str = "flat",
    cache: Path | None = None,
    note: Note = silent,
    on_progress: OnStage | None = None,
) -> PoolSet:
    """Make the pool of every prompt, or read them from the cache.

    A training document whose text equals the prompt's, white space aside, is never in that prompt's pool.

    Args:
        corpus: what to draw from; its prompts get one pool each.
        embedder: an embedder, or what makes one. Only its name and fingerprint are read if all is cached.
        k: candidates per prompt; capped, with a note, at what the corpus has.
        source: one of :data:`ttft_bench.corpus.sources.POOL_SOURCES`; every pool is sorted nearest first.
        seed: of the random source.
        first_half: search with the first half of each prompt (:mod:`ttft_bench.prefix`) instead of all of it.
        index: how the nearest are found, for the source ``embedding``; see :mod:`ttft_bench.corpus.approximate`.
        leaks: keep the near-duplicates of a prompt out of its pool too; the next nearest take their places.
        cache: the cache folder; None makes everything anew and keeps nothing.
        note: receives one line per thing worth knowing.
        on_progress: called with (stage, done, total); never called for a stage that the cache had.

    Raises:
        UsageError: k or source cannot be, or the library of a source is not installed.
        CorpusError: there are no training documents, no prompts, or nothing that may stand in a pool.
        EmbeddingError: an embedding is unusable.
        StorageError: the cache cannot be written.
    """
    if k < 1:
        raise UsageError(f"the pool size k must be at least 1, got {k}")
    if source not in POOL_SOURCES:
        raise UsageError(f"unknown pool source {source!r}: choose from {', '.join(POOL_SOURCES)}")
    if source == BM25:
        import_library()  # told before hours of embedding, not after
    if not corpus.train or not corpus.prompts:
        lacking = "training documents" if not corpus.train else "prompts"
        raise CorpusError(f"corpus {corpus.name} has no {lacking}: add documents, or hold fewer of them out")
    index_name, _ = parse_index(index)
    if k > len(corpus.train):
        note(f"pools hold {len(corpus.train)} candidates instead of {k}: corpus {corpus.name} has no more")
        k = len(corpus.train)
    maker = embedder() if callable(embedder) else embedder
    stage = on_progress or (lambda *_: None)
    matrix = embed_training(
        corpus,
        maker,
        cache,
        lambda done, total: stage("documents", done, total),
        note=note,
    )
    meta = describe(
        corpus,
        embedder=maker.name,
        fingerprint=maker.fingerprint,
        source=source,
        k=k,
        seed=seed if source == RANDOM else 0,  # nothing else draws
        excluded=PARAMETERS if leaks is not None else "",
        query=FIRST_HALF if first_half else "",
        index=index_name if index_name != "flat" and source == EMBEDDING else "",
    )

    def make() -> dict[str, NDArray[Any]]:
        spec = meta["index"] or "flat"
        searched = open_any_index(matrix, spec, cache, note=note) if source == EMBEDDING else None
        kept_out = leaks.duplicates if leaks is not None else None
        arrays = retrieve(corpus, maker, searched, matrix, k, source, seed, stage, kept_out, first_half)
        if searched is not None and meta["index"]:
            arrays["recall"] = np.array(measure_recall(searched, matrix, arrays["query"], k))
            note(f"index {spec}: recall at {k} is {float(arrays['recall']):.4f} against an exact scan")
        return arrays

    if cache is None:
        return _pool_set(corpus, meta, make(), matrix, cached=False, path=None)
    path = pool_path(cache, meta)
    arrays = read_pools(path, meta, matrix.shape)
    cached = arrays is not None
    if arrays is None:
        with one_at_a_time(path, "making the same pools", note):
            arrays = read_pools(path, meta, matrix.shape)
            cached = arrays is not None
            if arrays is None:
                arrays = make()
                write_pools(path, meta, arrays)
    return _pool_set(corpus, meta, arrays, matrix, cached=cached, path=path)


def _pool_set(
    corpus: Corpus,
    meta: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    matrix: NDArray[np.float32],
    *,
    cached: bool,
    path: Path | None,
) -> PoolSet:
    """Turn arrays into pools: read-only views, no copies."""
    for array in arrays.values():
        array.flags.writeable = False
    source = hashed_name(meta["source"]) + (f" {meta['query']}" if meta["query"] else "")
    pools = {}
    ends = np.cumsum(arrays["sizes"])
    for row, prompt in enumerate(corpus.prompts):
        part = slice(int(ends[row] - arrays["sizes"][row]), int(ends[row]))
        contents = [corpus.train[position].key for position in arrays["ids"][part]]
        assert prompt.key not in contents, f"prompt {prompt.key} stands in its own pool"
        pools[prompt.key] = Pool(
            prompt_id=prompt.key,
            query=arrays["query"][row],
            ids=arrays["ids"][part],
            similarity=arrays["similarity"][part],
            embed_s=float(arrays["embed_s"][row]),
            retrieve_s=float(arrays["retrieve_s"][row]),
            source=meta["source"],
            # Contents and ids, because picks are stored as ids; no vectors, whose last bits differ per machine.
            hash=digest("pool", prompt.key, meta["fingerprint"], source, arrays["ids"][part].tobytes(), *contents),
        )
    return PoolSet(
        pools=pools,
        embedder=meta["embedder"],
        fingerprint=meta["fingerprint"],
        k=meta["k"],
        source=meta["source"],
        seed=meta["seed"],
        excluded=meta["excluded"],
        query=meta["query"],
        index=meta["index"],
        recall=float(arrays["recall"]) if "recall" in arrays else None,
        corpus_hash=corpus.hash,
        hash=digest("pools", *(pool.hash for pool in pools.values())),
        cached=cached,
        path=path,
        matrix=matrix,
    )


__all__ = ["DEFAULT_K", "OnStage", "Pool", "PoolSet", "build_pools", "cached_pools"]
