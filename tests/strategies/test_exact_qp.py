from __future__ import annotations

import numpy as np
import pytest

from ttft_bench.checks.problems import ODDITIES, reference_optimum, sample, with_duplicates
from ttft_bench.checks.program import Program as Claim
from ttft_bench.errors import UsageError
from ttft_strategies.exact_qp import ExactQP

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("seed", range(4))
def test_is_the_optimum_and_certifies_it(seed: int) -> None:
    problem = sample(6, seed=seed, queries=1 + seed % 2)
    answer = ExactQP().select(problem, RNG)
    optimum, _ = reference_optimum(problem)
    assert answer.objective == pytest.approx(optimum, abs=1e-9)
    assert answer.gap is not None
    assert answer.gap < 1e-8
    assert answer.status.startswith("optimal")


@pytest.mark.parametrize("label", list(ODDITIES))
def test_certificate_on_odd_pools(label: str) -> None:
    answer = ExactQP().select(ODDITIES[label](6), RNG)
    assert answer.gap is not None
    assert answer.gap < 1e-7


def test_the_budget_does_not_change_the_weights() -> None:
    first, second = (ExactQP().select(with_duplicates(budget), RNG) for budget in (1, 20))
    assert first.objective == second.objective


def test_weights_hold_no_dust() -> None:
    answer = ExactQP().select(sample(6), RNG)
    assert answer.weights is not None
    assert 0 < np.count_nonzero(answer.weights) <= 11  # at most d + 1 points are needed


def test_another_solver_can_be_chosen_and_an_unknown_one_is_named() -> None:
    problem = sample(4)
    answer = ExactQP(solver="OSQP").select(problem, RNG)
    assert answer.objective == pytest.approx(reference_optimum(problem)[0], abs=1e-3)
    with pytest.raises(UsageError, match=r"no solver 'GUROBBI'.*CLARABEL"):
        ExactQP(solver="GUROBBI").select(problem, RNG)


@pytest.mark.parametrize("cap", [0, 1, 2, 5])
@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_caps_and_ridges_are_solved_certified_and_kept(cap: int, ridge: float) -> None:
    problem = sample(11, seed=cap)
    answer = ExactQP(cap=cap, ridge=ridge).select(problem, RNG)
    optimum, _ = Claim(cap, ridge).optimum(problem)
    assert answer.objective == pytest.approx(optimum, abs=1e-8)
    assert answer.gap is not None
    assert answer.gap < 1e-7
    assert cap == 0 or np.bincount(answer.positions).max() <= cap


def test_an_impossible_cap_and_an_unknown_rule_are_refused() -> None:
    with pytest.raises(UsageError, match="cap=1 allows 24 items at most 24 steps"):
        ExactQP(cap=1).select(sample(25), RNG)
    with pytest.raises(ValueError, match="integerize must be one of geometry"):
        ExactQP(integerize="nearest")
