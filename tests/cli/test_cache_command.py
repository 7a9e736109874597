"""``ttft-bench cache``: what is measured, and above all what is never removed."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from documented import assert_documented
from fake_embedder import HashingEmbedder
from ttft_bench.cache import KINDS, clear, contents
from ttft_bench.corpus import Corpus, Document, load_corpus
from ttft_bench.corpus.approximate import open_any_index
from ttft_bench.corpus.leaks import find_leaks
from ttft_bench.corpus.pools import build_pools
from ttft_bench.errors import StorageError

HASH = "0123456789abcdef"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache with one entry of every kind, of names that the project gives."""
    root = tmp_path / "cache"
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(root))
    for name in (
        "assets/a-model-1.0/ready-0123/payload/weights",
        "assets/a-model-1.0/lock",
        f"corpora/minipile-{HASH}.jsonl",
        f"corpora/pile-{HASH}/train-000000.arrow",
        f"embeddings/an-embedder-{HASH}/rows-{HASH}.npz",
        f"indexes/flat-ip-{HASH}.faiss",
        f"leaks/{HASH}-01234567.npz",
        f"pools/{HASH}/an-embedder_k5.npz",
    ):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 100)
    (root / f"indexes/flat-ip-{HASH}.faiss.lock").touch()
    return root


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_the_project_writes_is_what_it_recognises(tmp_path, tiny_corpus_file):
    """The patterns of the kinds are held against files made by the modules that make them."""
    root = tmp_path / "cache"
    corpus = load_corpus(str(tiny_corpus_file), prompts_per_subset=1)
    build_pools(corpus, HashingEmbedder(), k=5, cache=root)
    build_pools(corpus, HashingEmbedder(), k=5, index="hnsw[m=4]", cache=root)
    find_leaks(corpus, root)
    rows = np.eye(40, 8, dtype=np.float32) + 0.1
    open_any_index(rows / np.linalg.norm(rows, axis=1, keepdims=True), "ivf[lists=2,probes=2]", root)
    found = {holding.kind.name: holding for holding in contents(root)}
    assert {name for name, holding in found.items() if holding.entries} == {"embeddings", "indexes", "leaks", "pools"}
    assert [holding.foreign for holding in found.values()] == [()] * len(KINDS)
    assert sum(holding.files for holding in found.values()) == len(_files(root))


def test_info_counts_every_file_once(invoke, cache):
    printed = json.loads(invoke("cache", "info", "--json").out)
    assert_documented("cache info", printed)
    assert printed["bytes"] == 800
    assert {row["kind"]: (row["entries"], row["files"]) for row in printed["kinds"]} == {
        "assets": (1, 2),
        "corpora": (2, 2),
        "embeddings": (1, 1),
        "indexes": (1, 2),
        "leaks": (1, 1),
        "pools": (1, 1),
    }
    shown = invoke("cache", "info")
    assert "800 B in" in shown.out and "embeddings of documents" in shown.out


def test_clear_removes_the_kinds_that_are_named(invoke, cache):
    before = _files(cache)
    dry = invoke("cache", "clear", "pools", "indexes", "--dry-run")
    assert dry.code == 0 and "2 entries would be removed" in dry.out and _files(cache) == before
    done = invoke("cache", "clear", "pools", "indexes", "--yes", "--json")
    printed = json.loads(done.out)
    assert_documented("cache clear", printed)
    assert done.code == 0 and printed["bytes"] == 200
    left = _files(cache)
    assert {name.partition("/")[0] for name in before - left} == {"pools", "indexes"}
    assert {name.partition("/")[0] for name in left} == {"assets", "corpora", "embeddings", "leaks"}
    assert invoke("cache", "clear", "all", "-y").code == 0
    assert _files(cache) == set() and list(cache.glob(".removing-*")) == []
    assert "0 entries removed" in invoke("cache", "clear", "all").out, "nothing to remove is nothing to ask about"


def test_it_asks_and_takes_no_for_an_answer(invoke, cache, monkeypatch):
    before = _files(cache)
    refused = invoke("cache", "clear", "all")
    assert refused.code == 2 and "--yes" in refused.err and _files(cache) == before
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text, **_: asked.append(text))
    result = invoke("cache", "clear", "all")
    assert result.code == 0 and "nothing was removed" in result.err and _files(cache) == before
    assert "7 entries, 800 B" in asked[0] and str(cache) in asked[0]


def test_only_what_is_older(invoke, cache):
    old = cache / f"corpora/minipile-{HASH}.jsonl"
    os.utime(old, (time.time() - 20 * 86_400,) * 2)
    assert invoke("cache", "clear", "all", "--older-than", "10", "-y").code == 0
    assert not old.exists() and len(_files(cache)) == 8


