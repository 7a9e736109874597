"""The tutorials are run as they stand, on tiny models and a few short texts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from notes import notes
from pile_shards import write_pile
from ttft_bench.corpus.hashedwords import HashedWords
from ttft_bench.sweep import store
from tutorial import PAGES, Tutorial

Run = Callable[[str], Tutorial]


@pytest.fixture
def run(
    tmp_path: Path, tiny_model_dir: Path, tiny_corpus_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Tutorial]:
    """Run a page in an empty folder, with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TTFT_PURE", "1")  # importing numba takes worker processes longer than their work
    model = ["--model", str(tiny_model_dir), "--max-tokens", "48"]
    words = ["--embedder", "hashed-words"]

    def run_page(page: str, corpus: bool = False) -> Tutorial:
        found = ["--corpus", str(tiny_corpus_file)] if corpus else []
        # Finetuning from stored picks refuses another embedder: it was settled when the picks were made.
        sweep = [
            *model,
            "--device",
            "cpu",
            *(words if "--picks" not in (PAGES / page).read_text(encoding="utf-8") else []),
        ]
        small = ["--budgets", "1,2", "--pool-k", "20"] if corpus else []
        stand_ins = {"sweep": [*sweep, *found, *small], "select": model, "adapt": [*model, *words, "--lr", "1e-3"]}
        tutorial = Tutorial(page, stand_ins, monkeypatch)
        tutorial.run()
        return tutorial

    return run_page


def test_write_a_selector(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    tutorial = run("write-a-selector.md", corpus=True)
    shown = capsys.readouterr().out
    assert "ttft-spread 0.1.0" in shown and "spread[most=0.3]" in shown
    rows = store.load_run(Path("my-run")).rows
    assert {"spread", "spread[most=0.7]", "knn", "hullft"} <= {row["strategy"] for row in rows}
    assert {row["status"] for row in rows} == {"ok"}
    own = [row for row in rows if row["strategy"].startswith("spread")]
    assert {row["distribution"] for row in own} == {"ttft-spread 0.1.0"}
    assert len(tutorial.ran) >= 6 and any("pytest" in line for line in tutorial.ran)


def test_write_a_suite(run: Run, tiny_corpus_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copyfile(tiny_corpus_file, "my-notes.jsonl")
    run("write-a-suite.md")
    shown = capsys.readouterr().out
    assert "whether SIFT is worth it on my notes" in shown and "cells, 0 done" in shown and "more-notes" in shown
    rows = store.load_run(Path("my-run")).rows
    assert {row["lr"] for row in rows} == {2e-5, 5e-5} and {row["status"] for row in rows} == {"ok"}
    assert {row["pool_k"] for row in store.load_run(Path("pools-run")).rows} == {5, 20}


def test_run_the_pile(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    write_pile(Path("shards"))
    run("run-the-pile.md")
    shown = capsys.readouterr().out
    assert "documents/s" in shown and "ArXiv" in shown
    rows = store.load_run(Path("my-run")).rows
    assert {row["subset"] for row in rows} == {"ArXiv", "Github", "Wikipedia (en)"}
    assert {row["status"] for row in rows} == {"ok"}


# How many steps a budget in seconds has room for depends on the machine, and so does what the Lab says of it.
@pytest.mark.filterwarnings("ignore:stopped after:UserWarning", "ignore:one step takes about:UserWarning")
def test_adapt(
    run: Run, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("my-notes").mkdir()
    for number, text in enumerate(notes(30)):
        Path("my-notes", f"{number}.md").write_text(f"{text} like the first text of words", encoding="utf-8")
    monkeypatch.setattr("ttft_bench.lab.lab.resolve_source", lambda *_: str(tiny_model_dir))
    monkeypatch.setattr("ttft_bench.lab.lab.open_embedder", lambda *_, **__: HashedWords())
    tutorial = run("adapt.md")
    assert tutorial.names["before"] != tutorial.names["after"] and len(tutorial.names["lab"]) == 31
    shown = capsys.readouterr().out
    assert "% of the untouched model's bits, 20 steps" in shown and "31 documents" in shown
    assert "bits per byte of the prompt" in shown and " s expected, " in shown
