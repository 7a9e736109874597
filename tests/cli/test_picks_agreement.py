"""A sweep from stored picks wants what they were made with: each setting that differs is named, with both values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ttft_bench.sweep import store

Invoke = Callable[..., Any]


@pytest.fixture
def picks(invoke: Invoke, tiny: Path, tmp_path: Path) -> Path:
    made = invoke("select", "--config", tiny, "-o", "picks", "--subsets", "greek", "--pool-k", "9", "--limit", "1")
    assert made.code == 0, made.err
    return tmp_path / "picks"


def sweep_from(invoke: Invoke, tiny: Path, *flags: str) -> Any:
    usual = () if "--subsets" in flags else ("--subsets", "greek")
    return invoke("sweep", "--config", tiny, "--picks", "picks", "-o", "run", "--device", "cpu", *usual, *flags)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--pool-k", "20"), ("--pool-k 20 does not go with", "made with --pool-k 9", "leave it out")),
        (("--seed", "7"), ("--seed 7", "made with --seed 0", "ttft-bench select --seed 7")),
        (("--embedder", "hashed-words"), ("--embedder hashed-words", "made with --embedder ")),
        (("--pool-source", "bm25"), ("--pool-source bm25", "made with --pool-source embedding")),
        (("--exclude-near-duplicates",), ("made with --keep-near-duplicates", "select --exclude-near-duplicates")),
        (("--limit", "3"), ("--limit 3", "made with --limit 1", "give at most 1")),
        (("--budgets", "1,4"), ("no picks for --budgets 4 (it has 1,2)", "give --budgets 1", "select --budgets 1,4")),
        (("--subsets", "greek,code"), ("no picks for --subsets code (it has greek)", "give --subsets greek")),
        (("--strategies", "hullft"), ("no picks for hullft (it has knn", "leave them out of --strategies")),
    ],
)
def test_a_setting_that_differs_is_named_with_both_values(
    invoke: Invoke, tiny: Path, picks: Path, tmp_path: Path, flags: tuple[str, ...], words: tuple[str, ...]
) -> None:
    for dry in ((), ("--dry-run",)):
        result = sweep_from(invoke, tiny, *flags, *dry)
        assert result.code == (4 if "--subsets" in flags else 2), "a subset that is not there is missing data"
        assert all(word in result.err for word in words), result.err
    assert not (tmp_path / "run").exists()


def test_another_suite_is_refused(invoke: Invoke, tiny: Path, picks: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(tiny.read_text(encoding="utf-8").replace('name = "tiny"', 'name = "other"'), encoding="utf-8")
    result = sweep_from(invoke, other)
    assert result.code == 2 and "made with suite tiny, and this is suite other: give --suite tiny" in result.err
    varied = tmp_path / "varied.toml"
    variants = '[[variants]]\nlabel = "a"\n[variants.model]\nmax_tokens = 16\n'
    varied.write_text(other.read_text(encoding="utf-8") + variants, encoding="utf-8")
    result = sweep_from(invoke, varied)
    assert result.code == 2 and "made with suite tiny, and this is suite other" in result.err


def test_flags_that_agree_and_ask_for_fewer_go_through(invoke: Invoke, tiny: Path, picks: Path, tmp_path: Path) -> None:
    same = ("--pool-k", "9", "--seed", "0", "--keep-near-duplicates", "--limit", "1")
    result = sweep_from(invoke, tiny, *same, "--budgets", "1", "--strategies", "knn")
    assert result.code == 0, result.err
    rows = store.load_run(tmp_path / "run").rows
    assert {row["pool_k"] for row in rows} == {9} and {row["subset"] for row in rows} == {"greek"}


def test_picks_made_in_several_goes_hold_what_all_of_them_asked_for(
    invoke: Invoke, tiny: Path, picks: Path, tmp_path: Path
) -> None:
    select = ("select", "--config", tiny, "-o", "picks", "--subsets", "greek", "--pool-k", "9")
    assert invoke(*select, "--prompts-per-subset", "2", "--budgets", "2").code == 0
    assert invoke(*select, "--limit", "1", "--budgets", "2").code == 0
    assert sweep_from(invoke, tiny, "--limit", "2", "--budgets", "1,2", "--dry-run").code == 0
