from __future__ import annotations

import csv
import io
from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pytest

from ttft_bench.checks.problems import ODDITIES, sample
from ttft_bench.checks.program import program_of
from ttft_bench.errors import UsageError
from ttft_bench.registry import build_selector, load_selector, parse_specs
from ttft_bench.selector import Problem, Selection, Selector
from ttft_bench.verify import (
    IntegerReference,
    Pool,
    default_integer_reference,
    gap_traces,
    paired_reference,
    rows_to_csv,
    summarise,
    traces,
    verify,
)
from ttft_bench.verify import pairing as module
from ttft_bench.verify.figures import draw_verification

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
    [(_Liar(gap=1e-6), "certified to be within 1e-06"), (_Liar(shift=-1.0), "but f at its weights is")],
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


def test_an_optimum_that_is_none_is_a_row_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(_Named):
        """Claims to be the optimum after one step."""

        def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
            answer = build_selector("hullft[max_iter=1]").select(problem, rng)
            return Selection(answer.positions, answer.weights, answer.objective, 0.0)

    monkeypatch.setattr(module, "build_selector", _built(short=Short))
    monkeypatch.setattr(module, "load_selector", _loaded(short=Short))
    (row,) = verify(["hullft"], POOLS[:1], [20], reference="short")
    assert not row.ok
    assert "below the optimum, whose solver is accurate to 0" in row.reason


# --- the integer optimum, and references that solve the same program ---


class _Named(Selector):
    """A selector that tests register under a name."""

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        raise NotImplementedError


class BruteForce(_Named):
    """The best whole steps there are, by trying all."""

    def __init__(self, cap: int = 0, ridge: float = 0.0) -> None:
        self.cap, self.ridge = cap, ridge

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        every = combinations_with_replacement(range(problem.size), problem.budget)
        counted = [picks for picks in every if not self.cap or max(np.bincount(picks)) <= self.cap]
        return Selection(np.array(min(counted, key=lambda picks: program_of(self).rounded(picks, problem))))


class Nearest(_Named):
    """No optimum at all, though asked for one."""

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        return Selection(np.full(problem.budget, problem.size - 1))


def _loaded(**classes: type[Selector]) -> Callable[[str], type[Selector]]:
    return lambda name: classes.get(name) or load_selector(name)


def _built(**classes: type[Selector]) -> Callable[[str], Selector]:
    def build(text: str) -> Selector:
        (spec,) = parse_specs(text)
        if spec.name not in classes:
            return build_selector(text)
        selector = classes[spec.name](**spec.params)
        selector.name = spec.name
        return selector

    return build


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    classes: dict[str, type[Selector]] = {"brute": BruteForce, "nearest": Nearest}
    for module_ in (module, traces):
        monkeypatch.setattr(module_, "build_selector", _built(**classes))
        monkeypatch.setattr(module_, "load_selector", _loaded(**classes))


def test_whole_steps_are_compared_with_the_best_ones_on_the_first_rows(fakes: None) -> None:
    rows = list(verify(["hullft"], POOLS, [1, 3, 9], integer=IntegerReference("brute", rows=6, budget=3)))
    assert [row.reason for row in rows if not row.ok] == []
    assert [row.integer_rows for row in rows[:3]] == [6, 6, None]
    sought = [row for row in rows if row.budget <= 3]
    assert all(row.integer_excess is not None and row.integer_excess >= -1e-12 for row in sought)
    summary, _, unsought = summarise(rows)
    assert (summary.integer_pools, unsought.integer_pools, unsought.integer_excess) == (len(POOLS), 0, None)
    assert summary.integer_hits == len(POOLS)  # one step: the nearest item


def test_whole_steps_better_than_the_optimum_are_told(fakes: None) -> None:
    rows = list(verify(["hullft"], POOLS[:1], [3], integer=IntegerReference("nearest", rows=6)))
    assert "better than the optimum of nearest, which is none, then" in rows[0].reason


def test_the_reference_takes_cap_and_ridge_from_the_strategy(fakes: None) -> None:
    assert repr(paired_reference(BruteForce(cap=2, ridge=0.5), "brute")) == "brute[cap=2,ridge=0.5]"
    assert repr(paired_reference(build_selector("hullft"), "exact-qp")) == "exact-qp"


@pytest.mark.parametrize(
    ("strategy", "reference", "message"),
    [
        (BruteForce(cap=2), "nearest", "no parameter 'cap' and so solves another program"),
        (BruteForce(), "brute[ridge=0.5]", "given another ridge than 0"),
        (BruteForce(cap=2), "brute[cap=3]", "leave cap out of the reference"),
    ],
)
def test_a_reference_that_solves_another_program_is_refused(
    fakes: None, strategy: Selector, reference: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        paired_reference(strategy, reference)


def test_without_an_integer_reference_there_is_a_reason() -> None:
    name, reason = default_integer_reference(["hullft"], "no-such-thing")
    assert name is None
    assert "no-such-thing" in reason


def test_rows_as_csv_hold_every_field_and_leave_blank_what_was_not_sought() -> None:
    rows = list(verify(["hullft"], POOLS[:2], [2]))
    read = list(csv.DictReader(io.StringIO(rows_to_csv(rows))))
    assert [row["pool"] for row in read] == [row.pool for row in rows]
    assert float(read[0]["objective"]) == rows[0].objective
    assert read[0]["integer_optimum"] == ""


def test_a_trace_falls_until_the_solver_stops() -> None:
    pools = POOLS[:1]
    rows = list(verify(["hullft", "exact-qp"], pools, [4]))
    (trace,) = gap_traces(
        ["hullft[max_iter=7]", "hullft", "exact-qp"], pools, 4, rows, steps=(1, 10, 100, 10**5, 10**6)
    )
    assert trace.strategy == "hullft"
    assert list(trace.gap) == sorted(trace.gap, reverse=True)
    assert all(true <= gap + 1e-8 for true, gap in zip(trace.true_gap, trace.gap, strict=True))
    (stopped,) = gap_traces(["hullft[gap_tol=0.1]"], pools, 4, rows, steps=(1, 1000, 2000, 3000))
    assert (stopped.iterations, stopped.stopped) == ((1, 1000), True)


def test_figures_are_drawn_whatever_there_is(fakes: None) -> None:
    rows = list(verify(["hullft"], POOLS[:2], [1, 2], integer=IntegerReference("brute", rows=5)))
    drawn = draw_verification(summarise(rows), gap_traces(["hullft"], POOLS[:2], 2, rows, steps=(1, 5)))
    assert sorted(drawn) == [
        "gap_vs_iterations.png",
        "gap_vs_iterations.svg",
        "objective_vs_budget.png",
        "objective_vs_budget.svg",
    ]
    assert all(content for content in drawn.values())
    assert b"mathdefault" not in drawn["gap_vs_iterations.svg"]
    assert draw_verification([], []).keys() == drawn.keys()
