"""Every built-in passes the contract; every check of the contract can fail."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ttft_bench.checks import Check, run_checks, selector_checks
from ttft_bench.checks.claims import CHECKS
from ttft_bench.checks.problems import sample
from ttft_bench.checks.program import Program
from ttft_bench.errors import ContractError, UsageError
from ttft_bench.registry import entries, load_selector
from ttft_bench.registry.installed import missing_distributions
from ttft_bench.selector import Problem, Selection, Selector

#: Those that can run here: an optional requirement may be missing.
BUILT_IN = [
    entry.name
    for entry in entries()
    if entry.built_in and not missing_distributions(list(load_selector(entry.name).requires))
]
#: Parameters that change what a strategy is.
OTHERS = ["sift[lam=0.01]", "sift[repeats=false]", "sift-adaptive[alpha=1.0]", "knn[order=farthest]"]
OTHERS += [f"{name}[trade={trade}]" for name in ("mmr", "dpp", "facility-location") for trade in (0.0, 1.0)]
CASES = [(name, check) for name in BUILT_IN for check in selector_checks(name)]


@pytest.mark.parametrize("check", [c for _, c in CASES], ids=[f"{name}: {check}" for name, check in CASES])
def test_built_ins_keep_the_contract(check: Check) -> None:
    check()


@pytest.mark.parametrize("check", [check for spec in OTHERS for check in selector_checks(spec)], ids=str)
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


class OtherInBatches(Sound):
    """Answers every prompt of a batch with the picks of the first."""

    def select_many(self, problems: Any, rngs: Any) -> list[Selection]:
        return [Selection(np.zeros(problem.budget, dtype=np.int64) + problem.size // 2) for problem in problems]


class Capped(Sound):
    """The capped and ridged program, solved by the reference itself."""

    def __init__(self, cap: int = 2, ridge: float = 0.1, honest: bool = True) -> None:
        self.cap, self.ridge, self.honest = cap, ridge, honest

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        program = Program(self.cap, self.ridge)
        if self.honest and not program.feasible(problem):
            raise UsageError(f"cap={self.cap} leaves no room for {problem.budget} steps")
        upper = program.upper(problem)
        weights = np.zeros(problem.size)
        rest = 1.0
        for index in self.order(problem):
            weights[index] = min(upper, rest)
            rest -= weights[index]
        positions = np.resize(self.order(problem), problem.budget)
        return Selection(positions, weights, program.objective(weights, problem), program.gap(weights, problem))


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
    "select_many": OtherInBatches,
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


def test_a_cap_and_a_ridge_are_part_of_the_program_that_is_checked() -> None:
    assert [result for result in run_checks(Capped()) if not result.ok] == []
    dishonest = {result.name: result.reason for result in run_checks(Capped(honest=False, cap=1)) if not result.ok}
    assert "cap=1 leaves no room for 31 steps" in dishonest["budget>K"]


@pytest.mark.parametrize(
    "program", [Program(), Program(2), Program(1, 0.1), Program(0, 0.5), Program(3, 0.01)], ids=str
)
def test_the_reference_optimum_is_certified_and_no_feasible_point_is_below(program: Program) -> None:
    problem = sample(12)
    optimum, accuracy = program.optimum(problem)
    assert accuracy < 1e-6
    upper = program.upper(problem)
    rng = np.random.default_rng(0)
    for _ in range(200):
        weights = rng.dirichlet(np.ones(problem.size))
        if weights.max() <= upper:
            value = program.objective(weights, problem)
            assert -accuracy <= value - optimum <= program.gap(weights, problem) + 1e-12


def test_results_are_plain_data_and_one_failure_stops_no_other_check() -> None:
    results = run_checks(Counts)
    assert [result.name for result in results] == list(CHECKS)
    assert [result.name for result in results if not result.ok] == ["self unchanged", "permutation"]


def test_an_unknown_spec_fails_every_check() -> None:
    results = run_checks("no-such-strategy")
    assert not any(result.ok for result in results)
    assert "no-such-strategy" in results[0].reason
