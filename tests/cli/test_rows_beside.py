"""Other finetuning settings in a run folder: rows are added, and one line says beside what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ttft_bench.sweep import store

Invoke = Callable[..., Any]


@pytest.fixture
def sweep(invoke: Invoke, tiny: Path) -> Callable[..., Any]:
    usual = ("--config", tiny, "-o", "run", "--device", "cpu", "--strategies", "knn", "--budgets", "1", "--limit", "1")

    def run(*flags: str) -> Any:
        result = invoke("sweep", *usual, *flags)
        assert result.code == 0, result.err
        return result

    return run


def test_another_learning_rate_is_added_and_told_in_one_line(sweep: Callable[..., Any], tmp_path: Path) -> None:
    assert "beside" not in sweep("--lr", "5e-5").err
    said = "warning: run holds rows made with --lr 5e-05; those with --lr 0.0001 are added beside them"
    assert said in sweep("--lr", "1e-4", "--dry-run").err
    quiet = sweep("--lr", "1e-4", "--quiet").err
    assert said in quiet and "another --output" in quiet
    assert {row["lr"] for row in store.load_run(tmp_path / "run").rows} == {5e-5, 1e-4}
    assert "beside" not in sweep("--lr", "5e-5").err, "nothing is added any more"
    wider = sweep("--lr", "5e-5,2e-4", "--trainable", "bias+norm", "--dry-run").err
    assert "made with --lr 5e-05,0.0001 --trainable full; those with --lr 0.0002 --trainable bias+norm are" in wider


def test_more_budgets_and_a_stopped_grid_are_no_news(sweep: Callable[..., Any], tmp_path: Path) -> None:
    sweep("--lr", "5e-5,1e-4")
    results = tmp_path / "run" / store.RESULTS
    lines = [line for line in results.read_text(encoding="utf-8").splitlines() if json.loads(line)["lr"] == 5e-5]
    results.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert "beside" not in sweep("--lr", "5e-5,1e-4").err
    assert "beside" not in sweep("--lr", "5e-5", "--budgets", "2", "--dry-run").err


def test_other_lanes_are_told_where_rows_are_to_come(sweep: Callable[..., Any], tmp_path: Path) -> None:
    sweep("--limit", "2")
    assert "timed with" not in sweep("--limit", "2", "--lanes", "2").err, "nothing is to come"
    said = "warning: run holds rows timed with --lanes 1; those to come have --lanes 2: their times"
    assert said in sweep("--limit", "2", "--budgets", "1,2", "--lanes", "2").err
    rows = [row for row in store.load_run(tmp_path / "run").rows if row["arm"] == "finetune"]
    assert {(row["budget"], row["lanes"]) for row in rows} == {(1, 1), (2, 2)}
