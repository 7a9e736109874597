"""The Pile's schema from local shards and through the library of a hub: what is taken, and that it can be stopped."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_embedder import HashingEmbedder
from pile_shards import SUBSETS, lines, records, write_pile
from ttft_bench.cache import contents
from ttft_bench.corpus import pile, vectors
from ttft_bench.corpus.documents import Corpus, normalised
from ttft_bench.corpus.leaks import find_leaks
from ttft_bench.corpus.load import load_corpus
from ttft_bench.corpus.pools import build_pools
from ttft_bench.corpus.stored import StoredDocuments, read_documents
from ttft_bench.corpus.vectors import embed_training
from ttft_bench.errors import CorpusError


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pile, "SHARD", 50)
    return f"pile:{write_pile(tmp_path / 'pile')}"


def texts(corpus: Corpus) -> tuple[list[str], list[str]]:
    return [document.text for document in corpus.train], [document.text for document in corpus.prompts]


def stop_at(count: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stop the reading before its ``count``-th file of documents is written; the names of those that were begun."""
    real, written = pile.write_documents, []

    def stopping(path: Path, documents: Any, facts: dict[str, Any]) -> None:
        written.append(path.name)
        if len(written) == count:
            raise KeyboardInterrupt
        real(path, documents, facts)

    monkeypatch.setattr(pile, "write_documents", stopping)
    return written


def test_test_files_are_prompts_and_the_rest_is_training_text_in_order(shards: str) -> None:
    corpus = load_corpus(shards)
    expected = [str(record["text"]) for seed in (1, 2, 3) for record in records(seed, 60)]
    assert isinstance(corpus.train, StoredDocuments) and texts(corpus)[0] == expected, (
        "the copy of a prompt is left out"
    )
    assert sorted(texts(corpus)[1]) == sorted(str(record["text"]) for record in records(9, 30))
    assert sum(train for train, _ in corpus.counts().values()) == len(corpus.train) == 180
    assert set(corpus.subsets) == set(SUBSETS)
    document = corpus.train[77]
    assert document.key == type(document)(document.text).key and corpus.train[-1].text == expected[-1]
    assert [found.text for found in corpus.train[48:52]] == expected[48:52]


def test_subsets_and_limits(shards: str) -> None:
    corpus = load_corpus(shards, subsets=["Github", "ArXiv"], train_per_subset=20, prompts_per_subset=4)
    assert corpus.counts() == {"Github": (20, 4), "ArXiv": (20, 4)}
    everything = load_corpus(shards)
    assert {train for train, _ in load_corpus(shards, train_per_subset=5).counts().values()} == {5}
    for name in ("Github", "ArXiv"):
        first = [found.text for found in everything.train if found.subset == name][:20]
        assert [found.text for found in corpus.train if found.subset == name] == first
    fewer = load_corpus(shards, subsets=["Github", "ArXiv"], train_per_subset=20, prompts_per_subset=2)
    for name in ("Github", "ArXiv"):
        mine, more = ([p.text for p in some.prompts if p.subset == name] for some in (fewer, corpus))
        assert mine == more[:2], "a smaller request is the beginning of a larger one"
    assert fewer.train.digest == corpus.train.digest, "and stores nothing anew"  # type: ignore[attr-defined]
    with pytest.raises(CorpusError, match="no subset 'Githup'; did you mean 'Github'"):
        load_corpus(shards, subsets=["Githup"])


def test_without_a_test_file_documents_are_held_out_by_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pile, "HELD_OUT_ONE_IN", 10)
    file = tmp_path / "one.jsonl"
    file.write_bytes(lines(records(5, 200)))
    train, prompts = texts(load_corpus(f"pile:{file}"))
    (kept,) = [holding for holding in contents(tmp_path / "cache") if holding.entries]
    assert (kept.kind.name, kept.foreign, len(kept.entries)) == ("corpora", (), 1)
    assert len(train) + len(prompts) == 200 and 8 <= len(prompts) <= 40 and not set(train) & set(prompts)
    other = tmp_path / "other.jsonl"
    other.write_bytes(lines(records(5, 200)[::-1]))
    assert set(texts(load_corpus(f"pile:{other}"))[1]) == set(prompts), "order decides nothing"


