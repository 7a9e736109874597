from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fake_embedder import HashingEmbedder
from ttft_bench.corpus.documents import Corpus, Document
from ttft_bench.corpus.pools import build_pools, cached_pools
from ttft_bench.errors import CorpusError, UsageError
from ttft_bench.prefix import halves

WORDS = "ash birch cedar elm fir hazel larch maple oak pine rowan yew"


def _text(number: int) -> str:
    rng = np.random.default_rng(number)
    return " ".join(rng.choice(WORDS.split(), size=6)) + f" {number}"


PROMPTS = tuple(Document(_text(number)) for number in (3, 1001, 1002))
# Prompt 0 is in the training documents twice, once with other white space.
TRAIN = tuple(Document(text) for text in (*map(_text, range(40)), _text(3).replace(" ", " \n ")))
CORPUS = Corpus("trees", TRAIN, PROMPTS)


def test_pools_are_nearest_first_read_only_and_without_the_prompt() -> None:
    pools = build_pools(CORPUS, HashingEmbedder(), k=10)
    assert list(pools.pools) == [prompt.key for prompt in PROMPTS]
    for prompt in PROMPTS:
        pool = pools.pools[prompt.key]
        assert pool.prompt_id == prompt.key and pool.source == "embedding"
        assert pool.ids.dtype == np.int64 and pool.similarity.dtype == pool.query.dtype == np.float32
        assert pool.ids.shape == pool.similarity.shape == (10,) and pool.query.shape == (1, 32)
        assert (np.diff(pool.similarity) <= 0).all()
        assert pool.embed_s > 0 and pool.retrieve_s > 0
        vectors = pools.vectors(pool.ids)
        np.testing.assert_allclose(vectors @ pool.query[0], pool.similarity, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        for array in (pool.query, pool.ids, pool.similarity, vectors):
            assert not array.flags.writeable
    assert not {3, 40} & set(pools.pools[PROMPTS[0].key].ids.tolist())


def test_ties_go_to_the_lowest_id() -> None:
    corpus = Corpus("same", tuple(Document("oak elm") for _ in range(9)), (Document("oak"),))
    (pool,) = build_pools(corpus, HashingEmbedder(), k=4).pools.values()
    np.testing.assert_array_equal(pool.ids, [0, 1, 2, 3])


def test_k_above_the_corpus_is_capped_with_a_note() -> None:
    notes: list[str] = []
    pools = build_pools(CORPUS, HashingEmbedder(), k=500, note=notes.append)
    assert pools.k == 41 and notes == ["pools hold 41 candidates instead of 500: corpus trees has no more"]
    assert [len(pool.ids) for pool in pools.pools.values()] == [39, 41, 41]


def test_second_call_embeds_nothing_and_gives_the_same(tmp_path: Path) -> None:
    embedder = HashingEmbedder()
    stages: set[str] = set()

    def seen(stage: str, *_: int) -> None:
        stages.add(stage)

    first = build_pools(CORPUS, embedder, k=10, cache=tmp_path, on_progress=seen)
    assert stages == {"documents", "prompts"} and not first.cached
    again = HashingEmbedder()
    stages.clear()
    second = build_pools(CORPUS, lambda: again, k=10, cache=tmp_path, on_progress=seen)
    assert again.embedded == [] and not stages and second.cached
    assert first.hash == second.hash
    for key, pool in first.pools.items():
        other = second.pools[key]
        assert (pool.hash, pool.embed_s, pool.retrieve_s) == (other.hash, other.embed_s, other.retrieve_s)
        for name in ("query", "ids", "similarity"):
            np.testing.assert_array_equal(getattr(pool, name), getattr(other, name))
            assert not getattr(other, name).flags.writeable
    (described,) = cached_pools(tmp_path, CORPUS)
    assert (described["k"], described["source"], described["prompts"]) == (10, "embedding", 3)


def test_without_a_cache_the_same_pools_come_out(tmp_path: Path) -> None:
    caches = (None, tmp_path, None)
    hashes = {build_pools(CORPUS, HashingEmbedder(), k=7, cache=cache).hash for cache in caches}
    assert len(hashes) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_damaged_cache_is_made_again(tmp_path: Path, damage: str) -> None:
    first = build_pools(CORPUS, HashingEmbedder(), k=10, cache=tmp_path)
    assert first.path is not None
    data = bytearray(first.path.read_bytes())
    position = data.index(first.pools[PROMPTS[1].key].ids.tobytes())
    data[position] ^= 1
    first.path.write_bytes({"flip": data, "cut": data[: len(data) // 2], "empty": b""}[damage])
    again = HashingEmbedder()
    second = build_pools(CORPUS, again, k=10, cache=tmp_path)
    assert again.embedded and not second.cached and second.hash == first.hash
    assert build_pools(CORPUS, HashingEmbedder(), k=10, cache=tmp_path).cached


def test_a_file_of_other_pools_is_not_used(tmp_path: Path) -> None:
    first = build_pools(CORPUS, HashingEmbedder(), k=10, cache=tmp_path)
    other = build_pools(CORPUS, HashingEmbedder(), k=5, cache=tmp_path)
    assert first.path is not None and other.path is not None and first.path != other.path
    first.path.write_bytes(other.path.read_bytes())
    again = build_pools(CORPUS, HashingEmbedder(), k=10, cache=tmp_path)
    assert not again.cached and again.hash == first.hash


def test_random_source_depends_on_prompt_and_seed_only(tmp_path: Path) -> None:
    def draw(corpus: Corpus, seed: int, cache: Path | None = None) -> dict[str, list[int]]:
        pools = build_pools(corpus, HashingEmbedder(), k=12, source="random", seed=seed, cache=cache)
        assert all((np.diff(pool.similarity) <= 0).all() for pool in pools.pools.values())
        return {key: pool.ids.tolist() for key, pool in pools.pools.items()}

    first = draw(CORPUS, 0, tmp_path)
    assert first == draw(CORPUS, 0) == draw(Corpus("trees", TRAIN, PROMPTS[::-1]), 0)
    assert first != draw(CORPUS, 1, tmp_path)
    assert not {3, 40} & set(first[PROMPTS[0].key])
    assert all(len(set(ids)) == 12 for ids in first.values())


def test_hash_follows_contents_and_source() -> None:
    def hash_of(corpus: Corpus, **options: str) -> str:
        return build_pools(corpus, HashingEmbedder(), k=5, **options).hash

    shorter = Corpus("trees", TRAIN[5:], PROMPTS)
    assert len({hash_of(CORPUS), hash_of(shorter), hash_of(CORPUS, source="random")}) == 3


def test_first_halves_are_what_is_searched_with(tmp_path: Path) -> None:
    embedder = HashingEmbedder()
    pools = build_pools(CORPUS, embedder, k=10, first_half=True, cache=tmp_path)
    whole = build_pools(CORPUS, HashingEmbedder(), k=10, cache=tmp_path)
    assert pools.query == "first half" and pools.path != whole.path
    for prompt in PROMPTS:
        pool, other = pools.pools[prompt.key], whole.pools[prompt.key]
        np.testing.assert_allclose(pool.query[0], embedder._vector(halves(prompt.text)[0]), atol=1e-6)
        assert pool.hash != other.hash and not {3, 40} & set(pools.pools[PROMPTS[0].key].ids.tolist())
    assert prompt.text not in embedder.embedded[len(TRAIN) :]


def test_bad_input() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        build_pools(CORPUS, HashingEmbedder(), k=0)
    with pytest.raises(UsageError, match="embedding, random, bm25"):
        build_pools(CORPUS, HashingEmbedder(), source="farthest")
    with pytest.raises(CorpusError, match="no prompts"):
        build_pools(Corpus("bare", TRAIN, ()), HashingEmbedder())
    with pytest.raises(CorpusError, match="no training documents"):
        build_pools(Corpus("bare", (), PROMPTS), HashingEmbedder())
    with pytest.raises(CorpusError, match="equals every training document"):
        build_pools(Corpus("echo", (Document("oak"),), (Document(" oak\n"),)), HashingEmbedder())
