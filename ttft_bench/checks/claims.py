"""The checks of what a selector claims about itself: flags, weights, objective, certificate, batches.

``CHECKS`` of this module is complete: those of :mod:`ttft_bench.checks.contract`, then these.
"""

from __future__ import annotations

import numpy as np

from ttft_bench.checks.contract import CHECKS, check, refused, require, select_checked
from ttft_bench.checks.problems import FULL, ODDITIES, sample, with_duplicates
from ttft_bench.checks.program import program_of
from ttft_bench.errors import ContractError
from ttft_bench.seeds import derive_rng
from ttft_bench.selector import CERTIFICATE_TOLERANCE, Selector, validate_selection


@check("nested")
def _nested(selector: Selector) -> None:
    if selector.nested:
        longest = select_checked(selector, sample(FULL)).positions
        for budget in (1, 2, 5, FULL - 1):
            picks = select_checked(selector, sample(budget)).positions
            same = np.array_equal(picks, longest[: len(picks)])
            require(
                same,
                f"the picks for {budget} are not the first {budget} for {FULL} although `nested` is True",
            )


@check("repeats")
def _repeats(selector: Selector) -> None:
    for budget in (FULL, 2 * FULL):
        problem = with_duplicates(budget)
        if refused(selector, problem):
            continue
        picks = select_checked(selector, problem).positions
        twice = len(np.unique(picks)) < len(picks)
        require(selector.repeats or not twice, "an item was picked twice although `repeats` is False")


@check("adaptive")
def _adaptive(selector: Selector) -> None:
    for make in (sample, *ODDITIES.values()):
        got, due = len(select_checked(selector, make(9)).positions), 9
        require(selector.adaptive or got == due, f"{got} picks for a budget of {due} although `adaptive` is False")


@check("permutation")
def _permutation(selector: Selector) -> None:
    if selector.stochastic:  # by declaration: its draws are about positions
        return
    for seed in range(3):
        straight, shuffled = sample(7, seed=seed), sample(7, seed=seed, permute=True)
        picks = straight.pool[select_checked(selector, straight).positions]
        same = np.array_equal(picks, shuffled.pool[select_checked(selector, shuffled).positions])
        require(same, "permuting the rows of the pool changed which vectors are picked")


@check("weights")
def _weights(selector: Selector) -> None:
    for problem in (sample(1), sample(6), sample(FULL), with_duplicates(6)):
        weights = select_checked(selector, problem).weights  # convexity is validated there
        upper = program_of(selector).upper(problem)
        reason = f"a weight is above {upper:.6g} (budget {problem.budget})"
        require(weights is None or weights.max() <= upper + 1e-9, reason)


@check("objective")
def _objective(selector: Selector) -> None:
    for problem in (sample(1), sample(6), sample(FULL), sample(6, queries=3)):
        answer = select_checked(selector, problem)
        if answer.objective is None:
            require(answer.gap is None, "it gives a gap without an objective")
            continue
        if answer.weights is None:
            raise ContractError("it gives an objective without the weights it belongs to")
        value = program_of(selector).objective(answer.weights, problem)
        off = abs(answer.objective - value)
        require(off <= CERTIFICATE_TOLERANCE, f"objective {answer.objective:.9g}, at its weights f is {value:.9g}")


@check("certificate")
def _certificate(selector: Selector) -> None:
    problems = [sample(budget, seed=budget) for budget in (1, 2, 6, FULL)]
    problems += [sample(6, queries=3), *(make(6) for make in ODDITIES.values())]
    for problem in problems:
        answer = select_checked(selector, problem)
        if answer.objective is None or answer.gap is None:
            continue
        optimum, accuracy = program_of(selector).optimum(problem)
        above = answer.objective - optimum
        require(
            -CERTIFICATE_TOLERANCE - accuracy <= above <= answer.gap + CERTIFICATE_TOLERANCE,
            f"0 <= f - f* <= gap fails: f - f* = {above:.3g}, gap = {answer.gap:.3g}",
        )


@check("select_many")
def _select_many(selector: Selector) -> None:
    problems = [sample(7, seed=1), sample(3), with_duplicates(5), sample(7, seed=2, queries=2)]
    alone = [select_checked(selector, problem) for problem in problems]
    for order in ((0, 1, 2, 3), (3, 0), (1,), ()):
        batch = [problems[index] for index in order]
        try:
            answers = selector.select_many(batch, [derive_rng("contract check", 0) for _ in batch])
        except Exception as error:
            raise ContractError(f"select_many() raised {type(error).__name__}: {error}") from error
        require(len(answers) == len(batch), f"select_many() gave {len(answers)} answers to {len(batch)} problems")
        for index, raw in zip(order, answers, strict=True):
            answer, problem = validate_selection(raw, problems[index], selector), problems[index]
            same = np.array_equal(problem.pool[answer.positions], problem.pool[alone[index].positions])
            require(same, "select_many() picks other vectors than select()")


__all__ = ["CHECKS"]
