from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttft_bench._check_problems import reference_optimum
from ttft_bench.selector import make_problem
from ttft_strategies._gram import Gram, first_best
from ttft_strategies._simplex import frank_wolfe


@st.composite
def grams(draw: st.DrawFn) -> tuple[Gram, float, float]:
    """A random pool (duplicates, collinear rows and the query in it included), its optimum and accuracy."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size, dimensions = draw(st.integers(1, 25)), draw(st.integers(2, 12))
    query = rng.normal(size=dimensions)
    pool = draw(st.floats(0.0, 2.0)) * query + rng.normal(size=(size, dimensions))
    kind = draw(st.sampled_from(["generic", "duplicates", "collinear", "query inside"]))
    if kind == "duplicates":
        pool = pool[rng.integers(0, size, size)]
    elif kind == "collinear":
        pool = np.outer(rng.choice([-1.0, 1.0], size), rng.normal(size=dimensions))
    elif kind == "query inside":
        pool[0] = query
    problem = make_problem(query, pool, 1)
    return Gram(problem.pool, problem.target), *reference_optimum(problem)


@settings(max_examples=100, deadline=None)
@given(grams(), st.integers(1, 30), st.integers(1, 400))
def test_certificate_encloses_the_optimum(drawn: tuple[Gram, float, float], support_limit: int, max_iter: int) -> None:
    gram, optimum, accuracy = drawn
    solution = frank_wolfe(gram, support_limit=support_limit, max_iter=max_iter)
    assert solution.weights.min() >= 0.0
    assert solution.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert -1e-8 - accuracy <= solution.objective - optimum <= solution.gap + 1e-8
    assert np.count_nonzero(solution.weights) <= support_limit
    assert solution.iterations <= max_iter


def _gram(seed: int = 0, size: int = 30) -> Gram:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=12)
    problem = make_problem(query, query + 0.8 * rng.normal(size=(size, 12)), 1)
    return Gram(problem.pool, problem.target)


def test_agrees_with_the_published_rule_spelt_out_in_the_embedding_space() -> None:
    gram, limit = _gram(), 6
    rows, target = gram.rows, gram.target
    atom = int(np.argmax(rows @ target))
    weights, touched = np.eye(len(rows))[atom], {atom}
    for _ in range(250):
        x = weights @ rows
        atom = int(np.argmax(rows @ (target - x)))
        direction = rows[atom] - x
        gamma = np.clip((target - x) @ direction / (direction @ direction), 0.0, 1.0)
        weights = (1.0 - gamma) * weights + gamma * np.eye(len(rows))[atom]
        touched.add(atom)
        if len(touched) == limit:
            break
    solution = frank_wolfe(gram, support_limit=limit)
    assert solution.status == "support_limit"
    np.testing.assert_allclose(solution.weights, weights, atol=1e-12)


def test_one_point_is_the_nearest_with_full_weight() -> None:
    gram = _gram()
    solution = frank_wolfe(gram, support_limit=1)
    assert solution.weights[np.argmax(gram.b)] == 1.0
    assert (solution.status, solution.iterations) == ("support_limit", 0)


def test_stops_at_once_on_the_query_itself() -> None:
    gram = Gram(np.eye(3)[[1, 0, 2]], np.eye(3)[0])
    solution = frank_wolfe(gram, support_limit=5)
    assert (solution.status, solution.objective, solution.gap) == ("converged", 0.0, 0.0)


def test_gap_falls_with_iterations_and_says_why_it_stopped() -> None:
    gram = _gram()
    solutions = [frank_wolfe(gram, support_limit=99, max_iter=steps) for steps in (1, 10, 100, 1000)]
    objectives = [solution.objective for solution in solutions]
    assert objectives == sorted(objectives, reverse=True)
    assert solutions[0].status == "max_iter"
    assert frank_wolfe(gram, support_limit=99, max_iter=10_000, gap_tol=1e-3).status == "converged"


def test_ties_go_to_the_lowest_index_despite_rounding() -> None:
    assert first_best(np.array([0.1, 0.3 - 1e-16, 0.3, 0.3 + 1e-16])) == 1
