"""Pools of another retriever: BM25 over words."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fake_embedder import HashingEmbedder
from ttft_bench.corpus.bm25 import WordIndex
from ttft_bench.corpus.documents import Corpus, Document
from ttft_bench.corpus.pools import build_pools
from ttft_bench.corpus.sources import POOL_SOURCES
from ttft_bench.errors import UsageError

TRAIN = tuple(Document(text) for text in ("oak elm tree", "pine", "oak oak birch", "?", "birch fir", "oak  elm\nash"))
CORPUS = Corpus("trees", TRAIN, (Document("oak elm ash"), Document("nothing known here")))
NONE = np.array([], dtype=np.int64)


def test_best_score_first_then_lowest_id() -> None:
    index = WordIndex(document.text for document in TRAIN)
    assert index.search("oak elm ash", 3, NONE).tolist() == [5, 0, 2]
    assert index.search("oak elm ash", 9, np.array([5])).tolist() == [0, 2, 1, 3, 4]
    assert index.search("unknown words", 2, NONE).tolist() == [0, 1], "no shared word: lowest id"


def test_scores_are_those_of_the_formula() -> None:
    texts = [document.text for document in TRAIN]
    index = WordIndex(texts)
    words = [[word for word in text.split() if len(word) > 1] or [""] for text in texts]
    mean = sum(map(len, words)) / len(words)

    def score(query: str, document: list[str]) -> float:
        total = 0.0
        for word in query.split():
            n, f = sum(word in other for other in words), document.count(word)
            total += (
                np.log(1 + (len(words) - n + 0.5) / (n + 0.5)) * f / (f + 1.5 * (0.25 + 0.75 * len(document) / mean))
            )
        return total

    expected = sorted(range(len(texts)), key=lambda i: (-score("oak birch fir", words[i]), i))
    assert index.search("oak birch fir", 6, NONE).tolist() == expected


def test_pools_by_words_are_sorted_like_all_others_and_lack_the_prompt(tmp_path: Path) -> None:
    pools = build_pools(CORPUS, HashingEmbedder(), k=3, source="bm25", cache=tmp_path)
    first = pools.pools[CORPUS.prompts[0].key]
    assert set(first.ids.tolist()) == {0, 2, 1}, "document 5 is the prompt, white space aside"
    assert first.source == "bm25" and (np.diff(first.similarity) <= 0).all()
    assert build_pools(CORPUS, HashingEmbedder(), k=3, source="bm25", cache=tmp_path).cached
    hashes = {
        build_pools(CORPUS, HashingEmbedder(), k=3, source=source, cache=tmp_path).hash for source in POOL_SOURCES
    }
    assert len(hashes) == 3


def test_without_the_library_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(UsageError, match=r"pip install 'ttft-bench\[bm25\]'"):
        build_pools(CORPUS, HashingEmbedder(), k=3, source="bm25")
