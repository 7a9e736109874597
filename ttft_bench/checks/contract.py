"""The checks of what every selector owes: construction, answers to all kinds of pools, and no side effects.

What a selector claims beyond that is checked in :mod:`ttft_bench.checks.claims`. Checks run in the order of
registration. Each takes a fresh selector and raises :class:`~ttft_bench.errors.ContractError` with a one-line
reason.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ttft_bench.checks.problems import (
    FULL,
    ODDITIES,
    digest,
    generator_states,
    sample,
    selector_state,
    with_duplicates,
)
from ttft_bench.checks.program import program_of
from ttft_bench.errors import ContractError, UsageError
from ttft_bench.registry import parse_specs
from ttft_bench.seeds import derive_rng
from ttft_bench.selector import Problem, Selection, Selector, validate_selection

CheckFunction = Callable[[Selector], None]

#: Every check by name.
CHECKS: dict[str, CheckFunction] = {}


def check(name: str) -> Callable[[CheckFunction], CheckFunction]:
    """Register a check under a name."""

    def register(function: CheckFunction) -> CheckFunction:
        CHECKS[name] = function
        return function

    return register


def require(condition: Any, reason: str) -> None:
    """Fail for a reason unless the condition holds.

    Raises:
        ContractError: it does not.
    """
    if not condition:
        raise ContractError(reason)


def select_checked(selector: Selector, problem: Problem, seed: int = 0) -> Selection:
    """Select and validate; anything raised becomes a reason."""
    try:
        raw = selector.select(problem, derive_rng("contract check", seed))
    except Exception as error:
        raise ContractError(f"select() raised {type(error).__name__}: {error}") from error
    return validate_selection(raw, problem, selector)


def refused(selector: Selector, problem: Problem) -> bool:
    """Whether the pool cannot take all steps under the selector's own cap, which it must say as a UsageError."""
    program = program_of(selector)
    if program.feasible(problem):
        return False
    try:
        selector.select(problem, derive_rng("contract check", 0))
    except UsageError:
        return True
    except Exception as error:
        raise ContractError(f"select() raised {type(error).__name__}, not a UsageError: {error}") from error
    raise ContractError(f"select() answered although cap={program.cap} leaves no room for {problem.budget} steps")


@check("defaults")
def _defaults(selector: Selector) -> None:
    for name, parameter in selector.parameters().items():
        require(
            parameter.default is not inspect.Parameter.empty and parameter.kind is not parameter.POSITIONAL_ONLY,
            f"constructor parameter {name!r} is not a keyword with a default",
        )
    try:
        type(selector)()
    except Exception as error:
        raise ContractError(f"cannot be built from its defaults: {type(error).__name__}: {error}") from error


@check("parameters")
def _parameters(selector: Selector) -> None:
    fresh = type(selector)()
    for name, parameter in selector.parameters().items():
        require(hasattr(fresh, name), f"constructor parameter {name!r} is not kept under its own name")
        kept = getattr(fresh, name)
        require(kept == parameter.default, f"{name} was given as {parameter.default!r} but kept as {kept!r}")


@check("spec")
def _spec(selector: Selector) -> None:
    text = repr(selector)
    try:
        (spec,) = parse_specs(text)
        again = type(selector)(**spec.params)
    except Exception as error:
        raise ContractError(f"repr {text!r} is not a spec that rebuilds it ({error})") from error
    object.__setattr__(again, "name", selector.name)
    require(repr(again) == text, f"repr {text!r} rebuilds to {again!r}")


@check("summary")
def _summary(selector: Selector) -> None:
    lines = (type(selector).__doc__ or "").strip().splitlines()
    require(lines and not lines[0].startswith(f"{type(selector).__name__}("), "the class has no docstring")


@check("budgets")
def _budgets(selector: Selector) -> None:
    for budget in (1, 2, FULL // 3, FULL - 1):
        select_checked(selector, sample(budget))


@check("budget=K")
def _whole_pool(selector: Selector) -> None:
    select_checked(selector, sample(FULL))


@check("budget>K")
def _above_pool(selector: Selector) -> None:
    if not refused(selector, sample(FULL + 7)):
        select_checked(selector, sample(FULL + 7))


@check("K=1")
def _single(selector: Selector) -> None:
    for budget in (1, 3):
        problem = sample(budget, size=1)
        if not refused(selector, problem):
            require(not select_checked(selector, problem).positions.any(), "it left a pool of one")


@check("duplicate rows")
def _duplicates(selector: Selector) -> None:
    for budget in (1, 5, FULL):
        select_checked(selector, with_duplicates(budget))


@check("odd pools")
def _oddities(selector: Selector) -> None:
    for label, make in ODDITIES.items():
        for budget in (1, 6, FULL):
            try:
                select_checked(selector, make(budget))
            except ContractError as error:
                raise ContractError(f"{label}, budget {budget}: {error}") from error


@check("multi-vector query")
def _multi_vector(selector: Selector) -> None:
    for budget in (1, 6):
        select_checked(selector, sample(budget, queries=3))


@check("inputs unchanged")
def _inputs(selector: Selector) -> None:
    problem = sample(6, queries=2)
    before = digest(problem)
    select_checked(selector, problem)
    require(digest(problem) == before, "select() changed the problem's arrays")


@check("self unchanged")
def _unchanged(selector: Selector) -> None:
    before = selector_state(selector)
    select_checked(selector, sample(6))
    after = selector_state(selector)
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    require(not changed, f"select() changed its own {', '.join(changed)}")


@check("deterministic")
def _deterministic(selector: Selector) -> None:
    first = select_checked(selector, sample(9))
    select_checked(selector, sample(5, seed=1))  # what came before may not matter
    for other in (selector, copy.deepcopy(selector)):
        again = select_checked(other, sample(9))
        same = np.array_equal(first.positions, again.positions) and first.objective == again.objective
        require(same, "the same problem and generator gave two answers")


@check("stochastic")
def _stochastic(selector: Selector) -> None:
    if not selector.stochastic:
        answers = [select_checked(selector, sample(9), seed).positions for seed in range(3)]
        same = all(np.array_equal(answers[0], answer) for answer in answers)
        require(same, "it draws from rng although `stochastic` is False")


@check("global generators")
def _generators(selector: Selector) -> None:
    before = generator_states()
    select_checked(selector, sample(9))
    for name, state in generator_states().items():
        require(state == before.get(name, state), f"select() drew from {name} instead of rng")


__all__ = ["CHECKS", "CheckFunction", "check", "refused", "require", "select_checked"]
