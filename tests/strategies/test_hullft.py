from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ttft_bench.errors import UsageError
from ttft_bench.selector import Problem, make_problem, measure
from ttft_strategies.exact_qp import ExactQP
from ttft_strategies.hullft import HullFT
from ttft_strategies.knn import KNN


def _problem(budget: int, seed: int = 0, queries: int = 1) -> Problem:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(queries, 16))
    return make_problem(query, query.mean(axis=0) + rng.normal(size=(60, 16)), budget)


RNG = np.random.default_rng(0)


@pytest.mark.parametrize("budget", [1, 2, 5, 20, 50])
def test_support_never_exceeds_the_budget(budget: int) -> None:
    answer = HullFT().select(_problem(budget), RNG)
    assert answer.weights is not None
    assert np.count_nonzero(answer.weights) <= budget
    assert len(answer.positions) == budget


def test_reconstructs_better_than_the_nearest_neighbours() -> None:
    for seed in range(5):
        problem = _problem(10, seed)
        residuals = [measure(s.select(problem, RNG).positions, problem)["residual"] for s in (HullFT(), KNN())]
        assert residuals[0] < residuals[1]


def test_repeats_of_an_item_are_consecutive() -> None:
    positions = HullFT().select(_problem(50), RNG).positions
    runs = 1 + np.count_nonzero(np.diff(positions))
    assert runs == len(np.unique(positions)) < 50


def test_the_query_itself_takes_every_step() -> None:
    query = _problem(1).query
    problem = make_problem(query, np.vstack([_problem(1).pool, query]), 7)
    answer = HullFT().select(problem, RNG)
    assert list(answer.positions) == [60] * 7
    assert answer.status == "converged"
    assert answer.objective == pytest.approx(0.0, abs=1e-12)


def test_a_mean_of_several_query_rows_can_be_reached() -> None:
    query = np.eye(4)[:2]
    answer = HullFT().select(make_problem(query, np.eye(4), 4), RNG)
    assert sorted(answer.positions) == [0, 0, 1, 1]
    assert answer.objective == pytest.approx(0.0, abs=1e-12)


def test_more_iterations_come_nearer_to_the_exact_optimum() -> None:
    problem = _problem(40)
    exact = ExactQP().select(problem, RNG).objective
    answers = [HullFT(max_iter=steps).select(problem, RNG) for steps in (5, 50, 3000)]
    assert exact is not None
    above = [answer.objective - exact for answer in answers if answer.objective is not None]
    assert above == sorted(above, reverse=True)
    assert above[-1] < 1e-3
    assert all(a <= (answer.gap or 0.0) + 1e-8 for a, answer in zip(above, answers, strict=True))


@pytest.mark.parametrize("solver", ["away", "pairwise", "corrective"])
@pytest.mark.parametrize("cap", [0, 3])
def test_the_other_solvers_reach_the_optimum_whatever_the_budget(solver: str, cap: int) -> None:
    for budget in (5, 30):
        problem = _problem(budget, seed=budget)
        answer = HullFT(solver=solver, cap=cap, max_iter=3000).select(problem, RNG)
        exact = ExactQP(cap=cap).select(problem, RNG)
        assert answer.objective == pytest.approx(exact.objective, abs=1e-8)
        assert answer.status == "converged"


@pytest.mark.parametrize("solver", ["vanilla", "away", "pairwise", "corrective"])
@pytest.mark.parametrize("cap", [1, 2, 7])
def test_no_item_gets_more_steps_than_the_cap(solver: str, cap: int) -> None:
    positions = HullFT(solver=solver, cap=cap, max_iter=500).select(_problem(25), RNG).positions
    assert np.bincount(positions).max() <= cap
    assert len(positions) == 25


def test_an_impossible_cap_is_an_error_that_says_so() -> None:
    with pytest.raises(UsageError, match="cap=2 allows 60 items at most 120 steps, fewer than the budget of 121"):
        HullFT(cap=2).select(_problem(121), RNG)


def test_a_support_that_is_not_cut_rounds_better_on_average() -> None:
    problems = [_problem(6, seed) for seed in range(12)]
    means = [
        np.mean([measure(selector.select(p, RNG).positions, p)["residual"] for p in problems])
        for selector in (HullFT(solver="corrective"), HullFT(), HullFT(integerize="largest_remainder"))
    ]
    assert means[0] <= means[1] <= means[2]


def test_components_of_all_dimensions_change_nothing() -> None:
    problem = _problem(12)
    plain, whole = (HullFT(solver="corrective", project=project).select(problem, RNG) for project in (0, 16))
    assert np.array_equal(plain.positions, whole.positions)
    assert plain.objective == pytest.approx(whole.objective, abs=1e-9)


@pytest.mark.parametrize("size", [8, 60])
def test_few_components_are_certified_in_the_embedding_space(size: int) -> None:
    rng = np.random.default_rng(1)
    problem = make_problem(rng.normal(size=16), rng.normal(size=(size, 16)), 9)
    answer = HullFT(solver="corrective", project=3).select(problem, RNG)
    optimum = ExactQP().select(problem, RNG).objective
    assert answer.weights is not None
    assert answer.objective is not None
    assert answer.gap is not None
    assert optimum is not None
    residual = problem.target - answer.weights @ problem.pool
    assert answer.objective == pytest.approx(float(residual @ residual), abs=1e-6)
    assert 0.0 < answer.objective - optimum <= answer.gap
    assert answer.diagnostics["projected_gap"] < 1e-8
    assert answer.diagnostics["projected_objective"] < answer.objective


@pytest.mark.parametrize("wrong", [{"solver": "newton"}, {"integerize": "floor"}, {"cap": -1}, {"project": -3}])
def test_unknown_words_and_negative_figures_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HullFT(**wrong)


@pytest.mark.parametrize("wrong", [{"max_iter": 0}, {"tol": -1.0}, {"gap_tol": float("nan")}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HullFT(**wrong)  # type: ignore[arg-type]


def test_order_moves_steps_and_changes_no_count() -> None:
    problem = _problem(20)
    picks = {order: HullFT(order=order).select(problem, RNG).positions for order in ("heaviest", "lightest", "rounds")}
    assert np.array_equal(picks["lightest"], picks["heaviest"][::-1])
    items, counts = np.unique(picks["heaviest"], return_counts=True)
    assert counts.max() > 1, "without repeats there is nothing to order"
    rounds = picks["rounds"]
    assert np.array_equal(np.sort(rounds), np.sort(picks["heaviest"]))
    for turn in range(1, counts.max() + 1):
        begin = int(np.minimum(counts, turn - 1).sum())
        assert set(rounds[begin : int(np.minimum(counts, turn).sum())]) == set(items[counts >= turn])
