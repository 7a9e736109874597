"""A library finds what the pools of a corpus hold, leaves copies out, and grows without starting anew."""

from __future__ import annotations

import numpy as np
import pytest

from fake_embedder import HashingEmbedder
from notes import PROMPT, notes
from ttft_bench.corpus import rowfiles
from ttft_bench.corpus.documents import Corpus, Document
from ttft_bench.corpus.embedders import Shuffled
from ttft_bench.corpus.index import open_index
from ttft_bench.corpus.library import Library
from ttft_bench.corpus.load import load_corpus, load_documents
from ttft_bench.corpus.pools import build_pools
from ttft_bench.errors import CorpusError, EmbeddingError, UsageError


def documents(count: int = 30) -> list[Document]:
    return [Document(text) for text in notes(count)]


@pytest.mark.parametrize("index", ["flat", "hnsw[search=64]"])
@pytest.mark.parametrize("grown", [False, True])
def test_it_finds_what_a_pool_holds(index, grown):
    everything = [*documents(), Document(f" {PROMPT}\n"), Document(PROMPT)]
    embedder = HashingEmbedder()
    pool = build_pools(Corpus("c", tuple(everything), (Document(PROMPT),)), embedder, k=7).pools[Document(PROMPT).key]
    if grown:
        library = Library(everything[:4], embedder, index=index)
        assert [library.add(everything[4:20]), library.add(everything[20:])] == [range(4, 20), range(20, 32)]
    else:
        library = Library(everything, embedder, index=index)
    assert [document.text for document in library] == [document.text for document in everything]
    found = library.find(PROMPT, 7)
    assert np.array_equal(found.ids, pool.ids) and np.array_equal(found.similarity, pool.similarity)
    assert found.copies == (30, 31) and np.array_equal(found.query, pool.query)
    assert np.allclose(found.vectors @ found.query[0], found.similarity, atol=1e-6)
    assert not found.vectors.flags.writeable


def test_copies_never_crowd_out_the_rest():
    library = Library([Document(PROMPT)] * 40 + documents(5), HashingEmbedder())
    found = library.find(PROMPT, 3)
    assert len(found.ids) == 3 and min(found.ids) >= 40 and len(found.copies) == 40
    assert len(library.find(PROMPT, 100).ids) == 5
    with pytest.raises(CorpusError, match="equals every document"):
        Library([Document(PROMPT)] * 2, HashingEmbedder()).find(PROMPT, 3)


def test_what_is_added_is_embedded_alone_and_once(tmp_path):
    embedder = HashingEmbedder()
    library = Library(documents(10), embedder, cache=tmp_path)
    before = len(embedder.embedded)
    library.add([Document("fresh words"), Document("fresh words"), Document(notes(10)[3])])
    assert embedder.embedded[before:] == ["fresh words"]
    again = HashingEmbedder()
    Library([*documents(10), Document("fresh words")], again, cache=tmp_path)
    assert "fresh words" not in again.embedded and not set(notes(10)) & set(again.embedded)


def test_adding_one_by_one_reads_and_leaves_few_files(tmp_path, monkeypatch):
    monkeypatch.setattr(rowfiles, "MOST_SMALL", 8)
    library = Library(documents(10), HashingEmbedder(), cache=tmp_path)
    read = []
    real = rowfiles.load_arrays
    monkeypatch.setattr(rowfiles, "load_arrays", lambda path, only=None: read.append(path) or real(path, only))
    for number in range(40):
        library.add([Document(f"note {number}")])
    files = [path.name for path in tmp_path.rglob("*.np?")]
    assert len(files) <= 9 and sum(name.startswith("matrix-") for name in files) == 1
    assert len(read) < 2 * 40, "each file is read when it is put together with others, and by no other addition"
    again = HashingEmbedder()
    Library([Document(f"note {number}") for number in range(40)] + documents(10), again, cache=tmp_path)
    assert again.embedded == ["warm up"]


def test_a_document_that_cannot_be_embedded_adds_nothing():
    library = Library(documents(3), HashingEmbedder(bad={"poison": float("nan")}))
    with pytest.raises(EmbeddingError, match="poison"):
        library.add([Document("fine"), Document("poison")])
    assert len(library) == 3 and len(library.find(PROMPT, 10).ids) == 3


def test_embeddings_that_are_dealt_out_cannot_grow():
    library = Library(documents(3), Shuffled(HashingEmbedder()))
    with pytest.raises(UsageError, match="deals out"):
        library.add([Document("more")])
    with pytest.raises(CorpusError, match="no document"):
        Library([], HashingEmbedder())
    with pytest.raises(EmbeddingError, match="dimensions"):
        open_index(np.eye(3, dtype=np.float32)).extended(np.ones((1, 2), dtype=np.float32))


def test_all_documents_may_be_trained_on_but_those_that_are_marked_as_prompts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.md").write_text(f"text of {name} " * 30, encoding="utf-8")
    assert len(load_documents(str(folder))) == 3 > len(load_corpus(str(folder)).train)
    (folder / "b.md").unlink()
    (folder / "c.md").unlink()
    assert len(load_documents(str(folder))) == 1, "one document is enough: nothing is held out"
    marked = tmp_path / "marked.jsonl"
    marked.write_text(
        '{"text": "one", "group": "g"}\n{"text": "two", "group": "g", "split": "prompt"}\n'
        '{"text": "three", "subset": "s"}\n{"text": "four", "subset": "s"}\n',
        encoding="utf-8",
    )
    assert [document.text for document in load_documents(str(marked))] == [
        document.text for document in load_corpus(str(marked)).train
    ]
    assert len(load_documents(str(marked), subsets=["s"], train_per_subset=1)) == 1
    only = tmp_path / "prompts.jsonl"
    only.write_text('{"text": "two", "split": "prompt"}\n', encoding="utf-8")
    with pytest.raises(CorpusError, match="prompts only"):
        load_documents(str(only))
