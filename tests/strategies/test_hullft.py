from __future__ import annotations

import numpy as np
import pytest

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


@pytest.mark.parametrize("wrong", [{"max_iter": 0}, {"tol": -1.0}, {"gap_tol": float("nan")}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HullFT(**wrong)  # type: ignore[arg-type]
