from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from documented import assert_documented
from fake_embedder import HashingEmbedder
from ttft_bench.cli.corpus import app
from ttft_bench.corpus import embedders
from ttft_bench.errors import UsageError

HOSTILE = "evil\x1b[2J\x1b]0;owned\x07 \x9b31m \x7f \u202e [bold red]markup[/]"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A corpus file with escape sequences wherever a document can carry them."""
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedders, "open_embedder", lambda *_, **__: HashingEmbedder())
    texts = {
        "woods": [f"oak {number} of the woods, {number * 31} years old" for number in range(12)],
        "fields": [f"elm {number} of the fields, {number * 17} years old" for number in range(12)],
        HOSTILE: [f"{HOSTILE} text {number}" for number in range(12)],
    }
    lines = [
        {"text": text, "subset": subset, "group": f"{subset}{number}"}
        for subset, some in texts.items()
        for number, text in enumerate(some)
    ]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, (result.output, result.exception)
    steering = {"\x1b", "\x07", "\x9b", "\x7f", "\u202e"}
    assert not steering & set(result.output), "escape sequences reached the terminal"
    return str(result.stdout)


@pytest.mark.parametrize("names", [",", "", " , "])
@pytest.mark.parametrize("command", ["build", "info", "leaks", "search"])
def test_subsets_that_name_none_are_refused(source: str, command: str, names: str) -> None:
    words = ["oak", "--corpus", source] if command == "search" else [source]
    result = CliRunner().invoke(app, [command, *words, "--subsets", names])
    assert isinstance(result.exception, UsageError) and "subsets must name a subset" in str(result.exception)


def test_build_twice(source: str) -> None:
    first = _run("build", source, "-k", "5")
    assert "documents/s" in first and "made" in first and "kept in" in first
    assert_documented("corpus build", json.loads(_run("build", source, "-k", "5", "--json")))
    second = _run("build", source, "-k", "5")
    assert " 0 made in" in second and ", from the cache" in second


def test_info(source: str) -> None:
    assert "no pools are cached" in _run("info", source)
    _run("build", source, "-k", "5")
    shown = json.loads(_run("info", source, "--json"))
    assert_documented("corpus info", shown)
    assert {row["subset"] for row in shown["subsets"]} > {"woods", "fields"}
    assert all(row["documents"] and row["characters_min"] <= row["characters_max"] for row in shown["subsets"])
    assert [pool["k"] for pool in shown["cached_pools"]] == [5]
    assert shown["cached_embeddings"]["hashing-0001"] == sum(row["documents"] for row in shown["subsets"])
    assert "cached: " in _run("info", source)


def test_search_finds_and_escapes(source: str) -> None:
    rows = json.loads(_run("search", f"{HOSTILE} text", "--corpus", source, "-k", "3", "--json"))
    assert_documented("corpus search", rows)
    assert len(rows) == 3 and "\\x1b[2J" in rows[0]["text"] and "[bold red]" in rows[0]["text"]
    assert rows[0]["similarity"] >= rows[-1]["similarity"]
    table = _run("search", f"{HOSTILE} text", "--corpus", source)
    assert "\\x1b[2J" in table and "similarity" in table


def test_subsets(source: str) -> None:
    shown = json.loads(_run("info", source, "--subsets", "woods", "--json"))
    assert [row["subset"] for row in shown["subsets"]] == ["woods"]


def test_leaks(source: str) -> None:
    shown = json.loads(_run("leaks", source, "--json"))
    assert_documented("corpus leaks", shown)
    (*subsets, everything) = shown["subsets"]
    assert everything["subset"] == "all" and everything["prompts"] == sum(row["prompts"] for row in subsets)
    for row in shown["subsets"]:
        assert row["exact"] + row["near"] + row["clean"] == row["prompts"]
    assert "containment=0.5" in shown["parameters"] and "duplicate if near-duplicates[" in _run("leaks", source)


def test_an_approximate_index_shows_its_recall(source: str) -> None:
    built = _run("build", source, "-k", "5", "--index", "ivf[lists=4,probes=4]")
    assert "ivf[lists=4,probes=4], recall 1.0000 against an exact scan" in built
    assert "nearest" not in built and "recall 1.0000" in _run("info", source)
    assert json.loads(_run("search", "oak", "--corpus", source, "--index", "hnsw", "--json"))


def test_the_pile_from_local_shards(tmp_path: Path, source: str) -> None:
    from pile_shards import write_pile

    pile = f"pile:{write_pile(tmp_path / 'pile')}"
    assert "180 documents, 30 prompts, 3 subsets" in _run("build", pile, "-k", "5")
    shown = json.loads(_run("info", pile, "--json"))
    assert {row["subset"] for row in shown["subsets"]} == {"ArXiv", "Github", "Wikipedia (en)"}
    assert shown["cached_pools"][0]["prompts"] == 30
