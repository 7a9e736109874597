"""What selection needs: corpus, candidate pools and token counts, fetched and made where missing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ttft_bench.corpus.sources import EMBEDDING
from ttft_bench.selector import Problem, make_problem
from ttft_bench.sweep.suite import Suite, load_suite

if TYPE_CHECKING:
    from ttft_bench.corpus.documents import Corpus
    from ttft_bench.corpus.leaks import Leaks
    from ttft_bench.corpus.pools import Pool, PoolSet

Note = Callable[[str], None]
OnStage = Callable[[str, int, int], None]
#: Documents that are tokenised in one call: texts and tokens of more are never in memory together.
TOKENIZED_TOGETHER = 2_000


@dataclass(frozen=True)
class Prepared:
    """A suite made ready for selection.

    Attributes:
        suite: the suite.
        corpus: training documents and prompts.
        pools: pool source -> pools of every prompt.
        n_tokens: int64, shape (number of training documents,): tokens of one step on each that stands in some pool.
        leaks: near-duplicates of every prompt among all training documents; None where nobody asked.
    """

    suite: Suite
    corpus: Corpus
    pools: dict[str, PoolSet]
    n_tokens: NDArray[np.int64]
    leaks: Leaks | None = None

    def problem(self, source: str, prompt_id: str, budget: int) -> Problem:
        """What a strategy sees of one prompt."""
        pool = self.pools[source].pools[prompt_id]
        return pool_problem(pool, self.pools[source], self.n_tokens, budget)


def pool_problem(pool: Pool, pools: PoolSet, n_tokens: NDArray[np.int64], budget: int) -> Problem:
    """Make the :class:`Problem` of one pool."""
    return make_problem(pool.query, pools.vectors(pool.ids), budget, pool.ids, n_tokens[pool.ids])


def load_suite_corpus(suite: Suite, limit: int | None, note: Note) -> Corpus:
    """The suite's corpus with at most ``limit`` prompts per subset."""
    from ttft_bench.corpus.load import load_corpus

    limits = [n for n in (suite.corpus.prompts_per_subset, limit) if n is not None]
    return load_corpus(
        suite.corpus.source,
        subsets=suite.corpus.subsets,
        train_per_subset=suite.corpus.train_per_subset,
        prompts_per_subset=min(limits) if limits else None,
        seed=suite.seed,
        note=note,
    )


def prepare(
    suite: Suite,
    *,
    limit: int | None,
    sources: tuple[str, ...],
    note: Note,
    on_stage: OnStage | None = None,
    strata: bool = True,
) -> Prepared:
    """Fetch, read, embed and retrieve whatever is not cached.

    Args:
        suite: what to prepare.
        limit: at most so many prompts per subset.
        sources: pool sources that will be used.
        note: receives progress lines.
        on_stage: called with (stage, done, total) while embedding and retrieving.
        strata: look for near-duplicates of the prompts; done in any case where the suite keeps them out of pools.

    Raises:
        DataError: something cannot be fetched, read or embedded.
    """
    from ttft_bench.assets import cache_dir
    from ttft_bench.corpus.embedders import open_embedder
    from ttft_bench.corpus.leaks import find_leaks
    from ttft_bench.corpus.pools import build_pools

    corpus = load_suite_corpus(suite, limit, note)
    stage = on_stage or (lambda name, done, total: None)
    exclude = suite.pool.exclude_near_duplicates
    leaks = None
    if strata or exclude:
        leaks = find_leaks(
            corpus, cache_dir(), note=note, on_progress=lambda done, total: stage("near-duplicates", done, total)
        )
    embedder = open_embedder(suite.pool.embedder, note=note)
    pools = {
        source: build_pools(
            corpus,
            embedder,
            k=suite.pool.k,
            source=source,
            seed=suite.seed,
            leaks=leaks if exclude else None,
            index=suite.pool.index,
            first_half=suite.score.protocol == "prefix",
            cache=cache_dir(),
            note=note,
            on_progress=on_stage,
        )
        for source in sources
    }
    return Prepared(suite, corpus, pools, count_tokens(corpus, suite, note, pools.values()), leaks)


def train_hash(corpus: Corpus) -> str:
    """Hash of the training documents in order; unlike ``corpus.hash`` it does not depend on the prompts."""
    from ttft_bench.corpus.documents import identities

    digest = hashlib.sha256("\n".join(key for key, _, _ in identities(corpus.train)).encode())
    return digest.hexdigest()[:16]


def count_tokens(corpus: Corpus, suite: Suite, note: Note, pools: Iterable[PoolSet]) -> NDArray[np.int64]:
    """Tokens of one training step on each document of these pools: its length plus the start token, cut; else 0."""
    from ttft_bench.assets import resolve_source
    from ttft_bench.engine.items import count_step_tokens
    from ttft_bench.engine.model import load_tokenizer

    tokenizer = load_tokenizer(Path(resolve_source(suite.model.name, note)))
    wanted = np.unique(np.concatenate([pool.ids for some in pools for pool in some.pools.values()]))
    counts = np.zeros(len(corpus.train), dtype=np.int64)
    for start in range(0, len(wanted), TOKENIZED_TOGETHER):
        ids = wanted[start : start + TOKENIZED_TOGETHER]
        texts = [corpus.train[int(position)].text for position in ids]
        counts[ids] = count_step_tokens(tokenizer, texts, suite.model.max_tokens)
    return counts


def prepare_problems(suite: str, limit: int | None, note: Note) -> list[tuple[str, Callable[[int], Problem]]]:
    """Real pools of a suite: a label for each prompt, and its problem as a function of the budget."""
    prepared = prepare(load_suite(suite), limit=limit, sources=(EMBEDDING,), note=note, strata=False)
    subsets = {document.key: document.subset for document in prepared.corpus.prompts}
    return [
        (f"{subsets[prompt_id]}/{prompt_id[:8]}", partial(prepared.problem, EMBEDDING, prompt_id))
        for prompt_id in prepared.pools[EMBEDDING].pools
    ]


__all__ = [
    "Prepared",
    "count_tokens",
    "load_suite_corpus",
    "pool_problem",
    "prepare",
    "prepare_problems",
    "train_hash",
]
