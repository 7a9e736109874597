"""IVF and HNSW: near the exact answer, measured against it, built shard by shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fake_embedder import HashingEmbedder
from ttft_bench.corpus import approximate, index
from ttft_bench.corpus.approximate import open_any_index, parse_index, recall
from ttft_bench.corpus.documents import Corpus, Document
from ttft_bench.corpus.pools import build_pools, cached_pools
from ttft_bench.errors import EmbeddingError, SpecError, UsageError


def _unit(seed: int, n: int, d: int = 16) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


MATRIX, QUERIES = _unit(0, 2000), _unit(1, 20)
SPECS = ("ivf[lists=40,probes=12]", "hnsw[m=16]")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "SHARD", 700)


@pytest.mark.parametrize("spec", SPECS)
def test_most_neighbours_are_found_and_scored_exactly(spec: str) -> None:
    exact = open_any_index(MATRIX).search(QUERIES, 10)
    similarity, ids = open_any_index(MATRIX, spec).search(QUERIES, 10)
    assert recall(ids, exact[1]) > 0.8
    for row, found, scores in zip(QUERIES, ids, similarity, strict=True):
        assert len(set(found.tolist())) == 10 and (np.diff(scores) <= 0).all()
        np.testing.assert_allclose(MATRIX[found] @ row, scores, atol=1e-6)


def test_looking_everywhere_is_exact() -> None:
    exact = open_any_index(MATRIX, "flat").search(QUERIES, 10)
    for spec in ("ivf[lists=20,probes=20]", "hnsw[search=3000,build=400]"):
        np.testing.assert_array_equal(open_any_index(MATRIX, spec).search(QUERIES, 10)[1], exact[1])


@pytest.mark.parametrize("spec", SPECS)
def test_building_goes_on_and_gives_the_same(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open_any_index(MATRIX, spec).search(QUERIES, 10)
    real, built = approximate._build, []

    def stopping(matrix: np.ndarray, kind: object, trained: object, start: int) -> object:
        built.append(start)
        if len(built) == 2:
            raise KeyboardInterrupt
        return real(matrix, kind, trained, start)  # type: ignore[arg-type]

    monkeypatch.setattr(approximate, "_build", stopping)
    with pytest.raises(KeyboardInterrupt):
        open_any_index(MATRIX, spec, tmp_path)
    for _ in range(2):
        found = open_any_index(MATRIX, spec, tmp_path).search(QUERIES, 10)
        np.testing.assert_array_equal(found[1], whole[1])
    assert built == [0, 700, 700, 1400]


def test_other_searches_use_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_any_index(MATRIX, "ivf[lists=40,probes=1]", tmp_path)
    monkeypatch.setattr(approximate, "_build", None)
    few, many = (
        open_any_index(MATRIX, f"ivf[lists=40,probes={probes}]", tmp_path).search(QUERIES, 10)[1] for probes in (2, 40)
    )
    exact = open_any_index(MATRIX).search(QUERIES, 10)[1]
    assert recall(few, exact) < recall(many, exact) == 1.0


def test_a_matrix_that_is_too_large_to_copy_is_scanned_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open_any_index(MATRIX).search(QUERIES, 25)
    monkeypatch.setattr(index, "IN_MEMORY_BYTES", 1)
    monkeypatch.setattr(index, "BLOCK", 300)
    blocks = open_any_index(MATRIX).search(QUERIES, 25)
    for ours, theirs in zip(blocks, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_pools_say_their_recall_and_are_other_pools(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    words = [f"w{number}" for number in range(60)]
    texts = [" ".join(rng.choice(words, 8)) for _ in range(400)]
    corpus = Corpus("many", tuple(map(Document, texts[:390])), tuple(map(Document, texts[390:])))
    notes: list[str] = []
    spec = "ivf[lists=20,probes=4]"
    pools = build_pools(corpus, HashingEmbedder(), k=20, index=spec, cache=tmp_path, note=notes.append)
    exact = build_pools(corpus, HashingEmbedder(), k=20, cache=tmp_path)
    found = [len(set(pools.pools[p.key].ids) & set(exact.pools[p.key].ids)) / 20 for p in corpus.prompts]
    assert pools.recall == pytest.approx(np.mean(found)) and 0.3 < pools.recall < 1 and exact.recall is None
    assert any(f"recall at 20 is {pools.recall:.4f}" in note for note in notes)
    again = build_pools(corpus, HashingEmbedder(), k=20, index="ivf[probes=4,lists=20]", cache=tmp_path)
    assert again.cached and again.recall == pools.recall and again.index == "ivf[lists=20,probes=4]"
    assert {(pool["index"], pool["recall"]) for pool in cached_pools(tmp_path, corpus)} == {
        ("", None),
        (pools.index, pools.recall),
    }
    by_words = build_pools(corpus, HashingEmbedder(), k=20, source="bm25", index=spec, cache=tmp_path)
    assert by_words.index == "" and by_words.recall is None, "no index is searched"


def test_specs() -> None:
    assert parse_index("hnsw[search=64,m=32]")[0] == "hnsw[search=64]" and parse_index("flat")[0] == "flat"
    for bad, words in (
        ("ivff", "did you mean 'ivf'"),
        ("ivf[probe=1]", "probes"),
        ("ivf[probes=0]", "at least 1"),
        ("hnsw[m=0]", "at least 1"),
    ):
        with pytest.raises(SpecError, match=words):
            parse_index(bad)
    with pytest.raises(UsageError, match="k must be at least 1"):
        open_any_index(MATRIX, SPECS[0]).search(QUERIES, 0)
    with pytest.raises(EmbeddingError, match="nothing to index"):
        open_any_index(MATRIX[:0], SPECS[0])
