from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttft_bench.checks import problems as check_problems
from ttft_bench.checks.program import Program as Claim
from ttft_bench.errors import UsageError
from ttft_bench.selector import Problem, make_problem
from ttft_strategies import _fast, _rows
from ttft_strategies._gram import Gram, first_best
from ttft_strategies._simplex import SOLVERS, Program, Solution, corrective, frank_wolfe, upper_bound
from ttft_strategies.exact_qp import ExactQP

RNG = np.random.default_rng(0)
KINDS = ["generic", "duplicates", "near duplicates", "collinear", "query inside", "convex combination", "mirrored"]


@st.composite
def problems(draw: st.DrawFn, largest: int = 25) -> Problem:
    """A random problem; degenerate pools included. Its budget serves the caps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size, dimensions = draw(st.integers(1, largest)), draw(st.integers(2, 12))
    query = rng.normal(size=dimensions)
    pool = draw(st.floats(0.0, 2.0)) * query + rng.normal(size=(size, dimensions))
    kind = draw(st.sampled_from(KINDS))
    if kind == "duplicates":
        pool = pool[rng.integers(0, size, size)]
    elif kind == "near duplicates":
        pool = pool[rng.integers(0, size, size)] + 1e-7 * rng.normal(size=pool.shape)
    elif kind == "collinear":
        pool = np.outer(rng.choice([-1.0, 1.0], size), rng.normal(size=dimensions))
    elif kind == "query inside":
        pool[0] = query
    elif kind == "convex combination":
        query = pool[: 1 + size // 2].mean(axis=0)
    elif kind == "mirrored":
        pool[size // 2 :] = 2.0 * query - pool[: size - size // 2]
    return make_problem(query, pool, draw(st.integers(1, 30)))


def _of(problem: Problem) -> Gram:
    return Gram(problem.pool, problem.target)


def _feasible_cap(problem: Problem, cap: int) -> int:
    return max(cap, -(-problem.budget // problem.size)) if cap else 0


@settings(max_examples=150)
@given(
    problems(),
    st.sampled_from(list(SOLVERS)),
    st.integers(0, 6),
    st.sampled_from([0.0, 0.0, 0.01, 0.3]),
    st.sampled_from([1, 7, 200]),
)
def test_certificate_encloses_the_optimum_of_every_feasible_set(
    problem: Problem, solver: str, cap: int, ridge: float, max_iter: int
) -> None:
    cap = _feasible_cap(problem, cap)
    claim, upper = Claim(cap, ridge), upper_bound(problem.size, problem.budget, cap)
    solution = SOLVERS[solver](_of(problem), max_iter=max_iter, upper=upper, ridge=ridge)
    assert solution.weights.min() >= 0.0
    assert solution.weights.max() <= upper + 1e-12
    assert solution.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert solution.objective == pytest.approx(claim.objective(solution.weights, problem), abs=1e-12)
    assert solution.gap == pytest.approx(claim.gap(solution.weights, problem), abs=1e-9)
    optimum, accuracy = claim.optimum(problem)
    assert -1e-8 - accuracy <= solution.objective - optimum <= solution.gap + 1e-8
    assert solution.iterations <= max_iter
    if solution.status == "converged":
        assert solution.gap <= 1e-9 or solution.objective < 1e-9


@settings(max_examples=60)
@given(problems(), st.integers(1, 30), st.integers(1, 400))
def test_vanilla_keeps_to_the_support_limit(problem: Problem, support_limit: int, max_iter: int) -> None:
    solution = frank_wolfe(_of(problem), support_limit=support_limit, max_iter=max_iter)
    assert np.count_nonzero(solution.weights) <= support_limit


@settings(max_examples=60)
@given(problems(), st.integers(0, 6), st.sampled_from([0.0, 0.05]))
def test_corrective_is_the_optimum(problem: Problem, cap: int, ridge: float) -> None:
    cap = _feasible_cap(problem, cap)
    upper = upper_bound(problem.size, problem.budget, cap)
    solution = corrective(_of(problem), upper=upper, ridge=ridge)
    exact = ExactQP(cap=cap, ridge=ridge).select(problem, RNG)
    assert exact.objective is not None
    assert solution.objective <= exact.objective + 1e-8
    assert exact.objective - solution.objective <= (exact.gap or 0.0) + 1e-8
    assert solution.gap <= 1e-8
    assert solution.iterations <= 4 * problem.size


@pytest.mark.parametrize("solver", ["away", "pairwise", "corrective"])
@pytest.mark.parametrize("upper", [1.0, 0.13, 0.05])
def test_they_agree_on_a_generic_pool(solver: str, upper: float) -> None:
    gram = _generic(0)
    best = corrective(gram, upper=upper, gap_tol=1e-13)
    other = SOLVERS[solver](gram, upper=upper, max_iter=5000)
    assert other.status == "converged"
    np.testing.assert_allclose(other.weights, best.weights, atol=1e-4)


@pytest.mark.parametrize("solver", list(SOLVERS))
@pytest.mark.parametrize("label", list(check_problems.ODDITIES))
@pytest.mark.parametrize("upper", [1.0, 0.25])
def test_odd_pools_converge(solver: str, label: str, upper: float) -> None:
    gram = _of(check_problems.ODDITIES[label](6))
    solution = SOLVERS[solver](gram, upper=upper, max_iter=3000)
    assert solution.status in ("converged", "stalled", "max_iter")
    assert solution.gap < 1e-3


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_one_item_takes_all(solver: str) -> None:
    solution = SOLVERS[solver](Gram(np.eye(3)[:1], np.eye(3)[1]))
    assert list(solution.weights) == [1.0]
    assert (solution.objective, solution.gap, solution.status) == (2.0, 0.0, "converged")


@pytest.mark.parametrize("solver", list(SOLVERS))
@pytest.mark.parametrize("upper", [1.0, 0.2])
def test_permuting_the_pool_permutes_the_weights(solver: str, upper: float) -> None:
    gram, order = _generic(1), np.random.default_rng(5).permutation(30)
    straight = SOLVERS[solver](gram, upper=upper)
    shuffled = SOLVERS[solver](Gram(gram.rows.take(order), gram.target), upper=upper)
    np.testing.assert_allclose(shuffled.weights, straight.weights[order], atol=1e-5)  # steps may tie


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_every_item_at_the_cap_leaves_no_choice(solver: str) -> None:
    gram = _generic(2)
    solution = SOLVERS[solver](gram, upper=1.0 / 30)
    np.testing.assert_allclose(solution.weights, 1.0 / 30)
    assert (solution.status, solution.gap) == ("converged", pytest.approx(0.0, abs=1e-12))


def test_an_infeasible_cap_says_so() -> None:
    with pytest.raises(UsageError, match=r"10 items at most 20 steps, fewer than the budget of 21.* at least 3"):
        upper_bound(10, 21, 2)
    assert (upper_bound(10, 20, 2), upper_bound(10, 20, 0), upper_bound(10, 20, 20)) == (0.1, 1.0, 1.0)
    with pytest.raises(UsageError, match="no weights of at most"):
        Program(_generic(0), upper=0.01)
    with pytest.raises(ValueError, match="ridge"):
        Program(_generic(0), ridge=-1.0)


def test_the_gap_of_a_cap_takes_the_best_mixture() -> None:
    gram = Gram(np.eye(4), np.zeros(4))
    items, values = Program(gram, upper=0.4).vertex(np.array([0.0, 3.0, 1.0, 2.0]))
    assert dict(zip(items.tolist(), values.round(12).tolist(), strict=True)) == {1: 0.4, 3: 0.4, 2: 0.2}
    assert Program(gram, upper=0.5).vertex(np.arange(4.0))[0].tolist() == [3, 2]


def test_a_ridge_spreads_the_weights() -> None:
    supports = [np.count_nonzero(corrective(_generic(3), ridge=ridge).weights > 1e-9) for ridge in (0.0, 0.1, 10.0)]
    assert supports[0] < supports[1] < supports[2]


def _outcomes(
    monkeypatch: pytest.MonkeyPatch, gram: Gram, solver: Callable[..., Solution] = frank_wolfe, **settings: Any
) -> list[Any]:
    """Compiled (if it can be) and plain."""
    pool, target = gram.rows.pool, gram.target
    outcomes = [solver(Gram(pool, target), **settings)]
    with monkeypatch.context() as patch:
        patch.setattr(_fast, "available", lambda: False)
        outcomes.append(solver(Gram(pool, target), **settings))
    return outcomes


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "settings", [{"support_limit": 5}, {"max_iter": 900}, {"ridge": 0.1}, {"gap_tol": 1e-2}], ids=str
)
def test_compiled_and_plain_loops_agree(seed: int, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _fast.available(), "the compiled loops are part of the dev extra"
    compiled, plain = _outcomes(monkeypatch, _generic(seed), **settings)
    assert (compiled.status, compiled.iterations) == (plain.status, plain.iterations)
    np.testing.assert_allclose(compiled.weights, plain.weights, atol=1e-12)


@settings(max_examples=100)
@given(problems(), st.sampled_from([0.0, 0.0, 0.1]))
def test_compiled_and_plain_corrective_find_the_same_optimum(problem: Problem, ridge: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        compiled, plain = _outcomes(patch, _of(problem), corrective, ridge=ridge)
    assert max(compiled.gap, plain.gap) <= 1e-8
    assert compiled.objective == pytest.approx(plain.objective, abs=1e-8)
    # Of weights only what they make is unique, since the pool may hold an item twice; ||x - x*||^2 <= f - f*.
    np.testing.assert_allclose(compiled.weights @ problem.pool, plain.weights @ problem.pool, atol=2e-4)


@pytest.mark.parametrize("seed", range(6))
def test_compiled_and_plain_corrective_agree_weight_by_weight(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(np.ones(64), 0.6 + rng.normal(size=(200, 64)), 1)
    compiled, plain = _outcomes(monkeypatch, _of(problem), corrective)
    assert (compiled.status, compiled.iterations) == (plain.status, plain.iterations)
    np.testing.assert_allclose(compiled.weights, plain.weights, atol=1e-12)


@pytest.mark.parametrize("seed", range(4, 14))
def test_a_pool_of_low_rank_but_for_rounding_is_solved_to_the_optimum(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng.normal(size=10), rng.normal(size=(200, 3)) @ rng.normal(size=(3, 10)), 50)
    for solution in _outcomes(monkeypatch, _of(problem), corrective):
        assert (solution.status, solution.gap <= 1e-10) == ("converged", True)


@pytest.mark.parametrize("upper", [1.0, 0.04])
def test_a_ridge_gives_each_of_equal_items_its_share(upper: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    query = rng.normal(size=8)
    two = query + rng.normal(size=(2, 8))
    problem = make_problem(query, two[np.arange(400) % 2], 50)
    for solution in _outcomes(monkeypatch, _of(problem), corrective, upper=upper, ridge=0.1):
        assert solution.status == "converged"
        assert np.ptp(solution.weights[::2]) < 1e-9 and np.ptp(solution.weights[1::2]) < 1e-9


@pytest.mark.parametrize("solver", ["away", "pairwise"])
def test_ties_after_a_line_search_do_not_depend_on_who_multiplies(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    query = rng.normal(size=(3, 64))
    problem = make_problem(query, query.mean(axis=0) + 1.3 * rng.normal(size=(1000, 64)), 1)
    compiled, plain = _outcomes(monkeypatch, _of(problem), SOLVERS[solver])
    np.testing.assert_allclose(compiled.weights, plain.weights, atol=1e-9)


def test_a_support_larger_than_the_first_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    problem = make_problem(np.ones(150), 0.6 + rng.normal(size=(300, 150)), 1)
    compiled, plain = _outcomes(monkeypatch, _of(problem), corrective, ridge=1.0)
    assert np.count_nonzero(plain.weights) > 60
    np.testing.assert_allclose(compiled.weights, plain.weights, atol=1e-10)


@pytest.mark.parametrize("label", list(check_problems.ODDITIES))
def test_compiled_and_plain_loops_agree_on_ties(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _fast.available(), "the compiled loops are part of the dev extra"
    compiled, plain = _outcomes(monkeypatch, _of(check_problems.ODDITIES[label](6)), support_limit=6)
    np.testing.assert_allclose(compiled.weights, plain.weights, atol=1e-9)


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_a_pool_too_large_to_widen_gives_the_same(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    problem = make_problem(rng.normal(size=8), rng.normal(size=(70, 8)), 9)
    kept = SOLVERS[solver](_of(problem), upper=0.3)
    monkeypatch.setattr(_fast, "available", lambda: False)
    monkeypatch.setattr(_rows, "COPY_LIMIT", 1)
    monkeypatch.setattr(_rows, "BLOCK", 64)
    gram = _of(problem)
    chunked = SOLVERS[solver](gram, upper=0.3)
    assert gram.rows.wide is None
    np.testing.assert_allclose(chunked.weights, kept.weights, atol=1e-9)
    np.testing.assert_allclose(gram.rows.squares(), 1.0, atol=1e-6)
    np.testing.assert_allclose(gram.rows.dot(gram.rows[3]), gram.rows.products(np.array([3]))[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_summed_in_float64_whoever_makes_them(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = np.random.default_rng(0).normal(size=(37, 50)).astype(dtype)
    vector, wide = np.random.default_rng(1).normal(size=50), pool.astype(np.float64)
    roads = [_rows.Rows(pool)]
    monkeypatch.setattr(_fast, "available", lambda: False)
    roads.append(_rows.Rows(pool))
    assert [road.compiled for road in roads] == [True, False]
    for rows in roads:
        np.testing.assert_allclose(rows.dot(vector), wide @ vector, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(rows.products(np.arange(3)), wide[:3] @ wide.T, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(rows.squares(), (wide * wide).sum(axis=1), rtol=1e-13)


def _generic(seed: int = 0, size: int = 30) -> Gram:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=12)
    problem = make_problem(query, query + 0.8 * rng.normal(size=(size, 12)), 1)
    return Gram(problem.pool, problem.target)


def test_agrees_with_the_published_rule_spelt_out_in_the_embedding_space() -> None:
    gram, limit = _generic(), 6
    rows, target = gram.rows.take(slice(None)), gram.target
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
    gram = _generic()
    solution = frank_wolfe(gram, support_limit=1)
    assert solution.weights[np.argmax(gram.b)] == 1.0
    assert (solution.status, solution.iterations) == ("support_limit", 0)


def test_stops_at_once_on_the_query_itself() -> None:
    gram = Gram(np.eye(3)[[1, 0, 2]], np.eye(3)[0])
    solution = frank_wolfe(gram, support_limit=5)
    assert (solution.status, solution.objective, solution.gap) == ("converged", 0.0, 0.0)


def test_gap_falls_with_iterations_and_says_why_it_stopped() -> None:
    gram = _generic()
    solutions = [frank_wolfe(gram, support_limit=99, max_iter=steps) for steps in (1, 10, 100, 1000)]
    objectives = [solution.objective for solution in solutions]
    assert objectives == sorted(objectives, reverse=True)
    assert solutions[0].status == "max_iter"
    assert frank_wolfe(gram, support_limit=99, max_iter=10_000, gap_tol=1e-3).status == "converged"


def test_ties_go_to_the_lowest_index_despite_rounding() -> None:
    assert first_best(np.array([0.1, 0.3 - 1e-16, 0.3, 0.3 + 1e-16])) == 1
