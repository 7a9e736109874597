"""How the gap of a solver falls with its iterations, over a suite's pools.

Nothing is asked of a selector but a parameter ``max_iter``: it is run again with ever larger values, so what is
drawn is what a user gets, whatever happens inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ttft_bench.checks.program import program_of
from ttft_bench.registry import Spec, build_selector, load_selector, parse_specs
from ttft_bench.verify.pairing import require_claim, timed_select
from ttft_bench.verify.rows import Pool, VerifyRow

#: Values of ``max_iter``, evenly spread on a log axis.
STEPS: tuple[int, ...] = (1, 2, 3, 5, 8, 13, 20, 32, 50, 80, 126, 200, 316, 500, 1000)


@dataclass(frozen=True)
class Trace:
    """Gaps of one solver over pools, one entry per value of ``max_iter``.

    Attributes:
        strategy: the spec without ``max_iter``.
        iterations: values of ``max_iter``, ascending; none where the solver no longer goes further.
        gap: median certified gap.
        gap_low: its 20th percentile.
        gap_high: its 80th percentile.
        true_gap: median of f(w) - f*; clipped at 0.
        stopped: whether further iterations change nothing on any pool.
        pools: number of pools.
    """

    strategy: str
    iterations: tuple[int, ...]
    gap: tuple[float, ...]
    gap_low: tuple[float, ...]
    gap_high: tuple[float, ...]
    true_gap: tuple[float, ...]
    stopped: bool
    pools: int


def sweepable(specs: Sequence[str]) -> list[Spec]:
    """Those specs whose strategy has a parameter ``max_iter``, without it, each once."""
    found: dict[str, Spec] = {}
    for text in specs:
        (spec,) = parse_specs(text)
        if "max_iter" in load_selector(spec.name).parameters():
            bare = Spec(spec.name, {key: value for key, value in spec.params.items() if key != "max_iter"})
            found.setdefault(repr(build_selector(str(bare))), bare)
    return list(found.values())


def gap_traces(
    specs: Sequence[str],
    pools: Sequence[Pool],
    budget: int,
    rows: Iterable[VerifyRow],
    steps: Iterable[int] = STEPS,
    on_step: Callable[[], None] | None = None,
) -> list[Trace]:
    """Sweep ``max_iter`` of every strategy that has it.

    A budget that covers the pool keeps the support limit of early stopping out of the picture; under a cap the
    program depends on the budget, so ``budget`` is used.

    Args:
        specs: strategies; those without ``max_iter`` are left out.
        pools: labels, each with a function from budget to problem.
        budget: the budget of strategies with a cap.
        rows: verified rows of these strategies and pools at ``budget``: they know every optimum.
        steps: values of ``max_iter``.
        on_step: called after every value.
    """
    optima = {(program_of(build_selector(row.strategy)), row.pool): row.optimum for row in rows if row.budget == budget}
    traces = []
    for bare in sweepable(specs):
        plain = build_selector(str(bare))
        program = program_of(plain)
        problems = []
        for label, problem_for in pools:
            problem = problem_for(budget)
            problems.append((label, problem if program.cap else problem_for(problem.size)))
        points: list[tuple[int, list[float], list[float]]] = []
        before: list[float] = []
        stopped = False
        for step in steps:
            selector = build_selector(str(Spec(bare.name, {**bare.params, "max_iter": step})))
            figures = [
                require_claim(timed_select(selector, problem, label)[0], selector) for label, problem in problems
            ]
            if on_step is not None:
                on_step()
            objectives = [objective for objective, _ in figures]
            stopped = objectives == before  # on every pool for another reason than max_iter
            if stopped:
                break
            before = objectives
            true = [f - optima[program, label] for f, (label, _) in zip(objectives, problems, strict=True)]
            points.append((step, [gap for _, gap in figures], true))
        traces.append(_trace(repr(plain), points, stopped, len(problems)))
    return traces


def _trace(strategy: str, points: list[tuple[int, list[float], list[float]]], stopped: bool, pools: int) -> Trace:
    def along(values: list[list[float]], percentile: float) -> tuple[float, ...]:
        return tuple(max(float(np.percentile(each, percentile)), 0.0) for each in values)

    gaps, true = [gaps for _, gaps, _ in points], [each for _, _, each in points]
    return Trace(
        strategy=strategy,
        iterations=tuple(step for step, _, _ in points),
        gap=along(gaps, 50),
        gap_low=along(gaps, 20),
        gap_high=along(gaps, 80),
        true_gap=along(true, 50),
        stopped=stopped,
        pools=pools,
    )


__all__ = ["STEPS", "Trace", "gap_traces", "sweepable"]
