"""Every built-in passes the contract; every check of the contract can fail."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ttft_bench._contract import CHECKS
from ttft_bench.checks import Check, run_checks, selector_checks
from ttft_bench.errors import ContractError
from ttft_bench.registry import entries
from ttft_bench.selector import Problem, Selection, Selector

BUILT_IN = [entry.name for entry in entries() if entry.built_in]
CASES = [(name, check) for name in BUILT_IN for check in selector_checks(name)]


@pytest.mark.parametrize("check", [c for _, c in CASES], ids=[f"{name}: {check}" for name, check in CASES])
def test_built_ins_keep_the_contract(check: Check) -> None:
    check()


@pytest.mark.parametrize("check", selector_checks("sift[lam=0.01]"), ids=str)
def test_so_do_other_parameters(check: Check) -> None:
    check()


class Sound(Selector):
    """Nearest items, repeated when the pool runs out; each broken selector spoils one thing of this."""

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        return Selection(np.resize(self.order(problem), problem.budget))

    def order(self, problem: Problem) -> Any:
        similarity = np.einsum("kd,d->k", problem.pool.astype(np.float64), problem.target)
        return np.argsort(-similarity, kind="stable")


class NoDefault(Sound):
    """A parameter without a default."""

    def __init__(self, depth: int) -> None:
        self.depth = depth


class Renamed(Sound):
    """A parameter kept under another name."""

    def __init__(self, depth: int = 1) -> None:
        self._depth = depth


@dataclass(frozen=True)
class OwnRepr(Sound):
    """The generated repr of a dataclass is no spec."""

    depth: int = 1


class Silent(Sound):
    __doc__ = None


class Off(Sound):
    """A wrong selection for some kind of problem."""

    def __init__(self, when: str = "") -> None:
        self.when = when

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        unit, budget, size = problem.pool[:, :1], problem.budget, problem.size
        duplicated = size > 1 and len(np.unique(problem.pool, axis=0)) < size
        wrong = {
            "budgets": budget == 2,
            "budget=K": budget == size,
            "budget>K": budget > size,
            "K=1": size == 1,
            "duplicate rows": duplicated,
            "odd pools": size > 1 and bool(np.ptp(unit) == 0),
            "multi-vector query": len(problem.query) > 1,
        }
        return Selection(np.array([size] * budget if wrong[self.when] else [0] * budget))


class Writes(Sound):
    """Writes to the pool although it is read-only."""

    def order(self, problem: Problem) -> Any:
        problem.pool.flags.writeable = True
        problem.pool[0] *= -1.0
        return [0]


class Counts(Sound):
    """Remembers its calls."""

    calls = 0

    def order(self, problem: Problem) -> Any:
        self.calls += 1
        return [0]


class Forgetful(Sound):
    """Answers by how often the class was asked."""

    calls = 0

    def order(self, problem: Problem) -> Any:
        Forgetful.calls += 1
        return [Forgetful.calls % problem.size]


class Undeclared(Sound):
    """Draws from rng without saying so."""

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        return Selection(rng.integers(problem.size, size=problem.budget))


class GlobalDraw(Sound):
    """Draws from a global generator."""

    def order(self, problem: Problem) -> Any:
        random.random()
        return [0]


class NotNested(Sound):
    """Claims nested and reverses its picks."""

    nested = True

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        return Selection(super().select(problem, rng).positions[::-1])


class ByRow(Sound):
    """Takes rows as they stand."""

    def order(self, problem: Problem) -> Any:
        return np.arange(problem.size)


class Doubles(Sound):
    """Claims no repeats and repeats."""

    repeats = False

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        return Selection(np.zeros(min(problem.budget, problem.size), dtype=np.int64))


class Short(Sound):
    """Returns fewer picks than asked for without being adaptive."""

    def order(self, problem: Problem) -> Any:
        return super().order(problem)

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        return Selection(self.order(problem)[: max(problem.budget // 2, 1)])


class Claims(Sound):
    """All weight on the first row, with some objective and gap."""

    shift, gap, total, keep = 0.0, 4.0, 1.0, True

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        weights = np.zeros(problem.size)
        first = self.order(problem)[0]
        weights[first] = self.total
        residual = problem.target - problem.pool[first].astype(np.float64)
        objective = float(residual @ residual) + self.shift
        positions = np.full(problem.budget, first)
        return Selection(positions, weights if self.keep else None, objective, self.gap)


def _claims(**settings: Any) -> Selector:
    return type("Claims", (Claims,), {**settings, "__doc__": Claims.__doc__})()  # type: ignore[no-any-return]


BROKEN: dict[str, Callable[[], Selector]] = {
    "defaults": lambda: NoDefault(1),
    "parameters": Renamed,
    "spec": OwnRepr,
    "summary": Silent,
    **{
        kind: lambda kind=kind: Off(kind)  # type: ignore[misc]
        for kind in (
            "budgets",
            "budget=K",
            "budget>K",
            "K=1",
            "duplicate rows",
            "odd pools",
            "multi-vector query",
        )
    },
    "inputs unchanged": Writes,
    "self unchanged": Counts,
    "deterministic": Forgetful,
    "stochastic": Undeclared,
    "global generators": GlobalDraw,
    "nested": NotNested,
    "permutation": ByRow,
    "repeats": Doubles,
    "adaptive": Short,
    "weights": lambda: _claims(total=0.5),
    "objective": lambda: _claims(shift=1e-3),
    "certificate": lambda: _claims(gap=1e-3),
}


def test_the_sound_selector_passes() -> None:
    assert [result for result in run_checks(Sound) if not result.ok] == []
    assert [result for result in run_checks(_claims()) if not result.ok] == []


@pytest.mark.parametrize("name", list(CHECKS))
def test_each_check_can_fail_with_a_reason_of_one_line(name: str) -> None:
    (check,) = (check for check in selector_checks(BROKEN[name]()) if check.name == name)
    with pytest.raises(ContractError) as caught:
        check()
    assert str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_objective_without_weights_and_a_gap_without_an_objective_are_refused() -> None:
    class GapOnly(Sound):
        """A gap of nothing."""

        def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
            return Selection(np.zeros(problem.budget, dtype=np.int64), gap=1.0)

    for broken, reason in (
        (_claims(keep=False), "without the weights"),
        (GapOnly(), "gap without an objective"),
    ):
        (result,) = (result for result in run_checks(broken) if result.name == "objective")
        assert reason in result.reason


def test_results_are_plain_data_and_one_failure_stops_no_other_check() -> None:
    results = run_checks(Counts)
    assert [result.name for result in results] == list(CHECKS)
    assert [result.name for result in results if not result.ok] == ["self unchanged", "permutation"]


def test_an_unknown_spec_fails_every_check() -> None:
    results = run_checks("no-such-strategy")
    assert not any(result.ok for result in results)
    assert "no-such-strategy" in results[0].reason