def test_nothing_of_anybody_else_is_removed(invoke, cache):
    """The cache may be a folder that holds other things, under the names of the kinds too."""
    mine = {
        "thesis.tex",
        "assets/logo/logo.svg",
        "assets/photos-2024/lock",
        "assets/photos-2024/me.jpg",
        "corpora/my-notes.jsonl",
        f"corpora/pile-{HASH}/notes.txt",
        "embeddings/notebook/a.ipynb",
        "indexes/index.html",
        "leaks/bathroom.npz",
        "pools/summer/swim.npz",
    }
    for name in mine:
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_text("mine")
    assert invoke("cache", "clear", "all", "-y").code == 0
    assert mine <= _files(cache)
    assert "not made by ttft-bench" in invoke("cache", "info").err


def test_links_are_never_followed(invoke, cache, tmp_path):
    outside = tmp_path / "outside"
    for name in (f"pools/{HASH}/a_k5.npz", f"an-embedder-{HASH}/rows-{HASH}.npz", "weights"):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_text("dear")
    before = _files(outside)
    (cache / f"embeddings/linked-{HASH}").symlink_to(outside / f"an-embedder-{HASH}")
    (cache / "assets/a-model-1.0/ready-0123/payload/link").symlink_to(outside)
    assert invoke("cache", "clear", "all", "-y").code == 0
    assert _files(outside) == before
    assert not (cache / "assets/a-model-1.0").exists(), "a link within an entry goes; what it leads to stays"
    assert (cache / f"embeddings/linked-{HASH}").is_symlink()
    (cache / "pools").rmdir()
    (cache / "pools").symlink_to(outside / "pools")
    for words in (("pools",), ("leaks", "pools"), ("all", "pools")):
        refused = invoke("cache", "clear", *words, "-y")
        assert refused.code == 2 and "is a link" in refused.err, "named itself, it asks for what cannot be"
    assert _files(outside) == before and "a link: left alone" in invoke("cache", "info").out


def test_all_passes_links_by_and_clears_the_rest(invoke, cache, tmp_path):
    outside = tmp_path / "outside"
    (cache / "pools").rename(outside)
    (cache / "pools").symlink_to(outside)
    (cache / "indexes" / f"flat-ip-{HASH}.faiss").rename(tmp_path / "index")
    (cache / f"indexes/flat-ip-{HASH}.faiss").symlink_to(tmp_path / "index")
    kept = [str(cache / name) for name in (f"indexes/flat-ip-{HASH}.faiss", "pools")]
    before = _files(outside), _files(cache)
    dry = invoke("cache", "clear", "all", "--dry-run", "--quiet")
    assert dry.code == 0 and (_files(outside), _files(cache)) == before
    done = invoke("cache", "clear", "all", "-y", "--json", "--quiet")
    printed = json.loads(done.out)
    assert_documented("cache clear", printed)
    assert done.code == 0 and printed["links"] == kept and len(printed["removed"]) == 5
    for result in (dry, done):
        assert all(f"warning: {path} is a link: it is left" in result.err for path in kept), result.err
    assert _files(outside) == before[0] and (tmp_path / "index").read_bytes() and (cache / "pools").is_symlink()
    assert {name.partition("/")[0] for name in _files(cache)} == {"indexes"}, "the link and the lock beside it"


def test_what_another_process_makes_is_left(invoke, cache):
    beside, within = cache / f"indexes/flat-ip-{HASH}.faiss.lock", cache / "assets/a-model-1.0/lock"
    with FileLock(beside), FileLock(within):
        done = invoke("cache", "clear", "all", "-y", "--json")
    assert done.code == 0 and "another process is making it" in done.err
    printed = json.loads(done.out)
    assert {Path(path).name for path in printed["kept"]} == {f"flat-ip-{HASH}.faiss", "a-model-1.0"}
    assert (cache / f"indexes/flat-ip-{HASH}.faiss").exists()
    assert (cache / "assets/a-model-1.0/ready-0123/payload/weights").exists()
    assert len(_files(cache)) == 4


