"""One row per strategy, pool and budget: the certificate against the optimum, the rounding against the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ttft_bench.selector import CERTIFICATE_TOLERANCE, Problem, Selection, Selector, make_problem
from ttft_bench.verify.pairing import (
    Contestant,
    IntegerReference,
    paired_references,
    require_claim,
    timed_select,
)

#: A label, and the pool's problem for a budget.
Pool = tuple[str, Callable[[int], Problem]]

#: (reference, budget, pool size) -> its answer to the pool at hand and the seconds it took.
Solved = dict[tuple[str, int, int], tuple[Selection, float]]

#: Weights up to this are not counted as support.
_SUPPORT_TOLERANCE = 1e-9


@dataclass(frozen=True)
class VerifyRow:
    """One strategy on one pool at one budget. The integer figures are None where no integer optimum was sought.

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
        integer_rows: the small problem is the first so many rows of the pool.
        integer_residual: f at the strategy's whole steps on the small problem.
        integer_optimum: f at the integer reference's.
        integer_excess: integer_residual - integer_optimum.
        integer_s: time of the integer reference's ``select``, in seconds.
        certified: whether ``0 <= f - f* <= gap`` holds.
        ok: whether that holds, and no whole steps are better than the best ones.
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
    certified: bool
    ok: bool
    reason: str = ""
    integer_rows: int | None = None
    integer_residual: float | None = None
    integer_optimum: float | None = None
    integer_excess: float | None = None
    integer_s: float | None = None


def verify(
    specs: Sequence[str],
    pools: Iterable[Pool],
    budgets: Sequence[int],
    reference: str = "exact-qp",
    tolerance: float = CERTIFICATE_TOLERANCE,
    integer: IntegerReference | None = None,
) -> Iterator[VerifyRow]:
    """Run strategies against the references; rows come as soon as they exist.

    Args:
        specs: strategies that claim an objective, a gap and weights.
        pools: labels, each with a function from budget to problem.
        budgets: values of N; capped at the pool for strategies that do not repeat.
        reference: a strategy whose solver finds the optimum whatever the budget.
        tolerance: rounding that the certificate is allowed.
        integer: also compare the whole steps with the best ones, on small problems.

    Raises:
        UsageError: a strategy or the reference has no certificate to verify, or the reference cannot solve
            the strategy's program.
    """
    contestants = paired_references(specs, reference, integer)
    for label, problem_for in pools:
        solved: Solved = {}
        for contestant in contestants:
            for budget in budgets:
                # Under a cap the optimum depends on the budget; without one it is solved once per pool.
                problem = problem_for(budget if contestant.program.cap else max(budgets))
                best = _once(solved, contestant.reference, problem, label)
                row = _row(contestant, label, problem_for(budget), best, tolerance)
                if integer is not None and budget <= integer.budget:
                    small = _first_rows(problem_for(budget), integer.rows)
                    row = _with_integer(row, contestant, small, solved, tolerance)
                yield row


def _once(solved: Solved, selector: Selector, problem: Problem, label: str) -> tuple[Selection, float]:
    key = (repr(selector), problem.budget, problem.size)
    if key not in solved:
        solved[key] = timed_select(selector, problem, label)
    return solved[key]


def _row(
    contestant: Contestant, label: str, problem: Problem, best: tuple[Selection, float], tolerance: float
) -> VerifyRow:
    selector, program = contestant.selector, contestant.program
    answer, select_s = timed_select(selector, problem, label)
    objective, gap = require_claim(answer, selector)
    optimum, accuracy = require_claim(best[0], contestant.reference)
    value = program.objective(answer.weights, problem) if answer.weights is not None else objective
    true_gap = objective - optimum
    reason = ""
    if abs(objective - value) > tolerance:
        reason = f"objective is {objective:.9g} but f at its weights is {value:.9g}"
    elif true_gap < -(tolerance + accuracy):
        reason = f"objective is {-true_gap:.3g} below the optimum, whose solver is accurate to {accuracy:.3g}"
    elif true_gap > gap + tolerance:
        reason = f"objective is {true_gap:.3g} above the optimum but certified to be within {gap:.3g}"
    return VerifyRow(
        strategy=repr(selector),
        pool=label,
        budget=problem.budget,
        objective=objective,
        gap=gap,
        optimum=optimum,
        accuracy=accuracy,
        true_gap=true_gap,
        residual=program.rounded(answer.positions, problem),
        support=_support(answer),
        reference_support=_support(best[0]),
        select_s=select_s,
        reference_s=best[1],
        status=answer.status,
        certified=not reason,
        ok=not reason,
        reason=reason,
    )


def _with_integer(
    row: VerifyRow, contestant: Contestant, small: Problem, solved: Solved, tolerance: float
) -> VerifyRow:
    """The row with the figures of the small problem; as it was where the cap leaves the pool too small."""
    program, exact = contestant.program, contestant.integer
    if exact is None or not program.feasible(small):
        return row
    best, seconds = _once(solved, exact, small, row.pool)
    optimum = program.rounded(best.positions, small)
    residual = program.rounded(timed_select(contestant.selector, small, row.pool)[0].positions, small)
    excess = residual - optimum
    reason = row.reason
    if excess < -tolerance and row.ok:
        reason = f"its whole steps are {-excess:.3g} better than the optimum of {exact!r}, which is none, then"
    return replace(
        row,
        ok=not reason,
        reason=reason,
        integer_rows=small.size,
        integer_residual=residual,
        integer_optimum=optimum,
        integer_excess=excess,
        integer_s=seconds,
    )


def _support(answer: Selection) -> int:
    return 0 if answer.weights is None else int((answer.weights > _SUPPORT_TOLERANCE).sum())


def _first_rows(problem: Problem, rows: int) -> Problem:
    cut = slice(None, rows)
    return make_problem(problem.query, problem.pool[cut], problem.budget, problem.ids[cut], problem.n_tokens[cut])


__all__ = ["Pool", "VerifyRow", "verify"]
