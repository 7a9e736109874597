from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttft_bench.checks.problems import ODDITIES, sample
from ttft_bench.checks.program import Program as Claim
from ttft_bench.errors import BrokenPluginError
from ttft_bench.selector import Problem, Selection, make_problem, measure
from ttft_strategies.exact_integer import ExactInteger
from ttft_strategies.hullft import HullFT

RNG = np.random.default_rng(0)


def _small(seed: int, size: int, budget: int, spread: float = 1.0) -> Problem:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=4)
    return make_problem(query, query + spread * rng.normal(size=(size, 4)), budget)


def _brute_force(problem: Problem, claim: Claim) -> float:
    cap = claim.cap or problem.budget
    every = (c for c in product(range(min(cap, problem.budget) + 1), repeat=problem.size) if sum(c) == problem.budget)
    return min(claim.objective(np.array(counts) / problem.budget, problem) for counts in every)


def _value(answer: Selection, problem: Problem, claim: Claim) -> float:
    return claim.rounded(answer.positions, problem)


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.integers(1, 6),
    st.floats(0.1, 3.0),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.0, 0.2]),
)
def test_is_the_best_of_all_counts(seed: int, size: int, budget: int, spread: float, cap: int, ridge: float) -> None:
    problem = _small(seed, size, budget, spread)
    claim = Claim(max(cap, -(-budget // size)) if cap else 0, ridge)
    answer = ExactInteger(cap=claim.cap, ridge=ridge).select(problem, RNG)
    assert answer.status == "optimal"
    assert answer.objective == pytest.approx(_brute_force(problem, claim), abs=1e-8)
    assert answer.objective == pytest.approx(_value(answer, problem, claim), abs=1e-9)
    assert answer.diagnostics["bound"] == pytest.approx(answer.objective, abs=1e-7)


@pytest.mark.parametrize("budget", [2, 5, 12])
@pytest.mark.parametrize("seed", range(3))
def test_is_never_above_geometry_nor_geometry_above_largest_remainder(budget: int, seed: int) -> None:
    problem = sample(budget, seed=seed)
    rules = [HullFT(solver="corrective", integerize=rule) for rule in ("geometry", "largest_remainder")]
    losses = [measure(s.select(problem, RNG).positions, problem)["residual"] for s in (ExactInteger(), *rules)]
    assert losses == sorted(losses)


@pytest.mark.parametrize("label", list(ODDITIES))
def test_odd_pools(label: str) -> None:
    problem = ODDITIES[label](6)
    answer = ExactInteger().select(problem, RNG)
    assert answer.status == "optimal"
    assert answer.objective == pytest.approx(measure(answer.positions, problem)["residual"], abs=1e-12)


def test_a_restriction_to_the_nearest_still_holds_the_rounding_it_starts_from() -> None:
    problem = sample(6, seed=2)
    whole, near = (ExactInteger(nearest=nearest).select(problem, RNG) for nearest in (0, 3))
    start = HullFT(solver="corrective").select(problem, RNG)
    assert near.diagnostics["candidates"] <= 3 + len(set(start.positions))
    assert whole.objective is not None
    assert near.objective is not None
    assert whole.objective <= near.objective + 1e-9 <= measure(start.positions, problem)["residual"] + 2e-9


def test_a_clock_that_runs_out_is_said_and_the_bound_stays_below() -> None:
    rng = np.random.default_rng(0)
    query = rng.normal(size=60)
    problem = make_problem(query, 0.2 * query + rng.normal(size=(60, 60)), 6)
    answer = ExactInteger(time_limit_s=0.05).select(problem, RNG)
    assert answer.status == "time_limit"
    assert answer.objective is not None
    assert answer.diagnostics["bound"] < answer.objective
    assert len(answer.positions) == 6


def test_a_missing_solver_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyscipopt", None)
    with pytest.raises(BrokenPluginError, match=r"pip install 'ttft-bench\[exact\]'"):
        ExactInteger().select(sample(6), RNG)


@pytest.mark.parametrize("wrong", [{"nearest": -1}, {"time_limit_s": 0.0}, {"ridge": float("nan")}, {"cap": -2}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ExactInteger(**wrong)  # type: ignore[arg-type]
