"""Synthetic runs: rows with known figures."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ttft_bench.sweep.schema import make_row

Row = dict[str, Any]


@dataclass(frozen=True)
class FakeRun:
    """Stands in for ``ttft_bench.sweep.store.Run``."""

    path: Path
    manifest: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    warnings: tuple[str, ...] = ()


def cell(strategy: str = "hullft", prompt: int = 0, pct: float | None = 90.0, **changes: Any) -> Row:
    """One row that succeeded with ``pct`` BPB%, unless ``changes`` say otherwise."""
    before = changes.pop("bpb_before", 1.0)
    values: dict[str, Any] = {
        "run_id": "test",
        "status": "ok",
        "suite": "synthetic",
        "subset": f"domain-{prompt % 3}",
        "prompt_id": f"p{prompt:03d}",
        "strategy": strategy,
        "arm": "finetune",
        "budget": 4,
        "reuse_interval": 1,
        "reuse_grouping": "runs",
        "reuse_mode": "cached",
        "model": "tiny",
        "bpb_protocol": "window",
        "bpb_before": before,
        "bpb_after": None if pct is None else before * pct / 100,
        "bpb_pct": pct,
        "bytes_scored": 1000,
        "embed_s": 0.05,
        "retrieve_s": 0.001,
        "select_s": 0.002,
        "finetune_s": 2.0,
        "restore_s": 0.2,
        "score_s": 0.9,
        "n_distinct": 3,
    }
    return make_row(**{**values, **changes})


def make_rows(
    strategies: dict[str, float],
    budgets: tuple[int, ...],
    reuse: tuple[int, ...],
    n_prompts: int,
    seed: int = 0,
) -> list[Row]:
    """A believable sweep: quality improves with the budget, reuse saves time; plus the control."""
    draw = random.Random(seed)
    level = [draw.gauss(0, 6) for _ in range(n_prompts)]
    rows = []
    for strategy, strength in strategies.items():
        for budget in budgets:
            for interval in reuse:
                for prompt in range(n_prompts):
                    gain = strength * (1 - 0.75 ** (budget**0.7)) * (0.97 if interval > 1 else 1.0)
                    fresh = budget if interval == 1 else max(1, round(0.7 * budget))
                    rows.append(
                        cell(
                            strategy,
                            prompt,
                            100 - gain + level[prompt] * gain / 20 + draw.gauss(0, 0.4),
                            bpb_before=0.9 + 0.02 * (prompt % 7),
                            budget=budget,
                            reuse_interval=interval,
                            bytes_scored=800 + 37 * prompt,
                            select_s=0.0008 * len(strategy) * draw.uniform(0.9, 1.2),
                            finetune_s=(2.2 * fresh + 0.3 * budget) * draw.uniform(0.9, 1.1),
                            n_distinct=min(budget, fresh),
                            gap=1e-9 * budget if strategy.startswith("hullft") else None,
                        )
                    )
    for prompt in range(n_prompts):
        rows.append(
            cell(
                "random-corpus",
                prompt,
                96.5 + level[prompt] * 0.15,
                budget=max(budgets),
                select_s=1e-5,
                finetune_s=2.5 * max(budgets),
                n_distinct=max(budgets),
            )
        )
    return rows


@pytest.fixture
def make_cell() -> Callable[..., Row]:
    """Builder of single rows."""
    return cell


@pytest.fixture
def sweep_rows() -> Callable[..., list[Row]]:
    """Builder of whole sweeps."""
    return make_rows


@pytest.fixture
def fake_run() -> type[FakeRun]:
    """The stand-in for a run read from disk."""
    return FakeRun


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals of paired statistics from a tenth of the draws: coarser at the edges, and quick."""
    monkeypatch.setattr("ttft_bench.report.paired.resample.N_RESAMPLES", 999)
