"""Methods that trade relevance against diversity, each against its definition by brute force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttft_bench.selector import Problem, Selector, make_problem
from ttft_strategies.dpp import DPP, RIDGE
from ttft_strategies.facility_location import FacilityLocation
from ttft_strategies.k_center import KCenter
from ttft_strategies.knn import KNN
from ttft_strategies.mmr import MMR

SIZE = 14


def _problem(seed: int, budget: int = SIZE, queries: int = 1, size: int = SIZE, d: int = 6) -> Problem:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(queries, d))
    return make_problem(query, query.mean(axis=0) + rng.normal(size=(size, d)), budget)


def _pick(selector: Selector, problem: Problem) -> list[int]:
    return [int(pick) for pick in selector.select(problem, np.random.default_rng(0)).positions]


def _similarities(problem: Problem) -> tuple[Any, Any]:
    """Gram matrix, and similarity of each item to the nearest query row."""
    pool, query = problem.pool.astype(np.float64), problem.query.astype(np.float64)
    return pool @ pool.T, (pool @ query.T).max(axis=1)


def _marginal_relevance(problem: Problem, picks: list[int], trade: float) -> float:
    gram, relevance = _similarities(problem)
    *earlier, last = picks
    redundancy = gram[last, earlier].max() if earlier else 0.0
    return float((trade if earlier else 1.0) * relevance[last] - (1.0 - trade) * redundancy)


def _log_determinant(problem: Problem, picks: list[int], trade: float) -> float:
    """Of the kernel that the docstring writes, scaled back; picks are equally many, so constants do not matter."""
    gram, relevance = _similarities(problem)
    quality = np.exp(trade * relevance[picks] / (2.0 * (1.0 - trade)))
    kernel = quality[:, None] * (gram[np.ix_(picks, picks)] + RIDGE * np.eye(len(picks))) * quality
    return (1.0 - trade) * float(np.linalg.slogdet(kernel)[1])


def _facility_location(problem: Problem, picks: list[int], trade: float) -> float:
    gram, relevance = _similarities(problem)
    coverage = np.maximum(gram[picks].max(axis=0), 0.0).sum()
    return float((1.0 - trade) * coverage + trade * np.maximum(relevance[picks], 0.0).sum())


Merit = Callable[[Problem, list[int], float], float]
CASES: list[tuple[Any, Merit]] = [
    (MMR, _marginal_relevance),
    (DPP, _log_determinant),
    (FacilityLocation, _facility_location),
]


@pytest.mark.parametrize(("cls", "merit"), CASES)
@settings(max_examples=20)
@given(
    seed=st.integers(0, 10_000), queries=st.integers(1, 3), trade=st.sampled_from([0.1, 0.5, 0.9]), d=st.integers(3, 9)
)
def test_each_pick_is_the_best_of_the_rest(
    cls: Any, merit: Merit, seed: int, queries: int, trade: float, d: int
) -> None:
    problem = _problem(seed, queries=queries, d=d)
    picks = _pick(cls(trade=trade), problem)
    assert sorted(picks) == list(range(SIZE))
    for n in range(len(picks) - 1):
        rest = {i: merit(problem, [*picks[:n], i], trade) for i in range(SIZE) if i not in picks[:n]}
        assert rest[picks[n]] >= max(rest.values()) - 1e-9


@pytest.mark.parametrize("cls", [MMR, DPP, FacilityLocation])
def test_relevance_alone_is_nearest_neighbours(cls: Any) -> None:
    problem = _problem(2)
    assert _pick(cls(trade=1.0), problem) == _pick(KNN(), problem)


@pytest.mark.parametrize("cls", [MMR, DPP, FacilityLocation])
@pytest.mark.parametrize("trade", [-0.1, 1.1, float("nan")])
def test_an_impossible_trade_is_refused(cls: Any, trade: float) -> None:
    with pytest.raises(ValueError, match="trade must be between"):
        cls(trade=trade)


@pytest.mark.parametrize("cls", [MMR, DPP, FacilityLocation, KCenter])
def test_a_second_copy_is_picked_last_and_ties_go_to_the_lowest_index(cls: Any) -> None:
    pool = np.repeat(np.eye(4) + 0.1, 2, axis=0)
    picks = _pick(cls(), make_problem([1.0, 0.9, 0.8, 0.7], pool, 4))
    assert sorted(picks) == [0, 2, 4, 6]


def test_facility_location_of_a_pool_too_large_for_its_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = _problem(0, budget=40, size=300)
    answers = [FacilityLocation().select(problem, np.random.default_rng(0))]
    monkeypatch.setattr("ttft_strategies.facility_location._BLOCK", 1000)
    monkeypatch.setattr("ttft_strategies._rows.COPY_LIMIT", 0)
    answers.append(FacilityLocation().select(problem, np.random.default_rng(0)))
    assert np.array_equal(answers[0].positions, answers[1].positions)
    value = _facility_location(problem, [int(pick) for pick in answers[0].positions], 0.5)
    assert [answer.diagnostics["facility_location"] for answer in answers] == pytest.approx([value, value])


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_k_center_starts_nearest_and_goes_on_farthest_first(seed: int, queries: int) -> None:
    problem = _problem(seed, queries=queries)
    pool = problem.pool.astype(np.float64)
    distances = np.linalg.norm(pool[:, None] - pool[None], axis=2)
    picks = _pick(KCenter(), problem)
    assert picks[0] == int(np.argmax(pool @ problem.target))
    for n in range(1, SIZE):
        nearest = distances[:, picks[:n]].min(axis=1)
        nearest[picks[:n]] = -1.0
        assert nearest[picks[n]] >= nearest.max() - 1e-7
    radius = KCenter().select(_problem(seed, 5, queries), np.random.default_rng(0)).diagnostics["radius"]
    assert radius == pytest.approx(distances[:, picks[:5]].min(axis=1).max(), abs=1e-7)
