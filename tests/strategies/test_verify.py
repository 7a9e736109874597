from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ttft_bench import verify as module
from ttft_bench._check_problems import ODDITIES, sample
from ttft_bench.errors import UsageError
from ttft_bench.registry import build_selector
from ttft_bench.selector import Problem, Selection, Selector
from ttft_bench.verify import Pool, summarise, verify

POOLS: list[Pool] = [("generic", sample), *ODDITIES.items()]


def test_the_certificate_of_frank_wolfe_holds_on_every_pool() -> None:
    rows = list(verify(["hullft", "hullft[max_iter=3]"], POOLS, [1, 4, 20]))
    assert len(rows) == 2 * len(POOLS) * 3
    assert [row.reason for row in rows if not row.ok] == []
    assert {row.strategy for row in rows} == {"hullft", "hullft[max_iter=3]"}
    assert all(row.support <= row.budget and row.select_s > 0 and row.residual >= 0 for row in rows)


def test_the_reference_is_solved_once_per_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    cls = type(build_selector("exact-qp"))
    select = cls.select

    def counted(self: Any, problem: Problem, rng: np.random.Generator) -> Selection:
        calls.append(problem)
        return select(self, problem, rng)

    monkeypatch.setattr(cls, "select", counted)
    list(verify(["hullft"], POOLS[:2], [1, 2, 4]))
    assert len(calls) == 1 + 2  # the warm-up and the pools


def test_summary_gives_means_and_worst_cases() -> None:
    rows = list(verify(["hullft"], POOLS[:3], [2, 5]))
    summaries = summarise(rows)
    assert [(summary.budget, summary.pools, summary.failures) for summary in summaries] == [
        (2, 3, 0),
        (5, 3, 0),
    ]
    gaps = [row.true_gap for row in rows if row.budget == 2]
    assert summaries[0].true_gap == pytest.approx(np.mean(gaps))
    assert summaries[0].worst_true_gap == max(gaps)


class _Liar(Selector):
    """HullFT with another objective or gap than its own."""

    def __init__(self, shift: float = 0.0, gap: float | None = None) -> None:
        self.shift, self.gap = shift, gap

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        true = build_selector("hullft").select(problem, rng)
        assert true.objective is not None
        gap = true.gap if self.gap is None else self.gap
        return Selection(true.positions, true.weights, true.objective + self.shift, gap)


def _with_liar(liar: Selector) -> Callable[[str], Selector]:
    return lambda spec: liar if spec == "liar" else build_selector(spec)


@pytest.mark.parametrize(
    ("liar", "reason"),
    [(_Liar(gap=1e-6), "certified to be within 1e-06"), (_Liar(shift=-1.0), "below the optimum")],
)
def test_a_false_certificate_is_a_row_with_a_reason(
    liar: Selector, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "build_selector", _with_liar(liar))
    (row,) = verify(["liar"], POOLS[:1], [3])
    assert not row.ok
    assert reason in row.reason
    assert summarise([row])[0].failures == 1


def test_a_strategy_without_an_objective_has_nothing_to_verify() -> None:
    with pytest.raises(UsageError, match="sift claims no objective"):
        list(verify(["sift"], POOLS, [2]))
