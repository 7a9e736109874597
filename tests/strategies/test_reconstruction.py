"""Herding and orthogonal matching pursuit against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttft_bench.selector import Problem, make_problem
from ttft_strategies.herding import Herding
from ttft_strategies.omp import OMP


def _problem(seed: int, budget: int, queries: int = 1, size: int = 14, d: int = 6) -> Problem:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(queries, d))
    return make_problem(query, query.mean(axis=0) + rng.normal(size=(size, d)), budget)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 40))
def test_herding_follows_its_recursion(seed: int, queries: int, budget: int) -> None:
    problem = _problem(seed, budget, queries)
    pool, target = problem.pool.astype(np.float64), problem.target
    picks = Herding().select(problem, np.random.default_rng(0)).positions
    for n in range(budget):
        owed = (n + 1) * target - pool[picks[:n]].sum(axis=0)
        assert pool[picks[n]] @ owed >= (pool @ owed).max() - 1e-10


def test_herding_reconstructs_a_target_within_the_hull_at_rate_one_over_n() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    query = np.vstack([rows, -rows])[:2]  # its mean is well inside
    problem = make_problem(query, np.vstack([rows, -rows]), 400)
    picks = Herding().select(problem, rng).positions
    pool = problem.pool.astype(np.float64)
    for n in (25, 100, 400):
        assert np.linalg.norm(pool[picks[:n]].mean(axis=0) - problem.target) <= 4.0 / n


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(2, 9))
def test_omp_picks_by_the_least_squares_residual(seed: int, queries: int, d: int) -> None:
    problem = _problem(seed, 12, queries, d=d)
    pool, target = problem.pool.astype(np.float64), problem.target
    answer = OMP().select(problem, np.random.default_rng(0))
    picks = answer.positions
    assert len(set(picks.tolist())) == 12
    for n in range(min(d, 12)):
        span = pool[picks[:n]].T
        residual = target - span @ np.linalg.lstsq(span, target)[0] if n else target
        if np.linalg.norm(residual) < 1e-7:
            break
        scores = np.abs(pool @ residual)
        scores[picks[:n]] = -1.0
        assert scores[picks[n]] >= scores.max() - 1e-9
    span = pool[picks].T
    left = target - span @ np.linalg.lstsq(span, target)[0]
    assert answer.diagnostics["span_residual"] == pytest.approx(left @ left, abs=1e-12)


def test_omp_uses_what_points_away_and_then_takes_the_nearest() -> None:
    problem = make_problem([1.0, 0.0, 0.0], [[0.5, 0.5, 0.5], [0.1, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.9, 0.1, 0.0]], 4)
    answer = OMP().select(problem, np.random.default_rng(0))
    assert list(answer.positions) == [2, 3, 0, 1]
    assert answer.diagnostics["span_residual"] == pytest.approx(0.0, abs=1e-15)
