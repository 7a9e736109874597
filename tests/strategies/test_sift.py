from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ttft_bench.selector import Problem, make_problem
from ttft_strategies.sift import SIFT, SIFTAdaptive
from ttft_strategies.sift_lazy import SIFTLazy


def _problem(seed: int, budget: int, size: int = 15, queries: int = 1) -> Problem:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(queries, 6))
    return make_problem(query, query.mean(axis=0) + rng.normal(size=(size, 6)), budget)


def _pick(problem: Problem, lam: float) -> NDArray[np.int64]:
    return SIFT(lam=lam).select(problem, np.random.default_rng(0)).positions


def _variance(problem: Problem, picks: list[int], noise: NDArray[np.float64]) -> float:
    """Sum over the query rows of the posterior variance, by its definition."""
    chosen, query = problem.pool[picks].astype(np.float64), problem.query.astype(np.float64)
    inverse = np.linalg.inv(chosen @ chosen.T + np.diag(noise))
    cross = query @ chosen.T
    return float(np.einsum("md,md->", query, query) - np.einsum("mi,ij,mj->", cross, inverse, cross))


@pytest.mark.parametrize("lam", [0.01, 0.2, 1.0])
@pytest.mark.parametrize("queries", [1, 3])
def test_each_pick_is_the_greedy_minimum_of_the_posterior_variance(lam: float, queries: int) -> None:
    problem = _problem(5, budget=12, queries=queries)
    picks = [int(pick) for pick in _pick(problem, lam)]
    for n in range(len(picks)):
        noise = np.full(n + 1, lam)
        choices = [_variance(problem, [*picks[:n], i], noise) for i in range(problem.size)]
        assert choices[picks[n]] <= min(choices) + 1e-10


def test_repeats_act_as_less_noise() -> None:
    problem = _problem(1, budget=1)
    repeated = _variance(problem, [2, 2, 2, 7], np.full(4, 0.2))
    assert repeated == pytest.approx(_variance(problem, [2, 7], np.array([0.2 / 3, 0.2])), abs=1e-12)


def test_a_large_noise_repeats_and_a_small_one_spreads() -> None:
    problem = _problem(2, budget=12)
    distinct = [len(np.unique(_pick(problem, lam))) for lam in (0.001, 5.0)]
    assert distinct[0] > distinct[1]


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 20), st.sampled_from([0.01, 0.2, 1.0]))
def test_diagnostics_tell_the_variance_left_and_it_only_falls(seed: int, budget: int, lam: float) -> None:
    problem = _problem(seed, budget)
    answer = SIFT(lam=lam).select(problem, np.random.default_rng(0))
    picks = [int(pick) for pick in answer.positions]
    curve = [_variance(problem, picks[:n], np.full(n, lam)) for n in range(1, budget + 1)]
    assert np.all(np.diff(curve) <= 1e-10)
    assert answer.diagnostics["posterior_variance"] == pytest.approx(curve[-1], abs=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.2, 1.0]), st.integers(1, 3))
def test_a_permuted_pool_gives_the_same_vectors(seed: int, lam: float, queries: int) -> None:
    problem = _problem(seed, budget=12, queries=queries)
    order = np.random.default_rng(seed).permutation(problem.size)
    shuffled = make_problem(problem.query, problem.pool[order], 12)
    for cls in (SIFT, SIFTLazy):
        straight, other = (cls(lam=lam).select(p, np.random.default_rng(0)).positions for p in (problem, shuffled))
        assert np.array_equal(straight, order[other])


def test_without_repeats_the_best_of_the_rest_is_picked() -> None:
    problem = _problem(3, budget=99)
    selector = SIFT(lam=5.0, repeats=False)
    assert (selector.repeats, SIFT().repeats, SIFT.repeats) == (False, True, True)
    assert repr(selector) == "sift[lam=5.0,repeats=false]"
    picks = [int(pick) for pick in selector.select(problem, np.random.default_rng(0)).positions]
    assert sorted(picks) == list(range(problem.size))
    for n in range(len(picks)):
        rest = [i for i in range(problem.size) if i not in picks[:n]]
        choices = {i: _variance(problem, [*picks[:n], i], np.full(n + 1, 5.0)) for i in rest}
        assert choices[picks[n]] <= min(choices.values()) + 1e-10


@pytest.mark.parametrize(("queries", "alpha"), [(1, 0.8), (2, 0.4)])
def test_adaptive_stops_at_the_first_n_whose_deviation_is_too_high(queries: int, alpha: float) -> None:
    ends = set()
    for seed in range(8):
        problem = _problem(seed, budget=15, queries=queries)
        exact = [int(pick) for pick in _pick(problem, 0.2)]
        deviations = [np.sqrt(_variance(problem, exact[:n], np.full(n, 0.2)) / queries) for n in range(1, 16)]
        enough = [n for n, deviation in enumerate(deviations, 1) if deviation > 1.0 / (alpha * n)]
        answer = SIFTAdaptive(alpha=alpha).select(problem, np.random.default_rng(0))
        assert list(answer.positions) == exact[: enough[0] if enough else 15]
        assert answer.status == ("stopped" if enough else "budget")
        ends.add(len(answer.positions))
    assert len(ends) > 1


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_alphas_are_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must be"):
        SIFTAdaptive(alpha=alpha)


def _lazily(problem: Problem, lam: float) -> list[int]:
    """Lazy greedy by its rule: the top of a queue of old gains, brought up to date until it stays on top."""

    def gain(picks: list[int], i: int) -> float:
        return _variance(problem, picks, np.full(len(picks), lam)) - _variance(
            problem, [*picks, i], np.full(len(picks) + 1, lam)
        )

    picks: list[int] = []
    old = [gain([], i) for i in range(problem.size)]
    for _ in range(problem.budget):
        fresh: set[int] = set()
        while (top := int(np.argmax(old))) not in fresh:
            old[top] = gain(picks, top)
            fresh.add(top)
        picks.append(top)
    return picks


@pytest.mark.parametrize("queries", [1, 3])
def test_lazy_follows_its_rule_and_differs_from_exact(queries: int) -> None:
    differ = 0
    for seed in range(6):
        problem = _problem(seed, budget=20, size=60, queries=queries)
        answer = SIFTLazy(lam=0.1).select(problem, np.random.default_rng(0))
        assert list(answer.positions) == _lazily(problem, 0.1)
        assert 0 < answer.diagnostics["evaluations"] < 20 * 60
        differ += not np.array_equal(answer.positions, _pick(problem, 0.1))
    assert differ


def test_ties_go_to_the_lowest_index() -> None:
    problem = make_problem([1.0, 0.0], [[0.0, 1.0], [0.6, 0.8], [0.6, -0.8], [0.6, 0.8]], 1)
    assert list(_pick(problem, 0.2)) == [1]


@pytest.mark.parametrize("lam", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_noise_is_refused(lam: float) -> None:
    with pytest.raises(ValueError, match="lam must be"):
        SIFT(lam=lam)
