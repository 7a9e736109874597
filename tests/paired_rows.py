"""Synthetic rows with known differences, for the tests of paired statistics and of the questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ttft_bench.sweep.schema import make_row

Row = dict[str, Any]
Effect = Callable[[int], float]


def row(strategy: str, prompt: int, pct: float, **changes: Any) -> Row:
    """A row that succeeded with ``pct`` BPB%; two prompts share a group."""
    values: dict[str, Any] = {
        "run_id": "test",
        "cell_id": f"{strategy}-{prompt}-{pct!r}-{sorted(changes.items())!r}",
        "status": "ok",
        "subset": f"domain-{prompt % 3}",
        "prompt_id": f"p{prompt:03d}",
        "group": f"g{prompt // 2:03d}",
        "stratum": "clean",
        "strategy": strategy,
        "arm": "finetune",
        "trainable": "full",
        "lr": 5e-5,
        "budget": 10,
        "reuse_interval": 1,
        "reuse_grouping": "runs",
        "reuse_mode": "cached",
        "seed": 0,
        "model": "tiny",
        "embedder": "tiny-embedder",
        "bpb_protocol": "window",
        "bpb_before": 1.0,
        "bpb_after": pct / 100,
        "bpb_pct": pct,
        "bytes_scored": 1000,
        "tokens_scored": 200,
        "select_s": 0.1,
        "finetune_s": 1.0,
        "restore_s": 0.1,
        "score_s": 0.2,
    }
    return make_row(**{**values, **changes})


def rows(means: Mapping[str, float], n: int = 60, noise: float = 0.3, seed: int = 0, **changes: Any) -> list[Row]:
    """Every strategy on every prompt: prompts differ much, strategies by their mean, with a little noise."""
    level = np.random.default_rng(99).normal(0, 6, n)
    draw = np.random.default_rng(seed)
    return [
        row(strategy, prompt, mean + level[prompt] + noise * draw.normal(), **changes)
        for strategy, mean in means.items()
        for prompt in range(n)
    ]


def budgets(
    curves: Mapping[str, Sequence[tuple[int, float, float]]], n: int = 60, noise: float = 0.3, **changes: Any
) -> list[Row]:
    """Strategies over budgets: each curve lists (budget, mean BPB%, seconds of finetuning)."""
    found = []
    for strategy, curve in curves.items():
        for budget, mean, finetune_s in curve:
            part = {strategy: mean}
            found += rows(part, n, noise, seed=budget, budget=budget, finetune_s=finetune_s, **changes)
    return found


#: A file of one falsifier that can be read.
FALSIFIER = """[[falsifier]]
id = "x"
claim = "c"
falsified_if = "f"
kind = "equal-budget"
subject = "a"
rivals = ["b"]
suite = "s"
"""
