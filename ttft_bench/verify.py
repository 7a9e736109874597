"""Check the certificates of a strategy against an exact solver, on real pools.

For each pool the reference is solved once, ``f*`` within its own certified gap; the strategy is run at each
budget and must satisfy ``0 <= f(w) - f* <= gap(w)``. With f_ref what the reference reached and a its own gap
(its accuracy), ``f_ref - a <= f* <= f_ref``, so what must hold of the figures at hand is::

    -(tolerance + a)  <=  f(w) - f_ref  <=  gap(w) + tolerance
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from ttft_bench._check_problems import sample
from ttft_bench.errors import UsageError
from ttft_bench.registry import build_selector
from ttft_bench.seeds import derive_rng
from ttft_bench.selector import (
    CERTIFICATE_TOLERANCE,
    Problem,
    Selection,
    Selector,
    measure,
    validate_selection,
)

#: A label, and the pool's problem for a budget.
Pool = tuple[str, Callable[[int], Problem]]

#: Weights up to this are not counted as support.
_SUPPORT_TOLERANCE = 1e-9


@dataclass(frozen=True)
class VerifyRow:
    """One strategy on one pool at one budget.

    Attributes:
        objective: f at the strategy's weights.
        gap: its certified gap.
        optimum: f at the reference's weights.
        accuracy: the reference's own certified gap.
        true_gap: objective - optimum.
        residual: f at the whole steps after rounding.
        support: number of items with weight.
        reference_support: the same at the optimum.
        select_s: time of the strategy's ``select``, in seconds.
        reference_s: time of the reference's ``select``.
        status: why the strategy's solver stopped.
        reason: what is wrong unless ``ok``.
    """

    strategy: str
    pool: str
    budget: int
    objective: float
    gap: float
    optimum: float
    accuracy: float
    true_gap: float
    residual: float
    support: int
    reference_support: int
    select_s: float
    reference_s: float
    status: str
    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class VerifySummary:
    """Means over pools of one strategy at one budget, and the worst cases."""

    strategy: str
    budget: int
    pools: int
    objective: float
    gap: float
    optimum: float
    true_gap: float
    residual: float
    support: float
    reference_support: float
    select_s: float
    reference_s: float
    worst_gap: float
    worst_true_gap: float
    worst_accuracy: float
    failures: int


def verify(
    specs: Sequence[str],
    pools: Iterable[Pool],
    budgets: Sequence[int],
    reference: str = "exact-qp",
    tolerance: float = CERTIFICATE_TOLERANCE,
) -> Iterator[VerifyRow]:
    """Run strategies against the reference; rows come as soon as they exist.

    Args:
        specs: strategies that claim an objective, a gap and weights.
        pools: labels, each with a function from budget to problem.
        budgets: values of N; capped at the pool for strategies that do not repeat.
        reference: a strategy whose solver finds the optimum whatever the budget.
        tolerance: rounding that the certificate is allowed.

    Raises:
        UsageError: a strategy or the reference has no certificate to verify.
    """
    *selectors, exact = certified_selectors([*specs, reference])
    for label, problem_for in pools:
        best, _, reference_s = _run(exact, problem_for(max(budgets)), label)
        for selector in selectors:
            for budget in budgets:
                answer, residual, select_s = _run(selector, problem_for(budget), label)
                yield _row(selector, label, budget, answer, best, residual, (select_s, reference_s), tolerance)


def certified_selectors(specs: Sequence[str]) -> list[Selector]:
    """Build strategies and try each on a tiny problem: a warm-up, and proof that there is a claim to verify.

    Raises:
        UsageError: a strategy returns no objective with a certified gap.
    """
    selectors = [build_selector(spec) for spec in specs]
    for selector in selectors:
        _run(selector, sample(2), "warm-up")
    return selectors


def _run(selector: Selector, problem: Problem, label: str) -> tuple[Selection, float, float]:
    """The validated answer, its residual after rounding, and the seconds ``select`` took."""
    rng = derive_rng("verify", label, problem.budget)
    _ = problem.target  # computed once per problem, for whoever asks first
    start = time.perf_counter()
    raw = selector.select(problem, rng)
    elapsed = time.perf_counter() - start
    answer = validate_selection(raw, problem, selector)
    if answer.objective is None or answer.gap is None or answer.weights is None:
        raise UsageError(
            f"{selector!r} claims no objective with a certified gap, so there is nothing to verify; "
            "verify a strategy that solves a convex program, such as hullft"
        )
    return answer, measure(answer.positions, problem)["residual"], elapsed


def _row(
    selector: Selector,
    label: str,
    budget: int,
    answer: Selection,
    best: Selection,
    residual: float,
    seconds: tuple[float, float],
    tolerance: float,
) -> VerifyRow:
    objective, gap, optimum, accuracy = (_figure(x) for x in (answer.objective, answer.gap, best.objective, best.gap))
    true_gap = objective - optimum
    reason = ""
    if true_gap < -(tolerance + accuracy):
        reason = f"objective is {-true_gap:.3g} below the optimum, whose solver is accurate to {accuracy:.3g}"
    elif true_gap > gap + tolerance:
        reason = f"objective is {true_gap:.3g} above the optimum but certified to be within {gap:.3g}"
    return VerifyRow(
        strategy=repr(selector),
        pool=label,
        budget=budget,
        objective=objective,
        gap=gap,
        optimum=optimum,
        accuracy=accuracy,
        true_gap=true_gap,
        residual=residual,
        support=_support(answer),
        reference_support=_support(best),
        select_s=seconds[0],
        reference_s=seconds[1],
        status=answer.status,
        ok=not reason,
        reason=reason,
    )


def _figure(value: float | None) -> float:
    assert value is not None  # _run refuses answers without
    return value


def _support(answer: Selection) -> int:
    assert answer.weights is not None
    return int((answer.weights > _SUPPORT_TOLERANCE).sum())


def summarise(rows: Iterable[VerifyRow]) -> list[VerifySummary]:
    """Means and worst cases per strategy and budget, in order of first appearance."""
    groups: dict[tuple[str, int], list[VerifyRow]] = {}
    for row in rows:
        groups.setdefault((row.strategy, row.budget), []).append(row)
    means = (
        "objective", "gap", "optimum", "true_gap", "residual",
        "support", "reference_support", "select_s", "reference_s",
    )  # fmt: skip
    return [
        VerifySummary(
            strategy=strategy,
            budget=budget,
            pools=len(group),
            **{name: fmean(getattr(row, name) for row in group) for name in means},
            worst_gap=max(row.gap for row in group),
            worst_true_gap=max(row.true_gap for row in group),
            worst_accuracy=max(row.accuracy for row in group),
            failures=sum(not row.ok for row in group),
        )
        for (strategy, budget), group in groups.items()
    ]


__all__ = ["Pool", "VerifyRow", "VerifySummary", "certified_selectors", "summarise", "verify"]
