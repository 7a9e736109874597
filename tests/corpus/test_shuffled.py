"""The control whose documents have each other's vectors."""

from __future__ import annotations

import numpy as np
import pytest

from fake_embedder import HashingEmbedder
from ttft_bench.corpus.documents import Corpus, Document
from ttft_bench.corpus.pools import build_pools
from ttft_bench.corpus.sentence import load_embedder
from ttft_bench.corpus.shuffled import ShuffledEmbedder, inner_name
from ttft_bench.corpus.vectors import embed_training
from ttft_bench.errors import ModelError
from ttft_bench.report.paired.split import SHUFFLED_PREFIX


@pytest.fixture
def corpus():
    train = tuple(Document(f"words number {i} and more", "s", f"g{i}") for i in range(30))
    return Corpus("c", train, (Document("words number 7 and less", "s", "p"),))


def test_no_document_keeps_its_vector_and_none_is_lost(corpus, tmp_path):
    inner = HashingEmbedder()
    true = embed_training(corpus, inner, tmp_path)
    count = len(inner.embedded)
    dealt = embed_training(corpus, ShuffledEmbedder(inner), tmp_path)
    assert len(inner.embedded) == count, "nothing is embedded anew"
    assert not (dealt == true).all(1).any()
    assert np.array_equal(np.sort(dealt, axis=0), np.sort(true, axis=0)) and not dealt.flags.writeable
    assert np.array_equal(dealt, embed_training(corpus, ShuffledEmbedder(inner), None))


def test_prompts_keep_their_own_and_pools_are_kept_apart(corpus, tmp_path):
    inner = HashingEmbedder()
    plain = build_pools(corpus, inner, k=5, cache=tmp_path)
    shuffled = build_pools(corpus, ShuffledEmbedder(inner), k=5, cache=tmp_path)
    key = corpus.prompts[0].key
    assert np.array_equal(plain.pools[key].query, shuffled.pools[key].query)
    assert set(plain.pools[key].ids) != set(shuffled.pools[key].ids)
    assert np.allclose(plain.pools[key].similarity, shuffled.pools[key].similarity)
    assert plain.pools[key].hash != shuffled.pools[key].hash


def test_it_is_asked_for_by_name(tmp_path):
    assert inner_name("shuffled[a/b@c]") == "a/b@c" and inner_name("all-minilm-l6-v2") is None
    assert SHUFFLED_PREFIX == "shuffled["
    with pytest.raises(ModelError, match="neither an asset, nor a folder"):
        load_embedder("shuffled[./nothing here]")
