"""Embedders that need no model, and the control that deals embeddings out."""

from __future__ import annotations

import numpy as np
import pytest

from fake_embedder import HashingEmbedder
from ttft_bench.corpus.documents import Corpus, Document
from ttft_bench.corpus.embedders import Shuffled, open_embedder
from ttft_bench.corpus.pools import build_pools
from ttft_bench.errors import SpecError

TEXTS = [f"alpha{number} beta{number} gamma{number % 3}" for number in range(12)]


def test_hashed_words_know_shared_words_and_nothing_else():
    embedder = open_embedder("hashed-words[d=64]")
    assert (embedder.name, embedder.dimension) == ("hashed-words[d=64]", 64)
    rows = embedder.embed(["A cat; a dog", "dog a CAT a ;", "entirely other words", "x"])
    assert rows.dtype == np.float32 and np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert rows[0] @ rows[1] == pytest.approx(1) and rows[0] @ rows[2] < 0.9
    assert open_embedder("hashed-words").name == "hashed-words"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hashed-words[d=2]", "d must be between"),
        ("hashed-words[k=2]", "has no parameter 'k'"),
        ("shuffled[]", "NAME] of another embedder"),
        ("shuffled[hashed-words", "NAME] of another embedder"),
        ("shuffled[shuffled[hashed-words]]", "NAME] of another embedder"),
    ],
)
def test_names_that_cannot_be(name, message):
    with pytest.raises(SpecError, match=message):
        open_embedder(name)


def test_shuffled_documents_have_each_others_embeddings(tmp_path):
    assert open_embedder("shuffled[hashed-words[d=64]]").name == "shuffled[hashed-words[d=64]]"
    train = [Document(text, "s", f"g{number}") for number, text in enumerate(TEXTS)]
    corpus = Corpus("c", tuple(train), (Document("alpha1 beta1 gamma1 more", "s", "p"),))
    plain, dealt = HashingEmbedder(), Shuffled(HashingEmbedder())
    true, shuffled = (build_pools(corpus, one, k=4, cache=tmp_path) for one in (plain, dealt))
    (before,), (after,) = true.pools.values(), shuffled.pools.values()
    assert np.array_equal(before.similarity, after.similarity), "the geometry is the same"
    assert np.array_equal(dealt.deal(len(TEXTS))[after.ids], before.ids) and before.hash != after.hash
    assert not np.array_equal(after.ids, before.ids) and shuffled.embedder == "shuffled[hashing]"
    assert build_pools(corpus, dealt, k=4, cache=tmp_path).cached