def test_what_vanishes_while_it_is_looked_at_is_passed_by(cache, monkeypatch):
    """A writer's temporary file is there when the folder is listed, and under its own name a moment later."""
    from ttft_bench.cache import inventory

    for name in (f"embeddings/an-embedder-{HASH}/.a.tmp", "leaks/.b.tmp"):
        (cache / name).write_bytes(b"x")
    gone = cache / f"pools/{HASH}"
    real = inventory.files_under

    def listed_then_gone(path):
        found = list(real(path))
        for file in found:
            if file.suffix == ".tmp" or file.parent == gone:
                file.unlink()
        if path == gone:
            gone.rmdir()
        return found

    monkeypatch.setattr(inventory, "files_under", listed_then_gone)
    found = {holding.kind.name: holding for holding in contents(cache)}
    assert found["embeddings"].files == 1 and found["leaks"].files == 1 and found["pools"].files == 0
    assert [holding.foreign for holding in found.values()] == [()] * len(KINDS)


def test_a_cache_beside_a_writer_is_read_and_cleared(cache):
    from ttft_bench.cache import choose
    from ttft_bench.files import replacing

    folder, stop = cache / f"embeddings/an-embedder-{HASH}", threading.Event()

    def write():
        while not stop.is_set():
            with replacing(folder / f"rows-{HASH}.npz", "x") as handle:
                handle.write(b"x" * 100)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(60):
            (holding,) = (found for found in contents(cache) if found.kind.name == "embeddings")
            assert len(holding.entries) == 1 and not holding.foreign
    finally:
        stop.set()
        writer.join()
    entries = choose(cache, ["embeddings", "pools"]).entries
    shutil.rmtree(cache / f"pools/{HASH}")  # as another process that clears would
    assert [outcome.kept for outcome in clear(cache, entries)] == ["", ""] and not folder.exists()


def test_a_cache_that_cannot_be_read_says_so(cache, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StorageError, match=r"cannot read .*: Permission denied\. Mend its permissions"):
        contents(cache)


def test_parts_of_an_interrupted_search_are_ours_and_left_while_it_goes_on(invoke, tmp_path, monkeypatch):
    import ttft_bench.corpus.leaks as leaks

    cache = tmp_path / "cache"
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(cache))
    monkeypatch.setattr(leaks, "BLOCK", 2)
    corpus = Corpus("c", tuple(Document(f"text {number} of some") for number in range(5)), (Document("a prompt"),))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(leaks, "_common", stop)
    with pytest.raises(KeyboardInterrupt):
        find_leaks(corpus, cache)
    (holding,) = (found for found in contents(cache) if found.kind.name == "leaks")
    assert len(holding.entries) == 4 and not holding.foreign, "three parts, and the lock of the whole"
    (lock,) = cache.rglob("*.lock")
    with FileLock(lock):
        assert invoke("cache", "clear", "leaks", "-y").err.count("another process is making it") == 4
    assert invoke("cache", "clear", "leaks", "-y").code == 0 and not _files(cache)


def test_an_entry_that_cannot_be_removed_is_an_error(cache, monkeypatch):
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    from ttft_bench.cache import choose

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        list(clear(cache, choose(cache, ["pools"]).entries))
    assert (cache / f"pools/{HASH}/an-embedder_k5.npz").exists() and list(cache.glob(".removing-*")) == []


@pytest.mark.parametrize(
    "words",
    [
        ("cache", "info"),
        ("cache", "info", "--json"),
        ("cache", "clear", "all", "-y"),
        ("assets", "list"),
        ("assets", "fetch", "all-minilm-l6-v2"),
        ("corpus", "info", "minipile"),
        ("select", "--config", "tiny.toml", "-o", "run"),
        ("sweep", "--config", "tiny.toml", "-o", "run", "--device", "cpu"),
        ("sweep", "--config", "tiny.toml", "-o", "run", "--device", "cpu", "--dry-run"),
        ("adapt", "--corpus", "tiny.toml", "a prompt"),
    ],
)
def test_a_cache_that_is_a_file_is_no_empty_one(invoke, tiny, tmp_path, monkeypatch, words):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "file"))
    done = invoke(*words)
    assert (done.code, done.out) == (2, "")
    told = f"error: TTFT_BENCH_CACHE names no folder: {tmp_path / 'file'} is a file, not a folder; set it to a folder"
    assert done.err.count("error:") == 1 and told in done.err, done.err
    assert (tmp_path / "file").read_text() == "mine" and not (tmp_path / "run" / "picks.jsonl").exists()


def test_an_unknown_kind_and_an_empty_cache(invoke, tmp_path, monkeypatch):
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "nothing"))
    wrong = invoke("cache", "clear", "embedings")
    assert wrong.code == 2 and "did you mean 'embeddings'" in wrong.err
    assert invoke("cache", "clear", "all", "-y").code == 0
    assert json.loads(invoke("cache", "info", "--json").out)["bytes"] == 0
    assert not (tmp_path / "nothing").exists(), "looking makes nothing"
