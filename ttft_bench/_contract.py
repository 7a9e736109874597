"""The checks behind :mod:`ttft_bench.checks`, in the order in which they run.

Each takes a fresh selector and raises :class:`~ttft_bench.errors.ContractError` with a one-line reason.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ttft_bench._check_problems import (
    FULL,
    ODDITIES,
    digest,
    generator_states,
    reference_optimum,
    sample,
    selector_state,
    with_duplicates,
)
from ttft_bench.errors import ContractError
from ttft_bench.registry import parse_specs
from ttft_bench.seeds import derive_rng
from ttft_bench.selector import CERTIFICATE_TOLERANCE, Problem, Selection, Selector, validate_selection

CheckFunction = Callable[[Selector], None]

#: Every check by name.
CHECKS: dict[str, CheckFunction] = {}


def _check(name: str) -> Callable[[CheckFunction], CheckFunction]:
    def register(function: CheckFunction) -> CheckFunction:
        CHECKS[name] = function
        return function

    return register


def _require(condition: Any, reason: str) -> None:
    if not condition:
        raise ContractError(reason)


def _select(selector: Selector, problem: Problem, seed: int = 0) -> Selection:
    """Select and validate; anything raised becomes a reason."""
    try:
        raw = selector.select(problem, derive_rng("contract check", seed))
    except Exception as error:
        raise ContractError(f"select() raised {type(error).__name__}: {error}") from error
    return validate_selection(raw, problem, selector)


@_check("defaults")
def _defaults(selector: Selector) -> None:
    for name, parameter in selector.parameters().items():
        _require(
            parameter.default is not inspect.Parameter.empty and parameter.kind is not parameter.POSITIONAL_ONLY,
            f"constructor parameter {name!r} is not a keyword with a default",
        )
    try:
        type(selector)()
    except Exception as error:
        raise ContractError(f"cannot be built from its defaults: {type(error).__name__}: {error}") from error


@_check("parameters")
def _parameters(selector: Selector) -> None:
    fresh = type(selector)()
    for name, parameter in selector.parameters().items():
        _require(hasattr(fresh, name), f"constructor parameter {name!r} is not kept under its own name")
        kept = getattr(fresh, name)
        _require(kept == parameter.default, f"{name} was given as {parameter.default!r} but kept as {kept!r}")


@_check("spec")
def _spec(selector: Selector) -> None:
    text = repr(selector)
    try:
        (spec,) = parse_specs(text)
        again = type(selector)(**spec.params)
    except Exception as error:
        raise ContractError(f"repr {text!r} is not a spec that rebuilds it ({error})") from error
    object.__setattr__(again, "name", selector.name)
    _require(repr(again) == text, f"repr {text!r} rebuilds to {again!r}")


@_check("summary")
def _summary(selector: Selector) -> None:
    lines = (type(selector).__doc__ or "").strip().splitlines()
    _require(lines and not lines[0].startswith(f"{type(selector).__name__}("), "the class has no docstring")


@_check("budgets")
def _budgets(selector: Selector) -> None:
    for budget in (1, 2, FULL // 3, FULL - 1):
        _select(selector, sample(budget))


@_check("budget=K")
def _whole_pool(selector: Selector) -> None:
    _select(selector, sample(FULL))


@_check("budget>K")
def _above_pool(selector: Selector) -> None:
    _select(selector, sample(FULL + 7))


@_check("K=1")
def _single(selector: Selector) -> None:
    for budget in (1, 3):
        _require(not _select(selector, sample(budget, size=1)).positions.any(), "it left a pool of one")


@_check("duplicate rows")
def _duplicates(selector: Selector) -> None:
    for budget in (1, 5, FULL):
        _select(selector, with_duplicates(budget))


@_check("odd pools")
def _oddities(selector: Selector) -> None:
    for label, make in ODDITIES.items():
        for budget in (1, 6, FULL):
            try:
                _select(selector, make(budget))
            except ContractError as error:
                raise ContractError(f"{label}, budget {budget}: {error}") from error


@_check("multi-vector query")
def _multi_vector(selector: Selector) -> None:
    for budget in (1, 6):
        _select(selector, sample(budget, queries=3))


@_check("inputs unchanged")
def _inputs(selector: Selector) -> None:
    problem = sample(6, queries=2)
    before = digest(problem)
    _select(selector, problem)
    _require(digest(problem) == before, "select() changed the problem's arrays")


@_check("self unchanged")
def _unchanged(selector: Selector) -> None:
    before = selector_state(selector)
    _select(selector, sample(6))
    after = selector_state(selector)
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    _require(not changed, f"select() changed its own {', '.join(changed)}")


@_check("deterministic")
def _deterministic(selector: Selector) -> None:
    first = _select(selector, sample(9))
    _select(selector, sample(5, seed=1))  # what came before may not matter
    for other in (selector, copy.deepcopy(selector)):
        again = _select(other, sample(9))
        same = np.array_equal(first.positions, again.positions) and first.objective == again.objective
        _require(same, "the same problem and generator gave two answers")


@_check("stochastic")
def _stochastic(selector: Selector) -> None:
    if not selector.stochastic:
        answers = [_select(selector, sample(9), seed).positions for seed in range(3)]
        same = all(np.array_equal(answers[0], answer) for answer in answers)
        _require(same, "it draws from rng although `stochastic` is False")


@_check("global generators")
def _generators(selector: Selector) -> None:
    before = generator_states()
    _select(selector, sample(9))
    for name, state in generator_states().items():
        _require(state == before.get(name, state), f"select() drew from {name} instead of rng")


@_check("nested")
def _nested(selector: Selector) -> None:
    if selector.nested:
        longest = _select(selector, sample(FULL)).positions
        for budget in (1, 2, 5, FULL - 1):
            picks = _select(selector, sample(budget)).positions
            same = np.array_equal(picks, longest[: len(picks)])
            _require(
                same,
                f"the picks for {budget} are not the first {budget} for {FULL} although `nested` is True",
            )


@_check("repeats")
def _repeats(selector: Selector) -> None:
    for budget in (FULL, 2 * FULL):
        picks = _select(selector, with_duplicates(budget)).positions
        twice = len(np.unique(picks)) < len(picks)
        _require(selector.repeats or not twice, "an item was picked twice although `repeats` is False")


@_check("adaptive")
def _adaptive(selector: Selector) -> None:
    for make in (sample, *ODDITIES.values()):
        got, due = len(_select(selector, make(9)).positions), 9
        _require(selector.adaptive or got == due, f"{got} picks for a budget of {due} although `adaptive` is False")


@_check("permutation")
def _permutation(selector: Selector) -> None:
    if selector.stochastic:  # by declaration: its draws are about positions
        return
    for seed in range(3):
        straight, shuffled = sample(7, seed=seed), sample(7, seed=seed, permute=True)
        picks = straight.pool[_select(selector, straight).positions]
        same = np.array_equal(picks, shuffled.pool[_select(selector, shuffled).positions])
        _require(same, "permuting the rows of the pool changed which vectors are picked")


@_check("weights")
def _weights(selector: Selector) -> None:
    for problem in (sample(1), sample(6), sample(FULL), with_duplicates(6)):
        weights = _select(selector, problem).weights  # convexity is validated there
        _require(weights is None or weights.max() <= 1.0 + 1e-9, "weights are above 1")


@_check("objective")
def _objective(selector: Selector) -> None:
    for problem in (sample(1), sample(6), sample(FULL), sample(6, queries=3)):
        answer = _select(selector, problem)
        if answer.objective is None:
            _require(answer.gap is None, "it gives a gap without an objective")
            continue
        if answer.weights is None:
            raise ContractError("it gives an objective without the weights it belongs to")
        residual = problem.target - answer.weights @ problem.pool.astype(np.float64)
        value = float(residual @ residual)
        off = abs(answer.objective - value)
        _require(off <= CERTIFICATE_TOLERANCE, f"objective {answer.objective:.9g}, at its weights f is {value:.9g}")


@_check("certificate")
def _certificate(selector: Selector) -> None:
    problems = [sample(budget, seed=budget) for budget in (1, 2, 6, FULL)]
    problems += [sample(6, queries=3), *(make(6) for make in ODDITIES.values())]
    for problem in problems:
        answer = _select(selector, problem)
        if answer.objective is None or answer.gap is None:
            continue
        optimum, accuracy = reference_optimum(problem)
        above = answer.objective - optimum
        _require(
            -CERTIFICATE_TOLERANCE - accuracy <= above <= answer.gap + CERTIFICATE_TOLERANCE,
            f"0 <= f - f* <= gap fails: f - f* = {above:.3g}, gap = {answer.gap:.3g}",
        )


__all__ = ["CHECKS"]