def test_a_stopped_reading_goes_on_behind_the_last_whole_file(shards: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = texts(load_corpus(shards, seed=1))  # the seed is part of the key: another store, the same documents
    written = stop_at(4, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        load_corpus(shards)
    read = Counter[str]()
    real_read = pile.LocalStream._read

    def counting(self: Any, file: Path, skip: int) -> Any:
        for found in real_read(self, file, skip):
            read[file.name] += 1
            yield found

    monkeypatch.setattr(pile.LocalStream, "_read", counting)
    train, prompts = texts(load_corpus(shards))
    assert train == whole[0] and len(prompts) == len(whole[1])
    assert [name[:5] for name in written] == ["promp", "train", "train", "train", "train", "train"]
    assert read["00.jsonl.zst"] == read["test.jsonl.zst"] == 0 and 0 < read["01.jsonl.zst"] < 60 == read["02.jsonl"] - 1


def test_a_damaged_file_is_made_again(shards: str, tmp_path: Path) -> None:
    train, _ = texts(load_corpus(shards))
    (file,) = (tmp_path / "cache" / "corpora").rglob("train-000001.arrow")
    file.write_bytes(file.read_bytes()[:100])
    assert texts(load_corpus(shards))[0] == train


def test_one_flipped_bit_of_a_stored_text_is_noticed(shards: str, tmp_path: Path) -> None:
    train, prompts = texts(load_corpus(shards))
    for name, text in (("train-000001", train[60]), ("prompts", prompts[0])):
        (file,) = (tmp_path / "cache" / "corpora").rglob(f"{name}.arrow")
        data = bytearray(file.read_bytes())
        data[data.index(text.encode())] ^= 1
        file.write_bytes(data)
        assert read_documents(file) is None and not file.exists()
        assert texts(load_corpus(shards)) == (train, prompts)


def test_embedding_goes_on_block_by_block(shards: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "BLOCK", 40)
    corpus = load_corpus(shards)
    plain = Corpus("memory", tuple(corpus.train), corpus.prompts)
    with pytest.raises(KeyboardInterrupt):
        embed_training(corpus, HashingEmbedder(fail_after=100), tmp_path / "c")
    embedder, seen = HashingEmbedder(), list[tuple[int, int]]()
    matrix = embed_training(corpus, embedder, tmp_path / "c", lambda done, total: seen.append((done, total)))
    assert isinstance(matrix, np.memmap) and not matrix.flags.writeable
    np.testing.assert_array_equal(matrix, embed_training(plain, HashingEmbedder()))
    assert len(embedder.embedded) == 100 and seen[0] == (0, 100) and seen[-1] == (100, 100), "two blocks were done"
    assert [
        path.suffix
        for path in (tmp_path / "c" / "embeddings" / "hashing-0001").glob("matrix-*")
        if path.suffix != ".lock"
    ] == [".npy"]
    again = HashingEmbedder()
    embed_training(corpus, again, tmp_path / "c")
    assert again.embedded == []


def test_pools_and_leaks_are_those_of_the_same_documents_in_memory(shards: str, tmp_path: Path) -> None:
    corpus = load_corpus(shards, prompts_per_subset=3)
    plain = Corpus("memory", tuple(corpus.train), corpus.prompts)
    assert plain.hash == corpus.hash
    stored, memory = (build_pools(some, HashingEmbedder(), k=9, cache=tmp_path / "c") for some in (corpus, plain))
    assert stored.hash == memory.hash
    assert find_leaks(corpus).by_prompt.keys() == find_leaks(plain).by_prompt.keys()
    for prompt in corpus.prompts:
        pool = stored.pools[prompt.key]
        assert normalised(prompt.text) not in {normalised(corpus.train[int(i)].text) for i in pool.ids}


def test_the_hub_is_read_through_its_library(shards: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    local = load_corpus(shards)
    folder = Path(shards.partition(":")[2])
    real = datasets.load_dataset
    asked = []

    def load_dataset(name: str, *, revision: str | None, split: str, streaming: bool) -> Any:
        asked.append((name, revision, split, streaming))
        some = [str(file) for file in sorted(folder.glob("train/*") if split == "train" else folder.glob("test*"))]
        return real("json", data_files=some, split="train", streaming=True)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)  # else each local file asks the network
    stop_at(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        load_corpus("pile:someone/mirror@abc")
    hub = load_corpus("pile:someone/mirror@abc")
    assert texts(hub) == texts(local)
    assert set(asked) == {("someone/mirror", "abc", "train", True), ("someone/mirror", "abc", "test", True)}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ('{"text": "x"}', "00.jsonl, line 2: not a record of the Pile"),
        ('{"text": 3, "meta": {"pile_set_name": "A"}}', "line 2: not a record"),
        ('{"text": "\\ud800", "meta": {"pile_set_name": "A"}}', "line 2: a lone surrogate"),
        ("{", "line 2: not JSON"),
        ("[]", "line 2: a JSON object was due, found list"),
    ],
)
def test_bad_records_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str, words: str) -> None:
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "00.jsonl").write_text(json.dumps(records(1, 1)[0]) + "\n" + record + "\n")
    with pytest.raises(CorpusError, match=words):
        load_corpus(f"pile:{tmp_path / 'p'}")


def test_sources_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CorpusError, match="neither a file or folder nor a hub id"):
        load_corpus("pile:/no/such/folder")
    with pytest.raises(CorpusError, match="neither a file or folder nor a hub id"):
        load_corpus("pile:shards/00.jsonl.zst")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="no file of JSON lines"):
        load_corpus(f"pile:{tmp_path / 'empty'}")
    cut = write_pile(tmp_path / "cut") / "train" / "01.jsonl.zst"
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(CorpusError, match=r"01\.jsonl\.zst cannot be read"):
        load_corpus(f"pile:{tmp_path / 'cut'}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CorpusError, match=r"pip install 'ttft-bench\[hub\]', or give local files"):
        load_corpus("pile")
